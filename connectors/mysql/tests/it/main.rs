//! The MySQL connectors on a real MariaDB server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod fuzz;
mod order;
mod records;
mod roundtrip;
mod source;
mod suite;
mod types;
mod values;

use std::sync::{Mutex, OnceLock, PoisonError};

use connect_core::{config::Properties, plugin::Connected, registry::Registry, sink::SinkTask};
use connectors_mysql::MySqlSink;
use xtask_servers::{MariaDb, MariaDbOptions};

/// One server for all tests of this binary; each works in tables of its own. The kernel ends it with this process.
pub(crate) fn server() -> &'static Mutex<MariaDb> {
    static SERVER: OnceLock<Mutex<MariaDb>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        Mutex::new(MariaDb::start(&dir, MariaDbOptions::default()).unwrap())
    })
}

pub(crate) fn sql(text: &str) -> String {
    server().lock().unwrap_or_else(PoisonError::into_inner).query(text).unwrap()
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    let port = server().lock().unwrap_or_else(PoisonError::into_inner).port();
    let resolve = format!("mysql-db:3306:127.0.0.1:{port}");
    let base = [
        ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
        ("connection.url", "jdbc:mysql://mysql-db:3306/mysql-db-sync"),
        ("connection.user", "user"),
        ("connection.password", "123"),
        ("resolve", resolve.as_str()),
    ];
    base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(crate) async fn task(pairs: &[(&str, &str)]) -> Box<dyn SinkTask> {
    let properties = properties(pairs);
    let registry = Registry::default().sink::<MySqlSink>();
    let plugin = registry.find("MySqlSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    sink.task().await.unwrap()
}
