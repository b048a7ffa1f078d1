use connect_core::{
    config::Properties,
    data::{Text, Value},
    prelude::async_trait,
    record::Record,
    registry::Registry,
};
use connect_core_testkit::{SinkHarness, config_suite, sink_suite};
use connectors_mysql::MySqlSink;

use crate::{properties, server, sql};

struct Harness {
    table: &'static str,
    mode: &'static str,
    restart: bool,
}

impl Harness {
    fn new(table: &'static str, mode: &'static str) -> Self {
        sql(&format!("CREATE TABLE {table} (id int NOT NULL, v varchar(10), PRIMARY KEY (id))"));
        Self { table, mode, restart: false }
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
        properties(&[
            ("topics", self.table),
            ("insert.mode", self.mode),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
            ("batch.size", "7"),
        ])
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
        let text = sql(&format!("SELECT id FROM {}", self.table));
        text.lines().map(|line| line.trim().parse().unwrap()).collect()
    }

    fn idempotent(&self) -> bool {
        self.mode == "upsert"
    }

    async fn restart(&self) -> bool {
        if self.restart {
            let mut server = server().lock().unwrap();
            server.kill9().unwrap();
            server.restart().unwrap();
        }
        self.restart
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn insert() {
    sink_suite(&Harness::new("s_insert", "insert")).await;
}

/// The only test that restarts the server: the others retry what may be retried.
#[tokio::test(flavor = "multi_thread")]
async fn upsert_and_a_restart() {
    sink_suite(&Harness { restart: true, ..Harness::new("s_upsert", "upsert") }).await;
}

#[tokio::test]
async fn configuration() {
    let registry = Registry::default().sink::<MySqlSink>();
    config_suite(&registry, "io.confluent.connect.jdbc.JdbcSinkConnector").await;
}
