//! Records with and without schema, keys, deletes, tables that are made and grow, offsets in the target.

use connect_core::{
    config::Properties,
    error::{Error, ErrorKind},
    plugin::Connected,
    registry::Registry,
    sink::{Delivered, SinkBatch, SinkTask, TopicPartition},
};
use connect_core_testkit::{json_batch, values};
use connectors_postgres::PostgresSink;

use crate::port;

/// What psql shows, columns apart by `|`.
fn sql(text: &str) -> String {
    crate::sql(text).replace('\t', "|")
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb", port());
    let base = [
        ("name", "sink"),
        ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
        ("connection.url", url.as_str()),
        ("connection.user", "user"),
        ("connection.password", "password"),
    ];
    base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(crate) async fn task(pairs: &[(&str, &str)]) -> Box<dyn SinkTask> {
    let properties = properties(pairs);
    let registry = Registry::default().sink::<PostgresSink>();
    let plugin = registry.find("PostgresSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    sink.task().await.unwrap()
}

async fn delivered(pairs: &[(&str, &str)], batch: &SinkBatch) {
    let mut task = task(pairs).await;
    assert!(matches!(task.put(batch).await.unwrap(), Delivered::All));
}

async fn refused(pairs: &[(&str, &str)], batch: &SinkBatch) -> Error {
    let mut task = task(pairs).await;
    let error = task.put(batch).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn schemaless_values_make_a_table_and_widen_it() {
    let config = [
        ("topics", "k_make"),
        ("auto.create", "true"),
        ("auto.evolve", "true"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let rows = [
        r#"{"id":"a","n":1,"d":1.5,"b":true,"o":{"x":[1,null]},"l":["é"],"z":null}"#,
        r#"{"id":"a","n":2,"d":2,"b":false,"o":null,"l":null,"z":null}"#,
    ];
    delivered(&config, &json_batch("k_make", false, 0, &values(&rows))).await;
    let types = "SELECT string_agg(column_name || ' ' || data_type, ',' ORDER BY ordinal_position) \
                 FROM information_schema.columns WHERE table_name = 'k_make'";
    assert_eq!(
        sql(types).trim(),
        "id text,n bigint,d double precision,b boolean,o jsonb,l jsonb,z text"
    );
    assert_eq!(sql("SELECT * FROM k_make").trim(), "a|2|2|f|||");
    // An integer that meets a fraction, and a field that comes later.
    let wider = [r#"{"id":"b","n":7.25,"late":{"a":1}}"#, r#"{"id":"c","n":9007199254740993}"#];
    delivered(&config, &json_batch("k_make", false, 2, &values(&wider))).await;
    assert_eq!(
        sql("SELECT id, n, late FROM k_make ORDER BY id").trim(),
        "a|2|\nb|7.25|{\"a\": 1}\nc|9007199254740993|"
    );
    // Without auto.evolve it is the record's fault.
    sql("CREATE TABLE k_narrow (id int PRIMARY KEY, n int)");
    let narrow = [("topics", "k_narrow")];
    let batch = json_batch("k_narrow", false, 0, &values(&[r#"{"id":1,"n":7.25}"#]));
    let error = refused(&narrow, &batch).await.to_string();
    for part in ["public.k_narrow", "column=n", "type=integer", "7.25"] {
        assert!(error.contains(part), "{error} lacks {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_types_decide_what_a_text_is() {
    sql(
        "CREATE TYPE k_mood AS ENUM ('sad', 'ok'); CREATE DOMAIN k_small AS int CHECK (VALUE < 100); \
         CREATE TABLE k_types (id uuid PRIMARY KEY, e k_mood, at timestamptz, i inet, n numeric(10,2), d k_small, \
         r int4range, a int[], t text[], j jsonb, iv interval, m money, bits bit(4), v varchar(3), by bytea)",
    );
    let config = [
        ("topics", "k_types"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_key"),
        ("pk.fields", "id"),
        ("delete.enabled", "true"),
    ];
    let key = r#""6B0AA1AC-8c8a-4ad2-a1ac-0ac3a15fe65d""#;
    let row = r#"{"e":"ok","at":"2021-03-04T05:06:07.5Z","i":"10.0.0.1","n":"1.25","d":7,"r":"[1,5)","a":[1,null,3],
        "t":["a\"b","c,d",""],"j":{"k":[1]},"iv":"1 day","m":12.34,"bits":"0101","v":"é€x","by":"x"}"#;
    delivered(&config, &json_batch("k_types", false, 0, &[(Some(key), Some(row))])).await;
    assert_eq!(
        sql("SELECT e, at AT TIME ZONE 'UTC', host(i), n, d, r, a, t, j, iv, m::numeric, bits, v, by FROM k_types").trim(),
        "ok|2021-03-04 05:06:07.5|10.0.0.1|1.25|7|[1,5)|{1,NULL,3}|{\"a\\\"b\",\"c,d\",\"\"}|{\"k\": [1]}|1 day|12.34|0101|é€x|\\x78"
    );
    // A key of another type is compared as the column's.
    let gone = r#""6b0aa1ac8c8a4ad2a1ac0ac3a15fe65d""#;
    delivered(&config, &json_batch("k_types", false, 1, &[(Some(gone), None)])).await;
    assert_eq!(sql("SELECT count(*) FROM k_types").trim(), "0");
    for (field, value) in [
        ("e", "\"happy\""),
        ("i", "\"nowhere\""),
        ("d", "100"),
        ("n", "1.255"),
        ("v", "\"four\""),
        ("a", "[\"x\"]"),
        ("at", "\"soon\""),
    ] {
        let row = format!("{{\"{field}\":{value}}}");
        let batch = json_batch("k_types", false, 2, &[(Some(key), Some(&row))]);
        let error = refused(&config, &batch).await.to_string();
        for part in ["public.k_types", &format!("column={field}"), "type=", "value="] {
            assert!(error.contains(part), "{row}: {error} lacks {part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_in_other_forms_are_the_databases_to_read_where_that_is_asked_for() {
    sql("CREATE TABLE k_forms (id int, at timestamptz, d date, t time)");
    let row =
        r#"{"id":1,"at":"8 Jan 1999 04:05 America/New_York","d":"January 8, 1999","t":"04:05 PM"}"#;
    let batch = json_batch("k_forms", false, 0, &values(&[row]));
    let error = refused(&[("topics", "k_forms")], &batch).await.to_string();
    assert!(error.contains("ISO 8601"), "{error}");
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb?stringtype=unspecified", port());
    delivered(&[("topics", "k_forms"), ("connection.url", &url)], &batch).await;
    let rows = sql("SELECT at AT TIME ZONE 'UTC', d, t FROM k_forms");
    assert_eq!(rows.trim(), "1999-01-08 09:05:00|1999-01-08|16:05:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_deletes_and_their_order() {
    let config = [
        ("topics", "k_keys"),
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
        (Some("3"), Some(r#"{"v":"e"}"#)),
    ];
    delivered(&config, &json_batch("k_keys", false, 0, &messages)).await;
    assert_eq!(sql("SELECT id, v, w FROM k_keys ORDER BY id").trim(), "2|c|\n3|e|1");
    // Keys that are the same to the database only.
    sql("CREATE TABLE k_equal (id numeric PRIMARY KEY, v text)");
    let config = [
        ("topics", "k_equal"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let rows = [r#"{"id":"1.0","v":"a"}"#, r#"{"id":"1.00","v":"b"}"#, r#"{"id":"2","v":"c"}"#];
    delivered(&config, &json_batch("k_equal", false, 0, &values(&rows))).await;
    assert_eq!(sql("SELECT trim_scale(id), v FROM k_equal ORDER BY id").trim(), "1|b\n2|c");
}

#[tokio::test(flavor = "multi_thread")]
async fn update_changes_only_what_is_there_and_insert_adds() {
    sql(
        "CREATE TABLE k_update (id int PRIMARY KEY, v text, w int DEFAULT 5); INSERT INTO k_update VALUES (1, 'a', 9)",
    );
    let config = [
        ("topics", "k_update"),
        ("insert.mode", "update"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let rows = [r#"{"id":1,"v":"b"}"#, r#"{"id":2,"v":"c"}"#];
    delivered(&config, &json_batch("k_update", false, 0, &values(&rows))).await;
    assert_eq!(sql("SELECT * FROM k_update").trim(), "1|b|9");
    let rows = [r#"{"id":2,"v":"c"}"#, r#"{"id":1,"v":"twice"}"#];
    let error =
        refused(&[("topics", "k_update")], &json_batch("k_update", false, 0, &values(&rows))).await;
    assert!(error.to_string().contains("duplicate key"), "{error}");
    assert!(error.is_retriable(), "the row in the way may go");
    assert_eq!(sql("SELECT count(*) FROM k_update").trim(), "1", "nothing of the batch is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_or_name_ends_its_quotes() {
    for quote in ["always", "never"] {
        let table = format!("k_inject_{quote}");
        let format = format!("\"{table}\"");
        let config = [
            ("topics", "k_inject"),
            ("auto.create", "true"),
            ("table.name.format", &format),
            ("quote.sql.identifiers", quote),
        ];
        let row = r#"{"a\"b":"'; DROP TABLE x; -- \\","n) VALUES (1); --":"\\'\"\n"}"#;
        delivered(&config, &json_batch("k_inject", false, 0, &values(&[row]))).await;
        let found = sql(&format!(
            "SELECT \"n) VALUES (1); --\" = E'\\\\\\'\"\\n' FROM {table} WHERE \"a\"\"b\" = '''; DROP TABLE x; -- \\'"
        ));
        assert_eq!(found.trim(), "t");
    }
}

fn tp() -> TopicPartition {
    TopicPartition { topic: "k_once".into(), partition: 3 }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_in_the_target_are_those_of_its_rows() {
    sql("CREATE TABLE k_once (v int)");
    let config = [
        ("topics", "k_once"),
        ("offsets.storage", "target"),
        ("offsets.storage.table", "k_offsets"),
    ];
    let mut first = task(&config).await;
    assert_eq!(first.open(&[tp()]).await.unwrap(), [].into(), "nothing was stored yet");
    let batch =
        |from: i64| json_batch("k_once", false, from, &values(&[r#"{"v":1}"#, r#"{"v":2}"#]));
    first.put(&batch(5)).await.unwrap();
    let stored = "SELECT connector, topic, kafka_partition, next_offset, epoch FROM k_offsets";
    assert_eq!(sql(stored).trim(), "sink|k_once|3|7|1");
    // What is delivered again is there already, what is new is not.
    first.put(&batch(5)).await.unwrap();
    first.put(&batch(6)).await.unwrap();
    assert_eq!(sql("SELECT count(*) FROM k_once").trim(), "3");
    // A record that is refused takes the offset back with it.
    let bad = json_batch("k_once", false, 8, &values(&[r#"{"v":3}"#, r#"{"v":"x"}"#]));
    first.put(&bad).await.unwrap_err();
    assert_eq!(sql(stored).trim(), "sink|k_once|3|8|1");
    // Another task goes on where this one was, which cannot write any more.
    let mut second = task(&config).await;
    assert_eq!(second.open(&[tp()]).await.unwrap(), [(tp(), 8)].into());
    let error = first.put(&batch(8)).await.unwrap_err();
    assert!(error.to_string().contains("taken this partition over"), "{error}");
    assert!(!error.is_retriable());
    second.put(&batch(8)).await.unwrap();
    assert_eq!(sql("SELECT count(*) FROM k_once").trim(), "5");
    // Of a partition that is another's nothing is written.
    second.close(&[tp()]).await;
    second.put(&batch(10)).await.unwrap_err();
    // An operator sets the offset.
    let plugin = Registry::default()
        .sink::<PostgresSink>()
        .find("PostgresSink", &properties(&config))
        .unwrap();
    let partition = serde_json::json!({"kafka_topic": "k_once", "kafka_partition": 3});
    let changes = [(partition, Some(serde_json::json!({"kafka_offset": 2})))];
    assert!(plugin.alter_offsets(&properties(&config), &changes).await.unwrap());
    assert_eq!(task(&config).await.open(&[tp()]).await.unwrap(), [(tp(), 2)].into());
}
