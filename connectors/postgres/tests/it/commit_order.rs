//! Incrementing mode under transactions that end in another order than their ids were given out.

use std::collections::BTreeSet;

use connect_core::source::Polled;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio_postgres::Client;

use crate::{
    modes::{ids, open, read, read_next},
    notify::next,
    port, sql,
};

pub(crate) async fn client() -> Client {
    let url = format!("host=127.0.0.1 port={} user=user password=password dbname=mydb", port());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn pairs<'a>(table: &'a str, hold_back: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("table.whitelist", table),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("hold.back.running.transactions", hold_back),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_id_that_is_committed_later_is_not_lost() {
    sql(
        "CREATE TABLE o_late (id serial PRIMARY KEY, v text); INSERT INTO o_late (v) VALUES ('first')",
    );
    let slow = client().await;
    slow.batch_execute("BEGIN; INSERT INTO o_late (v) VALUES ('slow')").await.unwrap();
    sql("INSERT INTO o_late (v) VALUES ('fast')");
    let mut careless = open(&pairs("o_late", "false"), None).await.unwrap();
    let mut careful = open(&pairs("o_late", "true"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *careless).await.unwrap()), ["1", "3"]);
    assert_eq!(ids(&read(&mut *careful).await.unwrap()), [""; 0], "waits for the transaction");
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&read_next(&mut *careful).await), ["1", "2", "3"]);
    assert_eq!(ids(&read(&mut *careless).await.unwrap()), [""; 0], "the JVM's way has lost it");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_writers_of_the_table_are_waited_for() {
    sql("CREATE TABLE o_one (id serial PRIMARY KEY); CREATE TABLE o_two (id serial PRIMARY KEY); \
         INSERT INTO o_one DEFAULT VALUES");
    let (other, reader) = (client().await, client().await);
    other.batch_execute("BEGIN; INSERT INTO o_two DEFAULT VALUES").await.unwrap();
    reader.batch_execute("BEGIN; SELECT * FROM o_one").await.unwrap();
    let mut task = open(&pairs("o_one", "true"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_a_partition_is_one_of_the_table() {
    sql("CREATE TABLE o_part (id int, k int) PARTITION BY LIST (k); \
         CREATE TABLE o_part_1 PARTITION OF o_part FOR VALUES IN (1); INSERT INTO o_part VALUES (2, 1)");
    let slow = client().await;
    slow.batch_execute("BEGIN; INSERT INTO o_part_1 VALUES (1, 1)").await.unwrap();
    let mut config = pairs("o_part", "true").to_vec();
    config.extend([("table.types", "PARTITIONED TABLE"), ("validate.non.null", "false")]);
    let mut task = open(&config, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&read_next(&mut *task).await), ["1", "2"]);
}

/// What a transaction of the test does next.
#[derive(Debug, Clone)]
enum Act {
    /// Inserts a row in a transaction, which begins with its first.
    Insert(usize),
    /// Ends it: with true its rows are there, with false they are not.
    End(usize, bool),
    /// Lets the source read what it will.
    Poll,
}

const TRANSACTIONS: usize = 4;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..TRANSACTIONS).prop_map(Act::Insert),
        2 => (0..TRANSACTIONS, any::<bool>()).prop_map(|(t, commits)| Act::End(t, commits)),
        3 => Just(Act::Poll),
    ];
    proptest::collection::vec(act, 1..40)
}

/// However transactions interleave: what is committed is read once, in the order of the ids.
#[test]
fn interleaved_transactions_lose_nothing() {
    interleaved("o_any", &pairs("o_any", "true"));
}

/// The same, without a poll that would bring later what was forgotten.
#[test]
fn interleaved_transactions_lose_no_notification() {
    let notified = [
        ("poll.interval.ms", "600000"),
        ("notify.channel", "o_told"),
        ("notify.install.trigger", "true"),
    ];
    interleaved("o_told", &[pairs("o_told", "true").as_slice(), &notified].concat());
}

fn interleaved(table: &str, pairs: &[(&str, &str)]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    sql(&format!("CREATE TABLE {table} (id serial PRIMARY KEY)"));
    let writers: Vec<Client> = (0..TRANSACTIONS).map(|_| runtime.block_on(client())).collect();
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    });
    let tested = runner.run(&acts(), |acts| {
        runtime.block_on(async {
            sql(&format!("TRUNCATE {table}"));
            let mut task = open(pairs, None).await.unwrap();
            let mut began = [false; TRANSACTIONS];
            let mut seen = Vec::new();
            for act in acts {
                match act {
                    Act::Insert(t) => {
                        let begin = if began[t] { "" } else { "BEGIN; " };
                        began[t] = true;
                        let insert = format!("{begin}INSERT INTO {table} DEFAULT VALUES");
                        writers[t].batch_execute(&insert).await.unwrap();
                    }
                    Act::End(t, commits) => {
                        let end = if commits { "COMMIT" } else { "ROLLBACK" };
                        began[t] = false;
                        writers[t].batch_execute(end).await.unwrap();
                    }
                    Act::Poll => {
                        if let Polled::Batch(batch) = task.poll().await.unwrap() {
                            seen.extend(ids(&[batch]));
                        }
                    }
                }
            }
            for writer in &writers {
                writer.batch_execute("COMMIT").await.unwrap();
            }
            let there = sql(&format!("SELECT id FROM {table} ORDER BY id"));
            let there: Vec<&str> = there.split_whitespace().collect();
            while seen.len() < there.len() {
                seen.extend(ids(&next(&mut *task).await));
            }
            let once: BTreeSet<&String> = seen.iter().collect();
            prop_assert_eq!(once.len(), seen.len(), "a row came twice");
            prop_assert_eq!(seen, there);
            Ok(())
        })
    });
    tested.unwrap();
}
