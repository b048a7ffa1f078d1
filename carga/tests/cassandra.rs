//! carga on a real Cassandra, which comes up late and goes away.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{sync::Arc, time::Duration};

use carga::{CassandraOptions, CassandraStore, Store};
use common::Running;
use connect_core_log::EmbeddedLog;
use xtask_servers::{Cassandra, CassandraOptions as Node};

/// Posts until carga takes the record, as a client would that was told 503.
async fn taken(carga: &Running, body: &str) {
    let posts = async {
        loop {
            match carga.post(body.to_owned()).await {
                (200, _) => return,
                (503, detail) => assert!(detail.contains("the store cannot"), "{detail}"),
                other => panic!("{other:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), posts).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn records_reach_the_users_table() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("cassandra");
    let blocking = tokio::task::spawn_blocking(move || Cassandra::start(&place, Node::default()));
    let mut node = blocking.await.unwrap().unwrap();
    let log = Arc::new(EmbeddedLog::open(dir.path().join("log")).unwrap());
    let store = Arc::new(CassandraStore::new(CassandraOptions {
        contact_points: node.address(),
        keyspace: "My_keyspace".into(),
        table: "tabela".into(),
    }));
    let carga = Running::start(Arc::clone(&store) as _, log).await;
    // The table is created after carga has started.
    assert_eq!(carga.post(r#"{"id":"1","valor":"early"}"#).await.0, 503);
    let node_task = tokio::task::spawn_blocking(move || {
        for statement in [
            r#"CREATE KEYSPACE "My_keyspace" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"#,
            r#"CREATE TABLE "My_keyspace".tabela (id text PRIMARY KEY, valor text)"#,
        ] {
            node.query(statement).unwrap();
        }
        node
    });
    node = node_task.await.unwrap();
    taken(&carga, r#"{"id":"1237","valor":"Teste de integração"}"#).await;
    taken(&carga, r#"{"id":"1","valor":1.50}"#).await;
    taken(&carga, r#"{"id":"1","valor":2}"#).await;
    assert_eq!(store.get("1").await.unwrap().as_deref(), Some("2"));
    let node_task = tokio::task::spawn_blocking(move || {
        let rows = node.query(r#"SELECT id, valor FROM "My_keyspace".tabela"#).unwrap();
        let text = |cell: &str| Some(cell.to_owned());
        assert!(rows.contains(&vec![text("1237"), text("Teste de integração")]), "{rows:?}");
        node.kill9().unwrap();
        node
    });
    node = node_task.await.unwrap();
    let (status, body) = carga.post(r#"{"id":"1","valor":"lost"}"#).await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(carga.health().await.0, 503);
    let restarted = tokio::task::spawn_blocking(move || {
        node.restart().unwrap();
        node
    });
    let _node = restarted.await.unwrap();
    taken(&carga, r#"{"id":"1","valor":"3"}"#).await;
    assert_eq!(store.get("1").await.unwrap().as_deref(), Some("3"));
    assert_eq!(carga.health().await.0, 200);
    carga.stop().await;
}
