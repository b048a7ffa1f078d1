//! carga over HTTP, on the embedded store and log, and with the real ones down.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use carga::{CassandraOptions, CassandraStore, EmbeddedStore, Store};
use common::Running;
use connect_core::transport::{ConsumerOptions, Fetch, Subscription, Transport};
use connect_core_kafka::KafkaTransport;
use connect_core_log::EmbeddedLog;

const TAKEN: &str = r#"{"status":"Dados inseridos e mensagem enviada ao Kafka"}"#;

/// All of `count` messages of the topic: key and value.
async fn announced(log: &dyn Transport, count: usize) -> Vec<(String, String)> {
    let options = ConsumerOptions {
        group: "test".into(),
        client_id: "test".into(),
        subscription: Subscription::Topics(vec!["carga_topic".into()]),
        max_messages: 10_000,
        properties: BTreeMap::new(),
    };
    let mut consumer = log.consumer(options).await.unwrap();
    let mut found = Vec::new();
    let text = |bytes: Option<_>| String::from_utf8(Vec::from(bytes.unwrap())).unwrap();
    while found.len() < count {
        let fetch = tokio::time::timeout(Duration::from_secs(30), consumer.fetch());
        if let Fetch::Messages(fetched) = fetch.await.unwrap().unwrap() {
            let messages = fetched.into_iter().flat_map(|f| f.messages);
            found.extend(messages.map(|(_, m)| (text(m.key), text(m.value))));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_stored_and_announced_before_the_client_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path().join("carga.db")).unwrap());
    let log = Arc::new(EmbeddedLog::open(dir.path().join("log")).unwrap());
    let carga = Running::start(Arc::clone(&store) as _, Arc::clone(&log) as _).await;
    let taken = (200, TAKEN.to_owned());
    assert_eq!(carga.post(r#"{"id":"1237","valor":"Teste de integração"}"#).await, taken);
    assert_eq!(carga.post(r#"{"id":1237, "valor":1.50}"#).await, taken);
    assert_eq!(store.get("1237").await.unwrap().as_deref(), Some("1.50"));
    let expected = [
        ("1237".to_owned(), r#"{"id":"1237","valor":"Teste de integração"}"#.to_owned()),
        ("1237".to_owned(), r#"{"id":"1237","valor":"1.50"}"#.to_owned()),
    ];
    assert_eq!(announced(&*log, 2).await, expected);
    let health = (200, r#"{"status":"healthy","store":"up","log":"up"}"#.to_owned());
    assert_eq!(carga.health().await, health);
    carga.stop().await;
    drop((store, log));
    let store = EmbeddedStore::open(dir.path().join("carga.db")).unwrap();
    assert_eq!(store.get("1237").await.unwrap().as_deref(), Some("1.50"));
    assert_eq!(store.get("1").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path().join("carga.db")).unwrap());
    let log = Arc::new(EmbeddedLog::open(dir.path().join("log")).unwrap());
    let carga = Running::start(store, log).await;
    let (status, body) = carga.post(r#"{"id":"1"}"#).await;
    let missing = r#"{"detail":[{"type":"missing","loc":["body","valor"],"msg":"Field required","input":{"id":"1"}}]}"#;
    assert_eq!((status, body.as_str()), (422, missing));
    assert_eq!(carga.post("{").await.0, 422);
    let (status, body) = carga.post(vec![b'x'; 2_000_000]).await;
    assert_eq!(status, 413, "{body}");
    assert!(body.starts_with(r#"{"detail":"#), "{body}");
    carga.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_at_once_are_served_and_store_and_log_agree() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path().join("carga.db")).unwrap());
    let log = Arc::new(EmbeddedLog::open(dir.path().join("log")).unwrap());
    let carga = Arc::new(Running::start(Arc::clone(&store) as _, Arc::clone(&log) as _).await);
    let mut clients = tokio::task::JoinSet::new();
    for i in 0..1000 {
        let carga = Arc::clone(&carga);
        clients.spawn(async move {
            // Ten ids, so that many clients write the same one.
            carga.post(format!(r#"{{"id":{},"valor":{i}}}"#, i % 10)).await
        });
    }
    for (status, body) in clients.join_all().await {
        assert_eq!(status, 200, "{body}");
    }
    let last: BTreeMap<_, _> = announced(&*log, 1000).await.into_iter().collect();
    for id in 0..10 {
        let id = id.to_string();
        let stored = store.get(&id).await.unwrap().unwrap();
        assert_eq!(last[&id], format!(r#"{{"id":"{id}","valor":"{stored}"}}"#));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_ends_with_what_the_store_has_however_clients_race() {
    const ROUNDS: usize = 100;
    const CLIENTS: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path().join("carga.db")).unwrap());
    let log = Arc::new(EmbeddedLog::open(dir.path().join("log")).unwrap());
    let carga = Arc::new(Running::start(Arc::clone(&store) as _, Arc::clone(&log) as _).await);
    let mut stored = Vec::new();
    for round in 0..ROUNDS {
        let mut clients = tokio::task::JoinSet::new();
        for i in 0..CLIENTS {
            let carga = Arc::clone(&carga);
            clients.spawn(async move {
                carga.post(format!(r#"{{"id":1,"valor":"{round}-{i}"}}"#)).await
            });
        }
        assert!(clients.join_all().await.iter().all(|(status, _)| *status == 200));
        stored.push(store.get("1").await.unwrap().unwrap());
    }
    let messages = announced(&*log, ROUNDS * CLIENTS).await;
    for (round, stored) in messages.chunks(CLIENTS).zip(stored) {
        assert_eq!(round[CLIENTS - 1].1, format!(r#"{{"id":"1","valor":"{stored}"}}"#));
    }
}

fn unreachable_cassandra() -> CassandraStore {
    CassandraStore::new(CassandraOptions {
        contact_points: "127.0.0.1:1".into(),
        keyspace: "my_keyspace".into(),
        table: "tabela".into(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(dir.path().join("log")).unwrap());
    let carga = Running::start(Arc::new(unreachable_cassandra()), log).await;
    let (status, body) = carga.post(r#"{"id":"1","valor":"x"}"#).await;
    assert_eq!(status, 503);
    assert!(body.starts_with(r#"{"detail":"the store cannot take the record: "#), "{body}");
    let (status, body) = carga.health().await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""store":"down: Cassandra is not connected yet","log":"up""#));
    carga.stop().await;
}

#[test]
fn a_log_that_is_down_is_named_within_seconds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(log_down());
    // librdkafka's own requests take half a minute to give up.
    runtime.shutdown_background();
}

async fn log_down() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(dir.path().join("carga.db")).unwrap());
    let kafka = KafkaTransport::new("127.0.0.1:1", &BTreeMap::new()).unwrap();
    let carga = Running::start(Arc::clone(&store) as _, Arc::new(kafka)).await;
    let start = Instant::now();
    let (status, body) = carga.post(r#"{"id":"1","valor":"x"}"#).await;
    assert_eq!(status, 503);
    assert!(body.starts_with(r#"{"detail":"the log cannot take the record: "#), "{body}");
    let (status, body) = carga.health().await;
    assert_eq!(status, 503);
    assert!(body.contains(r#""store":"up","log":"down: "#), "{body}");
    assert!(start.elapsed() < Duration::from_secs(15));
    carga.stop().await;
}
