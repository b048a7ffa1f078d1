use std::ops::Range;

use connect_core::{
    config::Properties, data::Value, prelude::async_trait, record::Record, registry::Registry,
};
use connect_core_testkit::{SinkHarness, SourceHarness, config_suite, sink_suite, source_suite};
use connectors_postgres::{PostgresSink, PostgresSource};

use crate::{port, sink, sql};

struct Harness {
    table: &'static str,
    mode: &'static str,
    text_ids: bool,
    /// Whether the table notifies.
    notifies: bool,
}

impl Harness {
    fn new(table: &'static str, mode: &'static str, id: &str) -> Self {
        sql(&format!(
            "CREATE TABLE {table} (id {id} PRIMARY KEY, valor text, \
             updated_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        ));
        Self { table, mode, text_ids: id == "text", notifies: false }
    }

    fn notifying(table: &'static str, mode: &'static str) -> Self {
        Self { notifies: true, ..Self::new(table, mode, "int") }
    }
}

#[async_trait]
impl SourceHarness for Harness {
    fn registry(&self) -> Registry {
        Registry::default().source::<PostgresSource>()
    }

    fn properties(&self) -> Properties {
        let url = "jdbc:postgresql://postgres-db:5432/mydb";
        let resolve = format!("postgres-db:5432:127.0.0.1:{}", port());
        let pairs = [
            ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
            ("connection.url", url),
            ("connection.user", "user"),
            ("connection.password", "password"),
            ("resolve", &resolve),
            ("table.whitelist", self.table),
            ("mode", self.mode),
            ("incrementing.column.name", "id"),
            ("timestamp.column.name", "updated_at"),
            ("poll.interval.ms", "20"),
            ("batch.max.rows", "10"),
            ("topic.prefix", "p-"),
            ("notify.channel", if self.notifies { self.table } else { "" }),
            ("notify.install.trigger", if self.notifies { "true" } else { "false" }),
        ];
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    async fn add(&self, numbers: Range<i64>) {
        // Each row at a time of its own, in the order of the numbers, and long past for the timestamp modes.
        let Range { start, end } = numbers;
        sql(&format!(
            "INSERT INTO {} SELECT n, 'v' || n, timestamptz '2021-01-01' + n * interval '1 microsecond' \
             FROM generate_series({start}, {end} - 1) n",
            self.table
        ));
    }

    fn number(&self, record: &Record) -> i64 {
        let Value::Struct(values) = &record.value else { panic!("{record:?}") };
        match &values[0] {
            Value::Int32(id) => i64::from(*id),
            Value::Int64(id) => *id,
            Value::String(id) if self.text_ids => id.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incrementing() {
    source_suite(&Harness::new("s_incrementing", "incrementing", "int")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incrementing_text() {
    source_suite(&Harness::new("s_text", "incrementing", "text")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamp() {
    source_suite(&Harness::new("s_timestamp", "timestamp", "bigint")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamp_incrementing() {
    source_suite(&Harness::new("s_both", "timestamp+incrementing", "int")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notified() {
    source_suite(&Harness::notifying("s_notified", "incrementing")).await;
    source_suite(&Harness::notifying("s_notified_ts", "timestamp")).await;
    source_suite(&Harness::notifying("s_notified_both", "timestamp+incrementing")).await;
}

#[tokio::test]
async fn configuration() {
    let registry = Registry::default().source::<PostgresSource>();
    config_suite(&registry, "io.confluent.connect.jdbc.JdbcSourceConnector").await;
}

struct Target {
    table: &'static str,
    mode: &'static str,
}

impl Target {
    fn new(table: &'static str, mode: &'static str) -> Self {
        sql(&format!("CREATE TABLE {table} (id int NOT NULL PRIMARY KEY, v varchar(10))"));
        Self { table, mode }
    }

    fn row(&self, id: i64, v: String) -> Record {
        let key = |name: &'static str| Value::from(name);
        let value = Value::Map(vec![(key("id"), Value::Int64(id)), (key("v"), Value::from(v))]);
        Record { topic: Some(self.table.into()), value, ..Record::default() }
    }
}

#[async_trait]
impl SinkHarness for Target {
    fn registry(&self) -> Registry {
        Registry::default().sink::<PostgresSink>()
    }

    fn properties(&self) -> Properties {
        sink::properties(&[
            ("topics", self.table),
            ("insert.mode", self.mode),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
            ("batch.size", "7"),
        ])
    }

    fn record(&self, number: i64) -> Record {
        self.row(number, format!("v{number}"))
    }

    fn bad_record(&self) -> Option<Record> {
        Some(self.row(99, "longer than ten".to_owned()))
    }

    async fn numbers(&self) -> Vec<i64> {
        let text = sql(&format!("SELECT id FROM {}", self.table));
        text.lines().map(|line| line.trim().parse().unwrap()).collect()
    }

    fn idempotent(&self) -> bool {
        self.mode == "upsert"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sink_insert() {
    sink_suite(&Target::new("s_insert", "insert")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sink_upsert() {
    sink_suite(&Target::new("s_upsert", "upsert")).await;
}

#[tokio::test]
async fn sink_configuration() {
    let registry = Registry::default().sink::<PostgresSink>();
    config_suite(&registry, "io.confluent.connect.jdbc.JdbcSinkConnector").await;
}
