//! `notify.channel`: rows that arrive because the database says so, at a poll interval of ten minutes.

use std::time::Duration;

use connect_core::{
    plugin::{DynSourceTask, ErasedBatch},
    registry::Registry,
    source::Polled,
};
use connectors_postgres::PostgresSource;
use tokio::time::timeout;

use crate::{
    commit_order::client,
    modes::{ids, open, properties, read},
    sql,
};

/// Far below the poll interval: what arrives within it was not polled for.
const DEADLINE: Duration = Duration::from_secs(60);

fn pairs<'a>(table: &'a str, trigger: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("table.whitelist", table),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("poll.interval.ms", "600000"),
        ("notify.channel", table),
        ("notify.install.trigger", trigger),
    ]
}

/// The next batch; waits as the runtime does.
pub(crate) async fn next(task: &mut dyn DynSourceTask) -> Vec<ErasedBatch> {
    let reading = async {
        loop {
            match task.poll().await.unwrap() {
                Polled::Batch(batch) => return vec![batch],
                // Until the one or the other.
                Polled::Idle(wait) => drop(timeout(wait, task.woken()).await),
            }
        }
    };
    timeout(DEADLINE, reading).await.expect("arrives without a poll")
}

fn listeners(channel: &str) -> String {
    sql(&format!("SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"{channel}\"'"))
}

