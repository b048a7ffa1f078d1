//! Records with and without schema, keys, tables that are made and grow, values that don't fit.

use connect_core::{
    error::ErrorKind,
    sink::{Delivered, SinkBatch},
};
use connect_core_testkit::{json_batch, values};

use crate::{sql, task};

fn batch(topic: &str, schemas: bool, messages: &[(Option<&str>, Option<&str>)]) -> SinkBatch {
    json_batch(topic, schemas, 0, messages)
}

async fn delivered(pairs: &[(&str, &str)], batch: &SinkBatch) {
    let mut task = task(pairs).await;
    assert!(matches!(task.put(batch).await.unwrap(), Delivered::All));
}

async fn refused(pairs: &[(&str, &str)], batch: &SinkBatch) -> String {
    let mut task = task(pairs).await;
    let error = task.put(batch).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_sink_makes_a_table_without_key_from_schemaless_values() {
    let config = [
        ("topics", "postgres-tabela"),
        ("auto.create", "true"),
        ("auto.evolve", "true"),
        ("insert.mode", "insert"),
        ("pk.mode", "none"),
        ("pk.fields", "id"),
        ("batch.size", "1000"),
    ];
    let first = r#"{"id":"1237","valor":"Teste de integração","updated_at":1700000000000}"#;
    delivered(&config, &batch("postgres-tabela", false, &values(&[first, first]))).await;
    let rows = sql("SELECT id, valor, updated_at FROM `postgres-tabela`");
    assert_eq!(
        rows.trim(),
        "1237\tTeste de integração\t1700000000000\n1237\tTeste de integração\t1700000000000"
    );
    let more = r#"{"id":"1","valor":null,"updated_at":1,"extra":{"a":[1,2.5]},"n":7}"#;
    let wider = r#"{"id":"2","valor":"x","updated_at":1,"extra":null,"n":7.5}"#;
    delivered(&config, &batch("postgres-tabela", false, &values(&[more, wider]))).await;
    let rows = sql(
        "SELECT id, JSON_VALUE(extra, '$.a[1]'), n FROM `postgres-tabela` WHERE n IS NOT NULL ORDER BY id",
    );
    assert_eq!(rows.trim(), "1\t2.5\t7\n2\tNULL\t7.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_columns_decide_the_types() {
    sql(
        "CREATE TABLE r_types (id bigint unsigned, d decimal(10,2), f double, t varchar(20), dt datetime(3), \
         da date, ti time(3), b blob, j json, y tinyint)",
    );
    let config = [("topics", "r_types"), ("db.timezone", "UTC")];
    let rows = [
        r#"{"id":"18446744073709551615","d":"12.50","f":"1e3","t":5,"dt":1614834367123,"da":18690,"ti":3723004,"b":"x","j":{"a":"é'\\"},"y":true}"#,
        r#"{"id":7,"d":3,"f":2,"t":1.5,"dt":"2021-03-04T05:06:07.123Z","da":"2021-03-04","ti":"01:02:03.004","b":null,"j":"[1]","y":"0"}"#,
    ];
    delivered(&config, &batch("r_types", false, &values(&rows))).await;
    let text = sql(
        "SELECT id, d, f, t, dt, da, ti, b, JSON_VALUE(j, '$.a'), JSON_VALUE(j, '$[0]'), y FROM r_types ORDER BY y DESC",
    );
    assert_eq!(
        text.trim(),
        "18446744073709551615\t12.50\t1000\t5\t2021-03-04 05:06:07.123\t2021-03-04\t01:02:03.004\tx\té'\\\\\tNULL\t1\n\
         7\t3.00\t2\t1.5\t2021-03-04 05:06:07.123\t2021-03-04\t01:02:03.004\tNULL\tNULL\t1\t0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_table_column_value_and_type() {
    sql("CREATE TABLE r_bad (i int, u tinyint unsigned, d date, v varchar(3))");
    for (field, value) in [
        ("i", "\"seven\""),
        ("i", "1.5"),
        ("i", "2147483648"),
        ("u", "-1"),
        ("u", "256"),
        ("d", "\"2021-02-30\""),
        ("d", "true"),
        ("i", "[1]"),
        ("i", "{\"a\":1}"),
    ] {
        let json = format!("{{\"{field}\":{value}}}");
        let error =
            refused(&[("topics", "r_bad")], &batch("r_bad", false, &values(&[&json]))).await;
        for part in ["r_bad", &format!("column={field}"), "type=", "value="] {
            assert!(error.contains(part), "{json}: {error} lacks {part}");
        }
    }
    let long =
        refused(&[("topics", "r_bad")], &batch("r_bad", false, &values(&[r#"{"v":"long"}"#])))
            .await;
    assert!(long.contains("longer than 3 characters"), "{long}");
    assert_eq!(sql("SELECT count(*) FROM r_bad").trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_or_name_ends_its_quotes() {
    let config =
        [("topics", "r_inject"), ("auto.create", "true"), ("table.name.format", "`r_in``ject`")];
    let row = r#"{"a`b":"'; DROP TABLE x; -- \\","n":"\u0000\\'\"\n"}"#;
    delivered(&config, &batch("r_inject", false, &values(&[row]))).await;
    assert_eq!(
        sql("SELECT HEX(n) FROM `r_in``ject` WHERE `a``b` = '\\'; DROP TABLE x; -- \\\\'").trim(),
        "005C27220A"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_schema_the_jvms_types_are_made() {
    let field = |name: &str, rest: &str| format!(r#"{{"field":"{name}",{rest}}}"#);
    let logical =
        |name: &str| format!(r#""name":"org.apache.kafka.connect.data.{name}","version":1"#);
    let fields = [
        field("id", r#""type":"int32","optional":false"#),
        field("s", r#""type":"string","optional":true"#),
        field(
            "n",
            &format!(
                r#""type":"bytes","optional":true,{},"parameters":{{"scale":"2"}}"#,
                logical("Decimal")
            ),
        ),
        field("ts", &format!(r#""type":"int64","optional":true,{}"#, logical("Timestamp"))),
        field("d", r#""type":"string","optional":false,"default":"it's""#),
        field("b", r#""type":"boolean","optional":true"#),
    ];
    let message = format!(
        r#"{{"schema":{{"type":"struct","optional":false,"fields":[{}]}},"payload":{{"id":1,"s":"é","n":"BNI=","ts":1614834367123,"d":"x","b":true}}}}"#,
        fields.join(",")
    );
    let config = [
        ("topics", "r_schema"),
        ("auto.create", "true"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    delivered(&config, &batch("r_schema", true, &values(&[&message, &message]))).await;
    assert_eq!(sql("SELECT * FROM r_schema").trim(), "1\té\t12.34\t2021-03-04 05:06:07.123\tx\t1");
    let ddl = sql(
        "SELECT GROUP_CONCAT(COLUMN_TYPE, ' ', IS_NULLABLE, ' ', COLUMN_KEY ORDER BY ORDINAL_POSITION) \
                   FROM information_schema.COLUMNS WHERE TABLE_NAME = 'r_schema'",
    );
    assert_eq!(
        ddl.trim(),
        "int(11) NO PRI,text YES ,decimal(65,2) YES ,datetime(3) YES ,text YES ,tinyint(4) YES "
            .trim_end()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_deletes_and_their_order() {
    let config = [
        ("topics", "r_keys"),
        ("auto.create", "true"),
        ("auto.evolve", "true"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_key"),
        ("pk.fields", "id"),
        ("delete.enabled", "true"),
    ];
    let messages = [
        (Some("1"), Some(r#"{"v":"a"}"#)),
        (Some("2"), Some(r#"{"v":"b"}"#)),
        (Some("1"), None),
        (Some("2"), None),
        (Some("2"), Some(r#"{"v":"c"}"#)),
        (Some("3"), Some(r#"{"v":"d","w":1}"#)),
    ];
    delivered(&config, &batch("r_keys", false, &messages)).await;
    assert_eq!(sql("SELECT id, v, w FROM r_keys ORDER BY id").trim(), "2\tc\tNULL\n3\td\t1");
    // Without delete.enabled a tombstone says nothing.
    delivered(&[("topics", "r_keys")], &batch("r_keys", false, &[(Some("2"), None)])).await;
    assert_eq!(sql("SELECT count(*) FROM r_keys").trim(), "2");
    let config = [
        ("topics", "r_kafka"),
        ("auto.create", "true"),
        ("insert.mode", "upsert"),
        ("pk.mode", "kafka"),
    ];
    delivered(&config, &batch("r_kafka", false, &values(&[r#"{"v":1}"#, r#"{"v":2}"#]))).await;
    let rows = sql(
        "SELECT __connect_topic, __connect_partition, __connect_offset, v FROM r_kafka ORDER BY 3",
    );
    assert_eq!(rows.trim(), "r_kafka\t3\t0\t1\nr_kafka\t3\t1\t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn update_changes_only_what_is_there() {
    sql(
        "CREATE TABLE r_update (id int PRIMARY KEY, v text, w int DEFAULT 5); INSERT INTO r_update VALUES (1, 'a', 9)",
    );
    let config = [
        ("topics", "r_update"),
        ("insert.mode", "update"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let rows = [r#"{"id":1,"v":"b"}"#, r#"{"id":2,"v":"c"}"#];
    delivered(&config, &batch("r_update", false, &values(&rows))).await;
    assert_eq!(sql("SELECT * FROM r_update").trim(), "1\tb\t9");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_create_and_evolve_nothing_is_made() {
    let mut task = task(&[("topics", "r_none")]).await;
    let missing = task.put(&batch("r_none", false, &values(&[r#"{"a":1}"#]))).await;
    assert!(missing.unwrap_err().to_string().contains("is missing and auto-creation is disabled"));
    sql("CREATE TABLE r_none (a int)");
    let error =
        refused(&[("topics", "r_none")], &batch("r_none", false, &values(&[r#"{"a":1,"b":2}"#])))
            .await;
    assert!(error.contains("is missing fields (b) and auto-evolution is disabled"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_split_before_it_is_too_large() {
    sql("CREATE TABLE r_packet (id int PRIMARY KEY, v longtext)");
    let config = [
        ("topics", "r_packet"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    // 24 MB in one batch: more than max_allowed_packet. One row of 20 MB is more by itself, and its own fault.
    let large = "x".repeat(1 << 20);
    let rows: Vec<String> =
        (0..24).map(|id| format!("{{\"id\":{id},\"v\":\"{large}\"}}")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    delivered(&config, &batch("r_packet", false, &values(&rows))).await;
    assert_eq!(sql("SELECT count(*), sum(length(v)) FROM r_packet").trim(), "24\t25165824");
    let huge = format!("{{\"id\":99,\"v\":\"{}\"}}", "y".repeat(20 << 20));
    let error = refused(&config, &batch("r_packet", false, &values(&[&huge]))).await;
    assert!(error.contains("max_allowed_packet"), "{}", &error[..error.len().min(500)]);
    assert_eq!(sql("SELECT count(*) FROM r_packet").trim(), "24");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_locked_is_written_later() {
    sql("CREATE TABLE r_lock (id int PRIMARY KEY, v text); INSERT INTO r_lock VALUES (1, 'a')");
    let mut url = crate::properties(&[]).remove("connection.url").unwrap();
    url.push_str("?sessionVariables=innodb_lock_wait_timeout=1");
    let config = [
        ("topics", "r_lock"),
        ("connection.url", url.as_str()),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let port = crate::server().lock().unwrap().port();
    let other = format!("mysql://user:123@127.0.0.1:{port}/mysql-db-sync");
    let mut other = mysql_async::Conn::from_url(other).await.unwrap();
    mysql_async::prelude::Queryable::query_drop(&mut other, "START TRANSACTION").await.unwrap();
    let update = "UPDATE r_lock SET v = 'x'";
    mysql_async::prelude::Queryable::query_drop(&mut other, update).await.unwrap();
    let mut task = task(&config).await;
    let batch = batch("r_lock", false, &values(&[r#"{"id":1,"v":"b"}"#]));
    let error = task.put(&batch).await.expect_err("locked");
    assert!(error.is_retriable() && error.kind() == ErrorKind::Busy, "{error:?}");
    other.disconnect().await.unwrap();
    assert!(matches!(task.put(&batch).await, Ok(Delivered::All)));
    assert_eq!(sql("SELECT v FROM r_lock").trim(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timestamp_column_holds_the_same_instant_in_every_zone() {
    sql("CREATE TABLE r_instant (id int, ts timestamp(3) NULL, dt datetime(3))");
    let row = r#"{"id":1,"ts":1614834367123,"dt":1614834367123}"#;
    let zone = ("db.timezone", "America/Sao_Paulo");
    let forced = "jdbc:mysql://mysql-db:3306/mysql-db-sync?connectionTimeZone=%2B09:00&forceConnectionTimeZoneToSession=true";
    let variable = "jdbc:mysql://mysql-db:3306/mysql-db-sync?sessionVariables=time_zone='%2B05:30'";
    for url in ["jdbc:mysql://mysql-db:3306/mysql-db-sync", forced, variable] {
        let config = [("topics", "r_instant"), ("connection.url", url), zone];
        delivered(&config, &batch("r_instant", false, &values(&[row]))).await;
    }
    let shown = sql("SELECT CAST(UNIX_TIMESTAMP(ts) * 1000 AS SIGNED), dt FROM r_instant");
    assert_eq!(shown.trim(), ["1614834367123\t2021-03-04 02:06:07.123"; 3].join("\n"));
}
