//! As if one record after the other: order within a batch, and what the table's definition says of its columns.

use connect_core::error::{Error, ErrorKind};
use connect_core_testkit::{json_batch, values};

use crate::sink::task;

fn sql(text: &str) -> String {
    crate::sql(text).replace('\t', "|").trim().to_owned()
}

/// Puts rows as one batch; the error, if there is one.
async fn put(pairs: &[(&str, &str)], rows: &[&str]) -> Option<Error> {
    let mut config =
        vec![("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id")];
    config.extend(pairs);
    let topic = config.iter().find(|(key, _)| *key == "topics").unwrap().1;
    let mut task = task(&config).await;
    task.put(&json_batch(topic, false, 0, &values(rows))).await.err()
}

async fn stored(pairs: &[(&str, &str)], rows: &[&str]) {
    let error = put(pairs, rows).await;
    assert!(error.is_none(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_value_passes_from_one_row_to_another() {
    for (table, tie) in [("o_unique", "UNIQUE (email)"), ("o_exclude", "EXCLUDE (email WITH =)")] {
        sql(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, email text, n int, {tie}); INSERT INTO {table} VALUES (1, 'a', 0)"
        ));
        let rows = [
            r#"{"id":2,"email":"x","n":1}"#,
            r#"{"id":1,"email":"c","n":2}"#,
            r#"{"id":2,"email":"a","n":3}"#,
        ];
        stored(&[("topics", table)], &rows).await;
        assert_eq!(sql(&format!("SELECT * FROM {table} ORDER BY id")), "1|c|2\n2|a|3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_sees_every_record_in_its_order() {
    sql(
        "CREATE TABLE o_trigger (id int PRIMARY KEY, v int); CREATE TABLE o_seen (n serial, v int, rows int); \
         CREATE FUNCTION o_see() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN INSERT INTO o_seen (v, rows) SELECT new.v, count(*) FROM o_trigger; RETURN new; END$$; \
         CREATE TRIGGER s AFTER INSERT OR UPDATE ON o_trigger FOR EACH ROW EXECUTE FUNCTION o_see()",
    );
    let rows = [r#"{"id":1,"v":1}"#, r#"{"id":2,"v":2}"#, r#"{"id":1,"v":3}"#, r#"{"id":3,"v":4}"#];
    stored(&[("topics", "o_trigger")], &rows).await;
    assert_eq!(sql("SELECT v, rows FROM o_seen ORDER BY n"), "1|1\n2|2\n3|2\n4|3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_database_would_refuse_is_not_left_out() {
    sql("CREATE TABLE o_check (id int PRIMARY KEY, v int CHECK (v < 10))");
    let rows = [r#"{"id":1,"v":50}"#, r#"{"id":1,"v":5}"#];
    let error = put(&[("topics", "o_check")], &rows).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Data, "{error:?}");
    assert_eq!(sql("SELECT count(*) FROM o_check"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_generates_is_left_to_it() {
    sql("CREATE TABLE o_generated (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, \
         b int GENERATED ALWAYS AS (a * 2) STORED)");
    let rows = [r#"{"id":7,"a":5,"b":99}"#, r#"{"id":7,"a":6,"b":99}"#];
    stored(&[("topics", "o_generated")], &rows).await;
    assert_eq!(sql("SELECT * FROM o_generated"), "7|6|12");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nulls_are_not_one_key() {
    sql("CREATE TABLE o_nulls (id int UNIQUE, v text)");
    let rows = [r#"{"id":null,"v":"c"}"#, r#"{"id":null,"v":"d"}"#, r#"{"id":9,"v":"e"}"#];
    stored(&[("topics", "o_nulls")], &rows).await;
    assert_eq!(sql("SELECT id, v FROM o_nulls ORDER BY v"), "|c\n|d\n9|e");
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_need_a_unique_index_on_their_key() {
    sql(
        "CREATE TABLE o_keyless (id int, v int); CREATE UNIQUE INDEX ON o_keyless (id) WHERE v > 0",
    );
    let error = put(&[("topics", "o_keyless")], &[r#"{"id":1,"v":1}"#]).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    let remedy = "ALTER TABLE \"public\".\"o_keyless\" ADD UNIQUE (\"id\")";
    assert!(error.to_string().contains(remedy), "{error}");
    sql(remedy);
    stored(&[("topics", "o_keyless")], &[r#"{"id":1,"v":1}"#, r#"{"id":1,"v":2}"#]).await;
    assert_eq!(sql("SELECT v FROM o_keyless"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_kind_is_refused_by_that_name() {
    sql("CREATE TABLE o_parts (id int PRIMARY KEY) PARTITION BY RANGE (id)");
    let error = put(&[("topics", "o_parts")], &[r#"{"id":1}"#]).await.unwrap().to_string();
    assert!(error.contains("PARTITIONED TABLE") && error.contains("table.types"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_that_the_database_keeps() {
    let long = "c".repeat(70);
    let config = [("topics", "o_long"), ("auto.create", "true"), ("auto.evolve", "true")];
    stored(&config, &[&format!(r#"{{"id":1,"{long}":"x"}}"#)]).await;
    stored(&config, &[&format!(r#"{{"id":2,"{long}":"y"}}"#)]).await;
    assert_eq!(sql("SELECT * FROM o_long ORDER BY id"), "1|x\n2|y");
    // A second field that is cut to the same name has no column, and is not dropped.
    let rows = format!(r#"{{"id":3,"{long}":"x","{long}d":"y"}}"#);
    assert!(put(&config, &[&rows]).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_finds_fields_in_another_case() {
    sql("CREATE TABLE o_case (id int PRIMARY KEY, name text, other text)");
    let config = [("topics", "o_case"), ("fields.whitelist", "Name")];
    stored(&config, &[r#"{"id":1,"name":"x","other":"y"}"#]).await;
    assert_eq!(sql("SELECT id, name, other IS NULL FROM o_case"), "1|x|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_topics_share_no_table_that_nobody_named() {
    let (a, b) = (format!("{}a", "t".repeat(70)), format!("{}b", "t".repeat(70)));
    let topics = format!("{a},{b}");
    let config = [
        ("topics", topics.as_str()),
        ("auto.create", "true"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    let error = {
        let mut task = task(&config).await;
        task.put(&json_batch(&a, false, 0, &values(&[r#"{"id":1}"#]))).await.unwrap_err()
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(&a) && error.to_string().contains(&b), "{error}");
    let mut task = task(&[&config[..], &[("table.name.format", "o_shared")]].concat()).await;
    for topic in [&a, &b] {
        task.put(&json_batch(topic, false, 0, &values(&[r#"{"id":1}"#]))).await.unwrap();
    }
    assert_eq!(sql("SELECT count(*) FROM o_shared"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_define_one_table_at_once_end_with_all_columns() {
    for round in 0..5 {
        let table = format!("o_both_{round}");
        let config = [
            ("topics", table.as_str()),
            ("auto.create", "true"),
            ("auto.evolve", "true"),
            ("insert.mode", "upsert"),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
        ];
        let (mut one, mut two) = (task(&config).await, task(&config).await);
        let first = json_batch(&table, false, 0, &values(&[r#"{"id":1,"b":"b"}"#]));
        let second = json_batch(&table, false, 0, &values(&[r#"{"id":2,"c":"c"}"#]));
        let (first, second) = tokio::join!(one.put(&first), two.put(&second));
        first.unwrap();
        second.unwrap();
        assert_eq!(sql(&format!("SELECT id, b, c FROM {table} ORDER BY id")), "1|b|\n2||c");
    }
}
