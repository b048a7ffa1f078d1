//! The PostgreSQL connectors on a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod commit_order;
mod extremes;
mod fuzz;
mod late;
mod modes;
mod moments;
mod notify;
mod order;
mod pooled;
mod roundtrip;
mod sink;
mod suite;
mod types;
mod values;

use std::sync::{Mutex, Once, OnceLock, PoisonError};

use xtask_servers::{Postgres, PostgresOptions};

/// One server for all tests of this binary; each works in tables of its own. The kernel ends it with this process.
pub(crate) fn server() -> &'static Mutex<Postgres> {
    static SERVER: OnceLock<Mutex<Postgres>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        Mutex::new(Postgres::start(&dir, PostgresOptions::default()).unwrap())
    })
}

pub(crate) fn sql(text: &str) -> String {
    server().lock().unwrap_or_else(PoisonError::into_inner).query(text).unwrap()
}

pub(crate) fn port() -> u16 {
    server().lock().unwrap_or_else(PoisonError::into_inner).port()
}

/// The extensions whose types are tested.
pub(crate) fn extensions() {
    static DONE: Once = Once::new();
    DONE.call_once(|| drop(sql("CREATE EXTENSION hstore; CREATE EXTENSION citext")));
}
