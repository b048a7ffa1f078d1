//! sync on the embedded log and a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use connect_core::transport::{
    Append, ConsumerOptions, Fetch, Message, Producer, Subscription, Transport,
};
use connect_core_log::EmbeddedLog;
use connect_core_testkit::until;
use sync::Config;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xtask_servers::{Postgres, PostgresOptions, port::free_port};

struct Running {
    log: Arc<EmbeddedLog>,
    producer: Box<dyn Producer>,
    stop: CancellationToken,
    service: JoinHandle<anyhow::Result<()>>,
    port: u16,
}

impl Running {
    async fn start(dir: &Path, postgres: &Postgres, table: &str) -> Self {
        let log = Arc::new(EmbeddedLog::open(dir.join("log")).unwrap());
        let port = free_port().unwrap();
        let variables = BTreeMap::from([
            ("SYNC_LISTEN", format!("127.0.0.1:{port}")),
            ("PGPASSWORD", "password".to_owned()),
            ("SYNC_TABLE", table.to_owned()),
            ("RESOLVE", format!("postgres-db:5432:{}", postgres.address())),
        ]);
        let config = Config::from_env(|name| variables.get(name).cloned(), &[]).unwrap();
        let stop = CancellationToken::new();
        let transport: Arc<dyn Transport> = Arc::clone(&log) as _;
        let service = tokio::spawn(sync::run(config, transport, stop.clone()));
        let producer = log.producer("test", &BTreeMap::new()).await.unwrap();
        Self { log, producer, stop, service, port }
    }

    async fn send(&mut self, values: impl IntoIterator<Item = String>) {
        let message = |value: String| Message { value: Some(value.into()), ..Message::default() };
        let messages = values.into_iter().map(message).collect();
        let append = Append { messages: vec![("carga_topic".into(), messages)], offset: None };
        self.producer.append(append).await.unwrap().await.unwrap();
    }

    async fn health(&self) -> u16 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let Ok(mut socket) = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await else {
            return 0;
        };
        let request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer[9..12].parse().unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.service.await.unwrap().unwrap();
    }
}

async fn committed(log: &EmbeddedLog) -> i64 {
    log.committed("sync-group").await.unwrap().values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_and_what_can_never_be_written_is_put_aside_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(&dir.path().join("pg"), PostgresOptions::default()).unwrap();
    postgres
        .query(
            "CREATE TABLE numbered (id int PRIMARY KEY, valor varchar(20), updated_at timestamptz)",
        )
        .unwrap();
    let mut running = Running::start(dir.path(), &postgres, "public.numbered").await;
    let values = [
        r#"{"id":"1237","valor":"Teste de integração"}"#,
        "not json",
        r#"{"valor":"no id"}"#,
        r#"{"id":"seven","valor":"x"}"#,
        r#"{"id":99999999999,"valor":"x"}"#,
        r#"{"id":2,"valor":"longer than twenty characters"}"#,
        r#"{"id":3,"valor":"a\u0000b"}"#,
        r#"{"id":4,"valor":null}"#,
        r#"{"id":"1237","valor":"changed"}"#,
    ];
    running.send(values.iter().map(|value| (*value).to_owned())).await;
    until("the offset", async || committed(&running.log).await == 9).await;
    let rows = postgres.query("SELECT id, valor, updated_at IS NOT NULL FROM numbered ORDER BY id");
    let rows = rows.unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split(['\t', '|']).collect()).collect();
    assert_eq!(rows, [["4", "", "t"], ["1237", "changed", "t"]]);
    assert_eq!(running.health().await, 200);

    let options = ConsumerOptions {
        group: "test".into(),
        client_id: "test".into(),
        subscription: Subscription::Topics(vec!["carga_topic.dlq".into()]),
        max_messages: 100,
        properties: BTreeMap::new(),
    };
    let mut letters = running.log.consumer(options).await.unwrap();
    let mut found = BTreeMap::new();
    while found.len() < 6 {
        let Fetch::Messages(parts) = letters.fetch().await.unwrap() else { continue };
        for (_, letter) in parts.iter().flat_map(|part| &part.messages) {
            let header = |name: &str| {
                let header = letter.headers.iter().find(|(key, _)| key == name).unwrap();
                String::from_utf8(header.1.clone().unwrap().to_vec()).unwrap()
            };
            assert_eq!(header("__connect.errors.topic"), "carga_topic");
            let offset: usize = header("__connect.errors.offset").parse().unwrap();
            assert_eq!(letter.value.as_deref(), Some(values[offset].as_bytes()));
            found.insert(offset, header("__connect.errors.exception.message"));
        }
    }
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(found[&1].contains("not a JSON object") && found[&2].contains("no id"), "{found:?}");
    assert!(found[&3].contains("seven") && found[&4].contains("99999999999"), "{found:?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed_under_load_and_no_row_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut postgres = Postgres::start(&dir.path().join("pg"), PostgresOptions::default()).unwrap();
    let mut running = Running::start(dir.path(), &postgres, "tabela").await;
    // The table is missing at first: it is waited for.
    running.send((0..500).map(|n| format!(r#"{{"id":"{n}","valor":"v{n}"}}"#))).await;
    assert_ne!(running.health().await, 200);
    postgres.query("CREATE TABLE tabela (id text PRIMARY KEY, valor text)").unwrap();
    until("the first rows", async || committed(&running.log).await == 500).await;
    for round in 1..4 {
        let first = round * 1000;
        running
            .send((first..first + 1000).map(|n| format!(r#"{{"id":{n},"valor":"v{n}"}}"#)))
            .await;
        postgres.kill9().unwrap();
        running.send((first..first + 100).map(|n| format!(r#"{{"id":{n},"valor":"w{n}"}}"#))).await;
        postgres.restart().unwrap();
    }
    until("the offset", async || committed(&running.log).await == 3800).await;
    let wrong = "SELECT count(*), count(*) FILTER (WHERE valor <> \
                 CASE WHEN id::int >= 1000 AND id::int % 1000 < 100 THEN 'w' ELSE 'v' END || id) FROM tabela";
    let counts = postgres.query(wrong).unwrap();
    assert_eq!(counts.trim().split(['\t', '|']).collect::<Vec<_>>(), ["3500", "0"]);
    running.end().await;
}
