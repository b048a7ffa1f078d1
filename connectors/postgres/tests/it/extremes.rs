//! Tables that are wide, values that are large, tables that change while they are read.

use connect_core::{data::Value, error::ErrorKind, source::Polled};
use connect_core_testkit::{json_batch, values};

use crate::{
    modes::{ids, open, read, read_next},
    sink, sql,
};

fn incrementing(table: &str) -> [(&str, &str); 3] {
    [("table.whitelist", table), ("mode", "incrementing"), ("incrementing.column.name", "id")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_in_one_value() {
    sql("CREATE TABLE x_large (id int PRIMARY KEY, v text); INSERT INTO x_large VALUES (1, 'a'), \
         (2, repeat('é', 50000000)), (3, repeat('x', 3000000)), (4, repeat('y', 3000000)), (5, 'b')");
    let mut task = open(&incrementing("x_large"), None).await.unwrap();
    let batches = read(&mut *task).await.unwrap();
    assert_eq!(ids(&batches), ["1", "2", "3", "4", "5"]);
    assert!(batches.len() > 2, "a batch is bounded by its bytes: {}", batches.len());
    let Value::Struct(row) = &batches.iter().flat_map(|b| &b.records).nth(1).unwrap().value else {
        panic!()
    };
    assert_eq!(row[1].as_str().unwrap().len(), 100_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_columns_as_there_can_be() {
    let columns: Vec<String> = (1..1600).map(|n| format!("c{n} int")).collect();
    sql(&format!("CREATE TABLE x_wide (id int PRIMARY KEY, {})", columns.join(",")));
    sql("INSERT INTO x_wide (id, c1, c1599) VALUES (1, 7, 8)");
    let batches = read(&mut *open(&incrementing("x_wide"), None).await.unwrap()).await.unwrap();
    let Value::Struct(row) = &batches[0].records[0].value else { panic!() };
    assert_eq!((row.len(), &row[1], &row[1599]), (1600, &Value::Int32(7), &Value::Int32(8)));
    let fields: Vec<String> = (1..1600).map(|n| format!("\"c{n}\":{n}")).collect();
    let json = format!("{{\"id\":1,{}}}", fields.join(","));
    let mut task = sink::task(&[
        ("topics", "x_wide"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ])
    .await;
    task.put(&json_batch("x_wide", false, 0, &values(&[&json]))).await.unwrap();
    assert_eq!(sql("SELECT c1, c800, c1599 FROM x_wide").trim(), "1\t800\t1599");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_table_and_nothing_in_the_key() {
    sql("CREATE TABLE x_empty (); INSERT INTO x_empty DEFAULT VALUES");
    let bulk = [("table.whitelist", "x_empty"), ("mode", "bulk")];
    let Polled::Batch(batch) = open(&bulk, None).await.unwrap().poll().await.unwrap() else {
        panic!()
    };
    assert_eq!(batch.records.len(), 1, "a row without columns is a row");
    sql("CREATE TABLE x_null (id int, v text); INSERT INTO x_null VALUES (NULL, 'a'), (2, 'b')");
    let error = open(&incrementing("x_null"), None).await.err().expect("refused");
    assert!(error.to_string().contains("nullable"), "{error}");
    let config = [incrementing("x_null").as_slice(), &[("validate.non.null", "false")]].concat();
    assert_eq!(ids(&read(&mut *open(&config, None).await.unwrap()).await.unwrap()), ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_renamed_and_comes_back() {
    sql("CREATE TABLE x_rename (id int PRIMARY KEY, v text); INSERT INTO x_rename VALUES (1, 'a')");
    let mut task = open(&incrementing("x_rename"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["1"]);
    sql("ALTER TABLE x_rename RENAME v TO w; INSERT INTO x_rename VALUES (2, 'b')");
    let batch = &read_next(&mut *task).await[0];
    let schema = batch.records[0].value_schema.as_ref().unwrap();
    assert_eq!(&*schema.fields()[1].name, "w");
    // Without its column the table waits, and goes on where it was.
    sql("ALTER TABLE x_rename RENAME id TO key; INSERT INTO x_rename VALUES (3, 'c')");
    let error = loop {
        match task.poll().await {
            Err(error) => break error,
            Ok(polled) => assert!(matches!(polled, Polled::Idle(_))),
        }
    };
    assert!(error.is_retriable() && error.to_string().contains("id"), "{error}");
    assert_ne!(error.kind(), ErrorKind::Data);
    sql("ALTER TABLE x_rename RENAME key TO id");
    let batch = loop {
        if let Ok(Polled::Batch(batch)) = task.poll().await {
            break batch;
        }
    };
    assert_eq!(ids(&[batch]), ["3"]);
}