fn triggers(table: &str) -> String {
    sql(&format!(
        "SELECT tgname || ' ' || tgrelid::regclass FROM pg_trigger WHERE tgname LIKE 'ferrovia%' \
         AND tgrelid IN (SELECT oid FROM pg_class WHERE relname LIKE '{table}%') ORDER BY 1"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trigger_is_installed_once_and_brings_each_row() {
    // Dropping the function takes the triggers of all tables of its schema along.
    sql("CREATE SCHEMA n_drop; CREATE TABLE n_drop.n_trigger (id serial PRIMARY KEY)");
    let pairs = pairs("n_trigger", "true");
    let mut task = open(&pairs, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    for id in ["1", "2", "3"] {
        sql("INSERT INTO n_drop.n_trigger DEFAULT VALUES");
        assert_eq!(ids(&next(&mut *task).await), [id]);
    }
    let first = sql("SELECT oid FROM pg_trigger WHERE tgname = 'ferrovia_notify_n_trigger'");
    assert_eq!(listeners("n_trigger"), "1");
    // A restart while somebody writes: nothing is installed anew, so no lock of the table is waited for.
    let slow = client().await;
    slow.batch_execute("BEGIN; INSERT INTO n_drop.n_trigger DEFAULT VALUES").await.unwrap();
    let mut again = open(&pairs, None).await.unwrap();
    assert_eq!(sql("SELECT oid FROM pg_trigger WHERE tgname = 'ferrovia_notify_n_trigger'"), first);
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&next(&mut *again).await), ["1", "2", "3", "4"]);
    // Another connector's channel is another trigger.
    let mut other = pairs.clone();
    other[4].1 = "Other \"channel' \\";
    let mut other = open(&other, None).await.unwrap();
    assert_eq!(ids(&next(&mut *other).await), ["1", "2", "3", "4"]);
    sql("INSERT INTO n_drop.n_trigger DEFAULT VALUES");
    assert_eq!(
        (ids(&next(&mut *other).await), ids(&next(&mut *again).await)),
        (vec!["5".into()], vec!["5".into()])
    );
    assert_eq!(triggers("n_trigger").lines().count(), 2);
    sql("DROP FUNCTION n_drop.ferrovia_notify() CASCADE");
    assert_eq!(triggers("n_trigger"), "", "as documented");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_have_triggers_and_views_have_none() {
    sql(
        "CREATE SCHEMA \"n.s\"; CREATE TABLE \"n.s\".n_part (id int, k int) PARTITION BY LIST (k); \
         CREATE TABLE \"n.s\".n_part_1 PARTITION OF \"n.s\".n_part FOR VALUES IN (1); \
         CREATE VIEW \"n.s\".n_part_v AS SELECT * FROM \"n.s\".n_part",
    );
    let mut pairs = pairs("n_part", "true");
    pairs.extend([
        ("schema.pattern", "n.s"),
        ("table.types", "PARTITIONED TABLE,VIEW"),
        ("validate.non.null", "false"),
    ]);
    pairs[0] = ("table.whitelist", "n_part,n_part_v");
    let mut task = open(&pairs, None).await.unwrap();
    assert_eq!(triggers("n_part").lines().count(), 2);
    for (id, into) in [("1", "n_part_1"), ("2", "n_part")] {
        sql(&format!("INSERT INTO \"n.s\".{into} VALUES ({id}, 1)"));
        // The view is due too.
        assert_eq!(ids(&next(&mut *task).await), [id]);
        assert_eq!(ids(&next(&mut *task).await), [id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_after_the_connection_that_listens_was_lost() {
    sql("CREATE TABLE n_lost (id serial PRIMARY KEY)");
    let mut task = open(&pairs("n_lost", "true"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    for round in 0..3 {
        // While nobody listens.
        let ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query = 'LISTEN \"n_lost\"'";
        assert_eq!(sql(ended), "t");
        sql("INSERT INTO n_lost DEFAULT VALUES");
        assert_eq!(ids(&next(&mut *task).await), [(2 * round + 1).to_string()]);
        assert_eq!(listeners("n_lost"), "1");
        sql("INSERT INTO n_lost DEFAULT VALUES");
        assert_eq!(ids(&next(&mut *task).await), [(2 * round + 2).to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_during_reading_is_not_lost() {
    sql(
        "CREATE TABLE n_during (id serial PRIMARY KEY); INSERT INTO n_during SELECT FROM generate_series(1, 3)",
    );
    let mut pairs = pairs("n_during", "true");
    pairs.push(("batch.max.rows", "1"));
    let mut task = open(&pairs, None).await.unwrap();
    assert_eq!(ids(&next(&mut *task).await), ["1"]);
    // The query has begun, and does not see it.
    sql("INSERT INTO n_during DEFAULT VALUES");
    for id in ["2", "3", "4"] {
        assert_eq!(ids(&next(&mut *task).await), [id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_while_rows_are_held_back_is_not_lost() {
    sql("CREATE TABLE n_held (id serial PRIMARY KEY)");
    let mut task = open(&pairs("n_held", "true"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    let slow = client().await;
    slow.batch_execute("BEGIN; INSERT INTO n_held DEFAULT VALUES").await.unwrap();
    sql("INSERT INTO n_held DEFAULT VALUES");
    // The horizon is at 2 now.
    timeout(DEADLINE, task.woken()).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    sql("INSERT INTO n_held DEFAULT VALUES");
    timeout(DEADLINE, task.woken()).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&next(&mut *task).await), ["1", "2"]);
    assert_eq!(ids(&next(&mut *task).await), ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_are_too_new_are_looked_at_again() {
    sql("CREATE TABLE n_time (id serial PRIMARY KEY, up timestamptz NOT NULL DEFAULT now())");
    for mode in ["timestamp", "timestamp+incrementing"] {
        for (hold_back, delay) in [("true", "0"), ("false", "0"), ("true", "300")] {
            let mut pairs = pairs("n_time", "true");
            pairs[1] = ("mode", mode);
            pairs.extend([("timestamp.column.name", "up"), ("timestamp.initial", "-1")]);
            pairs.extend([("hold.back.running.transactions", hold_back)]);
            pairs.extend([("timestamp.delay.interval.ms", delay)]);
            let mut task = open(&pairs, None).await.unwrap();
            assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
            for _ in 0..3 {
                let id = sql("INSERT INTO n_time DEFAULT VALUES RETURNING id");
                assert_eq!(ids(&next(&mut *task).await), [id], "{mode}, {hold_back}, {delay}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_listens_only_hears_what_others_say() {
    sql("CREATE TABLE n_only (id int PRIMARY KEY)");
    let mut table = open(&pairs("n_only", "false"), None).await.unwrap();
    let mut config = pairs("n_only", "false");
    config[0] = ("query", "SELECT * FROM n_only");
    let mut query = open(&config, None).await.unwrap();
    for task in [&mut table, &mut query] {
        assert_eq!(ids(&read(&mut **task).await.unwrap()), [""; 0]);
    }
    sql("INSERT INTO n_only VALUES (1); NOTIFY n_only");
    for task in [&mut table, &mut query] {
        assert_eq!(ids(&next(&mut **task).await), ["1"]);
    }
    assert_eq!(triggers("n_only"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_nobody_listens_and_nothing_is_installed() {
    sql("CREATE TABLE n_off (id int PRIMARY KEY); INSERT INTO n_off VALUES (1)");
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'n_off'";
    let pairs = |channel| {
        [
            ("table.whitelist", "n_off"),
            ("mode", "incrementing"),
            ("incrementing.column.name", "id"),
            ("connection.ApplicationName", "n_off"),
            ("notify.channel", channel),
        ]
    };
    // Its connector was asked for tables and is gone.
    let mut off = open(&pairs(" "), None).await.unwrap();
    assert_eq!(ids(&read(&mut *off).await.unwrap()), ["1"]);
    let gone = |count: &'static str| move || (sql(connections) == count).then_some(());
    xtask_servers::wait_until("its connections", DEADLINE, gone("1")).unwrap();
    assert_eq!(triggers("n_off"), "");
    let mut on = open(&pairs("n_off"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *on).await.unwrap()), ["1"]);
    xtask_servers::wait_until("its connections", DEADLINE, gone("3")).unwrap();
    drop(on);
    xtask_servers::wait_until("its connections", DEADLINE, gone("1")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let long = "x".repeat(64);
    for (pairs, key) in [
        (vec![("table.whitelist", "t"), ("notify.install.trigger", "true")], "notify.channel"),
        (vec![("table.whitelist", "t"), ("notify.channel", long.as_str())], "notify.channel"),
        (
            vec![
                ("query", "SELECT 1 AS id"),
                ("notify.channel", "c"),
                ("notify.install.trigger", "true"),
            ],
            "notify.install.trigger",
        ),
    ] {
        let pairs =
            [pairs.as_slice(), &[("mode", "incrementing"), ("incrementing.column.name", "id")]];
        let properties = properties(&pairs.concat());
        let registry = Registry::default().source::<PostgresSource>();
        let plugin = registry.find("PostgresSource", &properties).unwrap();
        let invalid = plugin.validate(&properties).await;
        let keys: Vec<&str> = invalid.iter().map(|invalid| invalid.key.as_str()).collect();
        assert_eq!(keys, [key]);
    }
}
