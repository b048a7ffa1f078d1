//! Random writers beside a polling source.

#[path = "../../../jdbc/tests/late/mod.rs"]
mod shared;

use connect_core::plugin::DynSourceTask;
use serde_json::Value as Json;
use tokio_postgres::Client;

use crate::{commit_order::client, modes::open, sql};
use shared::{AsyncRun, Database, Session, fuzz};

struct Postgres;

struct Execute;

impl AsyncRun<Client> for Execute {
    async fn run(&self, client: &mut Client, sql: &str) -> Result<(), String> {
        client.batch_execute(sql).await.map_err(|e| e.to_string())
    }
}

impl Database for Postgres {
    const NAME: &'static str = "PostgreSQL";
    const TIMES: &'static [&'static str] = &[
        "timestamp",
        "timestamptz",
        "timestamp(0)",
        "timestamptz(0)",
        "timestamp(1)",
        "timestamp(3)",
        "timestamptz(5)",
    ];
    const NOWS: &'static [&'static [&'static str]] =
        &[&["now()", "clock_timestamp()"], &["date_trunc('second', now())"]];
    const CACHES: bool = true;

    fn create(table: &str, time: &str, cached: bool) -> Vec<String> {
        let cache = if cached { 5 } else { 1 };
        vec![
            format!("CREATE SEQUENCE {table}_id CACHE {cache}"),
            format!(
                "CREATE TABLE {table} (id int PRIMARY KEY DEFAULT nextval('{table}_id'), v int, ts {time} NOT NULL)"
            ),
            format!("ALTER SEQUENCE {table}_id OWNED BY {table}.id"),
        ]
    }

    fn zone(zone: &str) -> ((&'static str, String), String) {
        // PostgreSQL counts offsets of this form to the west.
        let name = match zone {
            "+09:00" => "Asia/Tokyo",
            "-03:00" => "America/Sao_Paulo",
            _ => "UTC",
        };
        (("connection.options", format!("-c timezone={name}")), format!("SET timezone = '{name}'"))
    }

    async fn execute(&self, text: &str) {
        sql(text);
    }

    async fn session(&self) -> Session {
        Session::new(client().await, Execute)
    }

    async fn rows(&self, table: &str) -> Vec<(i64, i64)> {
        let rows = client().await;
        let rows =
            rows.query(&format!("SELECT id::int8, v::int8 FROM {table}"), &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn open(&self, pairs: &[(&str, &str)], offset: Option<Json>) -> Box<dyn DynSourceTask> {
        open(pairs, offset).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_random_writers_commit_is_delivered() {
    fuzz(&Postgres).await;
}
