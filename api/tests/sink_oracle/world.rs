//! A worker on the embedded log beside a database, and what a case does with them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use api::{RunningWorker, WorkerOptions};
use bytes::Bytes;
use connect_core::{
    config::Properties,
    transport::{Append, Message, NewTopic, Producer, Transport},
};
use connect_core_log::EmbeddedLog;
use connect_core_testkit::until;
use serde_json::{Value as Json, json};

use crate::{
    database::Database,
    draw::{self, Case, Record, Trigger},
    oracle,
};

pub(crate) struct World {
    database: Database,
    worker: RunningWorker,
    log: Arc<EmbeddedLog>,
    address: String,
    refused: AtomicUsize,
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(database: Database) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(dir.path()).unwrap());
        let properties = [
            ("listeners", "http://127.0.0.1:0"),
            ("offset.flush.interval.ms", "20"),
            ("key.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("key.converter.schemas.enable", "false"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
        ];
        let properties: Properties =
            properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (registry, loggers) = (connectors::registry(), Arc::default());
        let transport: Option<Arc<dyn Transport>> = Some(Arc::clone(&log) as _);
        let options = WorkerOptions { properties, registry, transport, loggers };
        let worker = RunningWorker::start(options).await.unwrap();
        let address = worker.addresses()[0].to_string();
        Self { database, worker, log, address, refused: AtomicUsize::new(0), dir }
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) {
        self.worker.shut_down().await;
        drop((self.log, self.dir));
    }

    async fn http(&self, method: &str, path: &str, body: Option<Json>) -> (u16, Json) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(text).unwrap_or(Json::Null))
    }

    /// Runs one case.
    pub(crate) async fn case(&self, seed: u64) {
        let case = draw::case(seed, &self.database);
        let topic = format!("c{seed}");
        let of = |prefix: &str| -> Vec<String> {
            (0..case.tables.len()).map(|at| format!("{prefix}c{seed}_{}", 2000 + at)).collect()
        };
        let (sinks, oracles) = (of("s"), of("o"));
        for names in [&sinks, &oracles] {
            for (at, table) in case.tables.iter().enumerate() {
                for sql in table.definitions(&self.database, names, at) {
                    self.database.must(&sql).await;
                }
            }
        }
        for name in [&topic, &format!("dead-{seed}")] {
            let new = NewTopic {
                name: name.clone(),
                partitions: Some(1),
                replication_factor: None,
                compacted: false,
                properties: BTreeMap::new(),
            };
            self.log.create_topic(&new).await.unwrap();
        }
        let refused = oracle::write(&self.database, &case, &oracles).await;
        self.refused.fetch_add(refused.len(), Ordering::Relaxed);
        self.sink(seed, &case).await;
        let mut expected: Vec<_> = refused.iter().map(|at| message(&case.records[*at])).collect();
        let mut found = self.dead_letters(seed).await;
        expected.sort();
        found.sort();
        if case.faults {
            // A record may be told twice if its transaction was lost.
            found.dedup();
            expected.dedup();
        }
        assert_eq!(found, expected, "dead letters of seed {seed}: {case:#?}");
        for (at, table) in case.tables.iter().enumerate() {
            let mut pairs = vec![(columns(&case, at), sinks[at].clone(), oracles[at].clone())];
            if table.trigger == Trigger::Logs {
                let log = |name: &str| format!("{name}_log ORDER BY n");
                let columns = vec!["v".to_owned(), "others".to_owned()];
                pairs.push((columns, log(&sinks[at]), log(&oracles[at])));
            }
            for (columns, sink, oracle) in pairs {
                let (found, expected) =
                    (self.rows(&columns, &sink).await, self.rows(&columns, &oracle).await);
                assert_eq!(found, expected, "{sink} of seed {seed}: {case:#?}");
            }
        }
        self.http("DELETE", &format!("/connectors/k{seed}"), None).await;
        for name in sinks.iter().chain(&oracles).rev() {
            let cascade = if self.database.is_postgres() { " CASCADE" } else { "" };
            self.database.must(&format!("DROP TABLE IF EXISTS {name}_log{cascade}")).await;
            self.database.must(&format!("DROP TABLE {name}{cascade}")).await;
        }
    }

    /// Has a sink write the records, and waits until it has committed all of them.
    async fn sink(&self, seed: u64, case: &Case) {
        let (kind, database, user, password) = match self.database.is_postgres() {
            true => {
                let xtask_servers::PostgresOptions { database, user, password, .. } =
                    Default::default();
                ("postgresql", database, user, password)
            }
            false => {
                let xtask_servers::MariaDbOptions { database, user, password, .. } =
                    Default::default();
                ("mysql", database, user, password)
            }
        };
        let mut config = json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
            "connection.url": format!("jdbc:{kind}://127.0.0.1:{}/{database}", self.database.port),
            "connection.user": user,
            "connection.password": password,
            "topics": format!("c{seed}"),
            "transforms": "year",
            "transforms.year.type": "org.apache.kafka.connect.transforms.TimestampRouter",
            "transforms.year.topic.format": "${topic}_${timestamp}",
            "transforms.year.timestamp.format": "yyyy",
            "table.name.format": "s${topic}",
            "insert.mode": case.mode,
            "pk.mode": "record_key",
            "delete.enabled": "true",
            "batch.size": case.batch_size.to_string(),
            "consumer.override.max.poll.records": case.poll_size.to_string(),
            "max.retries": "1",
            "retry.backoff.ms": "1",
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": format!("dead-{seed}"),
        });
        if case.faults {
            config["offsets.storage"] = "target".into();
            config["max.retries"] = "20".into();
        }
        let mut producer = self.log.producer("test", &Properties::new()).await.unwrap();
        let mut rest = &case.records[..];
        for (n, chunk) in case.chunks.iter().enumerate() {
            let (now, later) = rest.split_at(*chunk);
            rest = later;
            self.append(&mut *producer, &format!("c{seed}"), now).await;
            if n == 0 {
                let (status, answer) = self
                    .http("PUT", &format!("/connectors/k{seed}/config"), Some(config.clone()))
                    .await;
                assert_eq!(status, 201, "seed {seed}: {answer}");
            }
            if case.faults {
                self.database.kill_others().await;
            }
        }
        let offsets = format!("/connectors/k{seed}/offsets");
        let status = format!("/connectors/k{seed}/status");
        until(&format!("the sink of seed {seed}"), async || {
            let (_, state) = self.http("GET", &status, None).await;
            let failed = state["tasks"][0]["state"] == "FAILED";
            assert!(!failed, "seed {seed}: {}: {case:#?}", state["tasks"][0]["trace"]);
            let (_, answer) = self.http("GET", &offsets, None).await;
            answer["offsets"][0]["offset"]["kafka_offset"] == json!(case.records.len())
        })
        .await;
    }

    async fn append(&self, producer: &mut dyn Producer, topic: &str, records: &[Record]) {
        if records.is_empty() {
            return;
        }
        let message = |record: &Record| {
            let (key, value) = message(record);
            // The first of July of the year of its table.
            let timestamp = (30 * 365 + 8 + 181 + 365 * record.table as i64) * 86_400_000;
            let (key, value) = (Some(Bytes::from(key)), value.map(Bytes::from));
            Message { key, value, timestamp: Some(timestamp), ..Message::default() }
        };
        let messages = vec![(topic.into(), records.iter().map(message).collect())];
        producer.append(Append { messages, offset: None }).await.unwrap().await.unwrap();
    }

    async fn dead_letters(&self, seed: u64) -> Vec<(String, Option<String>)> {
        let mut reader = self.log.reader(&format!("dead-{seed}")).await.unwrap();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let letters = reader.read_to_end().await.unwrap().entries;
        letters.iter().map(|e| (text(&e.key), e.value.as_ref().map(text))).collect()
    }

    async fn rows(&self, columns: &[String], table: &str) -> Vec<String> {
        let as_text = |column: &String| match self.database.is_postgres() {
            // Refused attempts use numbers of a sequence up: only its order can be the same.
            true if column == "s" => "rank() OVER (ORDER BY s)::text".to_owned(),
            true => format!("coalesce({column}::text, '-')"),
            false => format!("coalesce(cast({column} AS char), '-')"),
        };
        let columns: Vec<String> = columns.iter().map(as_text).collect();
        let sql = format!("SELECT concat_ws('|', {}) FROM {table}", columns.join(", "));
        let mut rows = self.database.texts(&sql).await;
        if !table.contains("ORDER BY") {
            rows.sort();
        }
        rows
    }
}

/// Key and value of a record as they are in the topic.
fn message(record: &Record) -> (String, Option<String>) {
    let object = |pairs: &[(&str, draw::Value)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.json()));
        Json::Object(pairs.collect()).to_string()
    };
    (object(&record.key), record.fields.as_deref().map(object))
}

fn columns(case: &Case, at: usize) -> Vec<String> {
    let table = &case.tables[at];
    let mut columns: Vec<&str> = match table.key {
        draw::Key::Pair => vec!["a", "b"],
        _ => vec!["id"],
    };
    columns.extend(["u", "v", "t"]);
    columns.extend(table.parent.map(|_| "p"));
    columns.extend(table.default.then_some("s"));
    columns.into_iter().map(str::to_owned).collect()
}
