use std::{ops::Range, sync::Mutex};

use connect_core::{
    config::Properties,
    data::{Text, Value},
    prelude::async_trait,
    record::Record,
    registry::Registry,
};
use connect_core_testkit::{SinkHarness, SourceHarness, config_suite, sink_suite, source_suite};
use connectors_mysql::{MySqlSink, MySqlSource};

use xtask_servers::{MariaDb, MariaDbOptions};

use crate::{properties, source, sql};

struct Harness {
    table: &'static str,
    mode: &'static str,
    /// A server of its own, which can be killed while the other tests run on theirs.
    own: Option<Mutex<MariaDb>>,
}

impl Harness {
    fn new(table: &'static str, mode: &'static str, own: Option<Mutex<MariaDb>>) -> Self {
        let harness = Self { table, mode, own };
        let columns = "id int NOT NULL, v varchar(10), PRIMARY KEY (id)";
        harness.sql(&format!("CREATE TABLE {table} ({columns})"));
        harness
    }

    fn sql(&self, text: &str) -> String {
        match &self.own {
            Some(server) => server.lock().unwrap().query(text).unwrap(),
            None => sql(text),
        }
    }
}

fn object(id: Value, v: Value) -> Value {
    let key = |name: &'static str| Value::String(Text::from_static(name));
    Value::Map(vec![(key("id"), id), (key("v"), v)])
}

#[async_trait]
impl SinkHarness for Harness {
    fn registry(&self) -> Registry {
        Registry::default().sink::<MySqlSink>()
    }

    fn properties(&self) -> Properties {
        let mut properties = properties(&[
            ("topics", self.table),
            ("insert.mode", self.mode),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
            ("batch.size", "7"),
        ]);
        if let Some(server) = &self.own {
            let address = server.lock().unwrap().address();
            properties.insert("resolve".into(), format!("mysql-db:3306:{address}"));
        }
        properties
    }

    fn record(&self, number: i64) -> Record {
        let value = object(Value::Int64(number), Value::String(format!("v{number}").into()));
        Record { topic: Some(self.table.into()), value, ..Record::default() }
    }

    fn bad_record(&self) -> Option<Record> {
        let value = object(Value::Int64(99), Value::String("longer than ten".into()));
        Some(Record { topic: Some(self.table.into()), value, ..Record::default() })
    }

    async fn numbers(&self) -> Vec<i64> {
        let text = self.sql(&format!("SELECT id FROM {}", self.table));
        text.lines().map(|line| line.trim().parse().unwrap()).collect()
    }

    fn idempotent(&self) -> bool {
        self.mode == "upsert"
    }

    async fn restart(&self) -> bool {
        let Some(server) = &self.own else { return false };
        let mut server = server.lock().unwrap();
        server.kill9().unwrap();
        server.restart().unwrap();
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn insert() {
    sink_suite(&Harness::new("s_insert", "insert", None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upsert_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let own = MariaDb::start(dir.path(), MariaDbOptions::default()).unwrap();
    sink_suite(&Harness::new("s_upsert", "upsert", Some(Mutex::new(own)))).await;
}

#[tokio::test]
async fn configuration() {
    let registry = Registry::default().sink::<MySqlSink>();
    config_suite(&registry, "io.confluent.connect.jdbc.JdbcSinkConnector").await;
}

struct Source {
    table: &'static str,
    mode: &'static str,
}

impl Source {
    fn new(table: &'static str, mode: &'static str, id: &str) -> Self {
        source::sql(&format!(
            "CREATE TABLE {table} (id {id} PRIMARY KEY, valor text, updated_at datetime(6) NOT NULL)"
        ));
        Self { table, mode }
    }
}

#[async_trait]
impl SourceHarness for Source {
    fn registry(&self) -> Registry {
        Registry::default().source::<MySqlSource>()
    }

    fn properties(&self) -> Properties {
        source::properties(&[
            ("table.whitelist", self.table),
            ("mode", self.mode),
            ("incrementing.column.name", "id"),
            ("timestamp.column.name", "updated_at"),
            ("batch.max.rows", "10"),
        ])
    }

    async fn add(&self, numbers: Range<i64>) {
        // Each row at a time of its own, in the order of the numbers, and long past for the timestamp modes.
        let Range { start, end } = numbers;
        source::sql(&format!(
            "INSERT INTO {} SELECT seq, CONCAT('v', seq), TIMESTAMP'2021-01-01 00:00:00' + INTERVAL seq MICROSECOND \
             FROM seq_{start}_to_{}",
            self.table,
            end - 1
        ));
    }

    fn number(&self, record: &Record) -> i64 {
        let Value::Struct(values) = &record.value else { panic!("{record:?}") };
        match &values[0] {
            Value::Int32(id) => i64::from(*id),
            Value::Int64(id) => *id,
            Value::String(id) => id.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn source_incrementing() {
    source_suite(&Source::new("s_incrementing", "incrementing", "bigint")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_incrementing_text() {
    source_suite(&Source::new("s_text", "incrementing", "varchar(20)")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_timestamp() {
    source_suite(&Source::new("s_timestamp", "timestamp", "int")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn source_timestamp_incrementing() {
    source_suite(&Source::new("s_both", "timestamp+incrementing", "int unsigned")).await;
}

#[tokio::test]
async fn source_configuration() {
    let registry = Registry::default().source::<MySqlSource>();
    config_suite(&registry, "io.confluent.connect.jdbc.JdbcSourceConnector").await;
}
