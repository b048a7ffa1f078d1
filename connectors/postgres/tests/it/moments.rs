//! What is wrong for a moment: locks, read-only servers, connections that end.

use connect_core::{
    error::{Error, ErrorKind},
    sink::{Delivered, SinkTask},
};
use connect_core_testkit::{json_batch, values};

use crate::{commit_order::client, port, sink, sql};

async fn failed(task: &mut dyn SinkTask, table: &str, kind: ErrorKind) -> Error {
    let batch = json_batch(table, false, 0, &values(&[r#"{"id":1,"v":"b"}"#]));
    let error = task.put(&batch).await.expect_err("not now");
    assert!(error.is_retriable() && error.kind() == kind, "{error:?}");
    error
}

async fn writes(task: &mut dyn SinkTask, table: &str) {
    let batch = json_batch(table, false, 0, &values(&[r#"{"id":1,"v":"b"}"#]));
    assert!(matches!(task.put(&batch).await, Ok(Delivered::All)));
    assert_eq!(sql(&format!("SELECT v FROM {table}")).trim(), "b", "once");
}

async fn task(table: &str, parameters: &str) -> Box<dyn SinkTask> {
    sql(&format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, v text); INSERT INTO {table} VALUES (1, 'a')"
    ));
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb?{parameters}", port());
    let config = [
        ("topics", table),
        ("connection.url", url.as_str()),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ];
    sink::task(&config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_locked_is_written_later() {
    let mut task = task("w_lock", "options=-c%20lock_timeout%3D50").await;
    let other = client().await;
    other.batch_execute("BEGIN; UPDATE w_lock SET v = 'x'").await.unwrap();
    let error = failed(&mut *task, "w_lock", ErrorKind::Busy).await;
    assert!(error.to_string().contains("lock timeout"), "{error}");
    other.batch_execute("ROLLBACK").await.unwrap();
    writes(&mut *task, "w_lock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    let mut task = task("w_dead", "").await;
    sql("INSERT INTO w_dead VALUES (2, 'a')");
    let other = client().await;
    other.batch_execute("BEGIN; UPDATE w_dead SET v = 'x' WHERE id = 2").await.unwrap();
    let batch =
        json_batch("w_dead", false, 0, &values(&[r#"{"id":1,"v":"b"}"#, r#"{"id":2,"v":"b"}"#]));
    // The task holds the first row and waits for the second; the other wants the first, and breaks the knot.
    let put = tokio::spawn(async move {
        let first = task.put(&batch).await;
        (first.map(drop), task, batch)
    });
    let blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN \
                   (SELECT pid FROM pg_stat_activity WHERE query LIKE '%w_dead%unnest%')";
    while sql(blocked).trim() == "0" {
        tokio::task::yield_now().await;
    }
    let broken = other.batch_execute("UPDATE w_dead SET v = 'x' WHERE id = 1").await;
    // One of the two was chosen to give way.
    drop(broken);
    other.batch_execute("ROLLBACK").await.unwrap();
    let (first, mut task, batch) = put.await.unwrap();
    if let Err(error) = first {
        assert!(error.is_retriable() && error.kind() == ErrorKind::Busy, "{error:?}");
        task.put(&batch).await.unwrap();
    }
    assert_eq!(sql("SELECT count(*) FROM w_dead WHERE v = 'b'").trim(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_is_left_for_another() {
    let mut task = task("w_read", "ApplicationName=w_read").await;
    writes(&mut *task, "w_read").await;
    // As a primary that has become a replica: the sessions stay, and every statement that writes is refused.
    sql("CREATE FUNCTION w_refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'read-only' USING ERRCODE = '25006'; END$$; \
         CREATE TRIGGER w_refuse BEFORE INSERT ON w_read FOR EACH STATEMENT EXECUTE FUNCTION w_refuse()");
    let pid = "SELECT pid FROM pg_stat_activity WHERE application_name = 'w_read'";
    let before = sql(pid);
    let error = failed(&mut *task, "w_read", ErrorKind::Connection).await;
    assert!(error.to_string().contains("25006"), "{error}");
    sql("DROP TRIGGER w_refuse ON w_read");
    writes(&mut *task, "w_read").await;
    assert!(!sql(pid).contains(before.trim()), "by another connection, which may lead elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_is_replaced() {
    let mut task = task("w_kill", "ApplicationName=w_kill").await;
    writes(&mut *task, "w_kill").await;
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'w_kill'");
    let batch = json_batch("w_kill", false, 1, &values(&[r#"{"id":2,"v":"c"}"#]));
    if let Err(error) = task.put(&batch).await {
        assert!(error.is_retriable(), "{error:?}");
        task.put(&batch).await.unwrap();
    }
    assert_eq!(sql("SELECT count(*) FROM w_kill").trim(), "2");
}
