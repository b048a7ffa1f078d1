//! The store that the user has: a table in Cassandra.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use connect_core::error::{Error, Result};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    policies::timestamp_generator::MonotonicTimestampGenerator,
    statement::prepared::PreparedStatement,
};
use tokio::task::AbortHandle;

use crate::{Record, Store};

/// Pause between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(2);
/// How long one attempt may take to reach a node.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the table is.
#[derive(Debug, Clone)]
pub struct CassandraOptions {
    /// Nodes, `host:port,...`.
    pub contact_points: String,
    /// Keyspace, as it is written in the schema.
    pub keyspace: String,
    /// Table with the text columns id (its primary key) and valor.
    pub table: String,
}

/// Records in a table of Cassandra. One session serves all requests.
#[derive(Debug)]
pub struct CassandraStore {
    connected: Arc<OnceLock<Connected>>,
    connecting: AbortHandle,
}

#[derive(Debug)]
struct Connected {
    session: Session,
    upsert: PreparedStatement,
    get: PreparedStatement,
}

impl CassandraStore {
    /// Starts to connect, and tries again until it succeeds: Cassandra takes a minute to start, and somebody has to create
    /// the table. Until then every call fails. Needs a tokio runtime.
    pub fn new(options: CassandraOptions) -> Self {
        let connected = Arc::<OnceLock<Connected>>::default();
        let cell = Arc::clone(&connected);
        let task = tokio::spawn(async move {
            loop {
                match connect(&options).await {
                    Ok(new) => {
                        tracing::info!(
                            contact_points = options.contact_points,
                            "connected to Cassandra"
                        );
                        // Set once, here.
                        let _ = cell.set(new);
                        return;
                    }
                    Err(error) => {
                        let error = error.trace();
                        tracing::warn!(
                            error = error.trim_end(),
                            "Cassandra isn't ready; trying again"
                        );
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { connected, connecting: task.abort_handle() }
    }

    fn connected(&self) -> Result<&Connected> {
        self.connected.get().ok_or_else(|| Error::connection("Cassandra is not connected yet"))
    }
}

impl Drop for CassandraStore {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

async fn connect(options: &CassandraOptions) -> Result<Connected> {
    let CassandraOptions { contact_points, keyspace, table } = options;
    let session = SessionBuilder::new()
        .known_nodes(contact_points.split(',').map(str::trim))
        .connection_timeout(CONNECT)
        // The later of two writes of ours wins, whatever the nodes' clocks say.
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()))
        .fetch_schema_metadata(false)
        .build()
        .await
        .map_err(|e| Error::connection("cannot connect to Cassandra").with_source(e))?;
    let target = format!("{}.{}", quoted(keyspace), quoted(table));
    let upsert = format!("INSERT INTO {target} (id, valor) VALUES (?, ?)");
    let get = format!("SELECT valor FROM {target} WHERE id = ?");
    let prepare = async |statement: String| {
        let mut prepared = session.prepare(statement.as_str()).await.map_err(|e| {
            Error::connection("Cassandra refuses the statement")
                .context("statement", &statement)
                .with_source(e)
        })?;
        // May be repeated by the driver: the values are the same.
        prepared.set_is_idempotent(true);
        Ok::<_, Error>(prepared)
    };
    let (upsert, get) = (prepare(upsert).await?, prepare(get).await?);
    Ok(Connected { session, upsert, get })
}

/// An identifier that means exactly this name.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[async_trait]
impl Store for CassandraStore {
    async fn upsert(&self, record: &Record) -> Result<()> {
        let Connected { session, upsert, .. } = self.connected()?;
        let written = session.execute_unpaged(upsert, (&record.id, &record.valor)).await;
        written.map(drop).map_err(|e| Error::connection("Cassandra cannot write").with_source(e))
    }

    async fn get(&self, id: &str) -> Result<Option<String>> {
        let Connected { session, get, .. } = self.connected()?;
        let failed = || Error::connection("Cassandra cannot read");
        let found = session.execute_unpaged(get, (id,)).await;
        let rows = found.map_err(|e| failed().with_source(e))?.into_rows_result();
        let row = rows.map_err(|e| failed().with_source(e))?.maybe_first_row::<(Option<String>,)>();
        Ok(row.map_err(|e| failed().with_source(e))?.and_then(|(valor,)| valor))
    }

    async fn check(&self) -> Result<()> {
        // No record has this id; a quorum has to answer all the same.
        self.get("ferrovia.health").await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("tabela"), "\"tabela\"");
        assert_eq!(quoted("a\"; DROP"), "\"a\"\"; DROP\"");
    }
}
