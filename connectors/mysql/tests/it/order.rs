//! As if one record after the other: order within a batch, keys that MySQL would take for one, refusals of triggers.

use connect_core::error::{Error, ErrorKind};
use connect_core_testkit::{json_batch, values};

use crate::{sql, task};

/// Puts rows as one batch; the error, if there is one.
async fn put(pairs: &[(&str, &str)], rows: &[&str]) -> Option<Error> {
    let base = [("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id")];
    let given = |key: &str| pairs.iter().any(|(known, _)| *known == key);
    let mut config: Vec<_> = base.into_iter().filter(|(key, _)| !given(key)).collect();
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
    sql("CREATE TABLE o_unique (id int PRIMARY KEY, email varchar(9) UNIQUE, n int)");
    sql("INSERT INTO o_unique VALUES (1, 'a', 0)");
    let rows = [
        r#"{"id":2,"email":"x","n":1}"#,
        r#"{"id":1,"email":"c","n":2}"#,
        r#"{"id":2,"email":"a","n":3}"#,
    ];
    stored(&[("topics", "o_unique")], &rows).await;
    assert_eq!(sql("SELECT * FROM o_unique ORDER BY id"), "1\tc\t2\n2\ta\t3");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_changes_no_row_but_that_of_its_key() {
    sql("CREATE TABLE o_other (id int PRIMARY KEY, email varchar(9) UNIQUE, n int)");
    sql("INSERT INTO o_other VALUES (2, 'a', 1)");
    let row = r#"{"id":44,"email":"a","n":2}"#;
    let error = put(&[("topics", "o_other")], &[row]).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(error.to_string().contains("unique index"), "{error}");
    assert_eq!(sql("SELECT * FROM o_other"), "2\ta\t1");
    sql("DELETE FROM o_other");
    stored(&[("topics", "o_other")], &[row, r#"{"id":44,"email":"b","n":3}"#]).await;
    assert_eq!(sql("SELECT * FROM o_other"), "44\tb\t3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_refers_to_itself_is_written_in_order() {
    sql(
        "CREATE TABLE o_self (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES o_self(id))",
    );
    let rows = [r#"{"id":2,"parent":null}"#, r#"{"id":3,"parent":null}"#, r#"{"id":2,"parent":3}"#];
    stored(&[("topics", "o_self")], &rows).await;
    assert_eq!(sql("SELECT * FROM o_self ORDER BY id"), "2\t3\n3\tNULL");
    let orphan = put(&[("topics", "o_self")], &[r#"{"id":9,"parent":8}"#]).await.unwrap();
    assert_eq!(orphan.kind(), ErrorKind::Conflict, "{orphan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_tables_that_are_made_tell_apart_what_kafka_does() {
    let keys = ["ab", "AB", "ab ", "äb", "zz"];
    let rows: Vec<String> =
        keys.iter().enumerate().map(|(n, key)| format!(r#"{{"k":"{key}","v":{n}}}"#)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    for (table, mode) in [("o_keys_u", "upsert"), ("o_keys_i", "insert")] {
        let config =
            [("topics", table), ("auto.create", "true"), ("pk.fields", "k"), ("insert.mode", mode)];
        stored(&config, &rows).await;
        let found = sql(&format!("SELECT CONCAT('<', k, '>'), v FROM {table} ORDER BY v"));
        assert_eq!(found, "<ab>\t0\n<AB>\t1\n<ab >\t2\n<äb>\t3\n<zz>\t4");
    }
    let four = [("topics", "o_keys_4"), ("auto.create", "true"), ("pk.fields", "a,b,c,d")];
    let row = r#"{"a":"aaa","b":"bbb","c":"ccc","d":"ddd","n":1}"#;
    stored(&four, &[row, &row.replace('1', "2")]).await;
    assert_eq!(sql("SELECT a, d, n FROM o_keys_4"), "aaa\tddd\t2");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_padded_when_stored_are_one_row_in_order() {
    for (table, ty) in
        [("o_fixed_b", "binary(3)"), ("o_fixed_c", "char(3) COLLATE utf8mb4_nopad_bin")]
    {
        sql(&format!("CREATE TABLE {table} (k {ty} PRIMARY KEY, v int)"));
        let pad = if ty.starts_with("binary") { "\\u0000" } else { " " };
        let rows = [
            r#"{"k":"é","v":1}"#.to_owned(),
            format!(r#"{{"k":"é{pad}","v":2}}"#),
            r#"{"k":"é","v":3}"#.to_owned(),
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        stored(&[("topics", table), ("pk.fields", "k")], &rows).await;
        assert_eq!(sql(&format!("SELECT v FROM {table}")), "3", "{ty}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_is_an_id_too() {
    sql("CREATE TABLE o_zero (id int PRIMARY KEY AUTO_INCREMENT, v varchar(9))");
    stored(&[("topics", "o_zero")], &[r#"{"id":0,"v":"zero"}"#, r#"{"id":1,"v":"one"}"#]).await;
    assert_eq!(sql("SELECT * FROM o_zero ORDER BY id"), "0\tzero\n1\tone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_widened_keeps_what_its_definition_says() {
    sql(
        "CREATE TABLE o_wide (id int PRIMARY KEY AUTO_INCREMENT, v tinytext NOT NULL DEFAULT 'none' COMMENT 'it''s', \
         n smallint DEFAULT 7)",
    );
    let long = "é".repeat(200);
    let row = format!(r#"{{"id":1,"v":"{long}","n":70000}}"#);
    stored(&[("topics", "o_wide"), ("auto.evolve", "true")], &[&row]).await;
    assert_eq!(sql("SELECT CHAR_LENGTH(v), n FROM o_wide"), "200\t70000");
    let shown = sql("SHOW CREATE TABLE o_wide");
    assert!(shown.contains("DEFAULT 'none' COMMENT 'it''s'"), "{shown}");
    assert!(shown.contains("DEFAULT 7") && shown.contains("AUTO_INCREMENT"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_need_a_unique_index_on_their_key() {
    sql("CREATE TABLE o_keyless (id int, v int)");
    let error = put(&[("topics", "o_keyless")], &[r#"{"id":1,"v":1}"#]).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("ADD UNIQUE (`id`)"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_signals_is_taken_for_what_it_says() {
    let signals = [
        ("45000", 1644, ErrorKind::Data),
        ("23000", 1452, ErrorKind::Conflict),
        ("23000", 1062, ErrorKind::Conflict),
        ("HY000", 1114, ErrorKind::Busy),
        ("HY000", 1021, ErrorKind::Busy),
        ("HY000", 1030, ErrorKind::Busy),
        ("HY000", 1020, ErrorKind::Busy),
        ("HY000", 1205, ErrorKind::Busy),
        ("40001", 1213, ErrorKind::Busy),
        ("53000", 4000, ErrorKind::Busy),
        ("08S01", 1047, ErrorKind::Connection),
        ("42000", 1142, ErrorKind::Rejected),
    ];
    for (n, (state, code, kind)) in signals.into_iter().enumerate() {
        let table = format!("o_signal_{n}");
        sql(&format!("CREATE TABLE {table} (id int PRIMARY KEY)"));
        sql(&format!(
            "CREATE TRIGGER g_{n} BEFORE INSERT ON {table} FOR EACH ROW \
             SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'simulated'"
        ));
        let error = put(&[("topics", &table)], &[r#"{"id":1}"#]).await.unwrap();
        assert_eq!(error.kind(), kind, "{state} {code}: {error:?}");
    }
}
