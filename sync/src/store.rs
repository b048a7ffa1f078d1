//! The table: upserts in batches, adapted to the types of its columns.

use std::time::Duration;

use connect_core::config::Resolve;
use tokio_postgres::{Client, Config, NoTls, error::SqlState};

use crate::{config::PostgresConfig, message::Row};

/// Why rows were not written.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// One of them can never be written.
    Data(String),
    /// None can be written now.
    Unavailable(String),
}

/// A connection that is made anew when it is lost.
pub(crate) struct Store {
    options: Config,
    table: String,
    client: Option<(Client, String)>,
}

impl Store {
    pub(crate) fn new(config: &PostgresConfig, table: &str, resolve: &Resolve) -> Self {
        let (host, port) = resolve.lookup(&config.host, config.port);
        let mut options = Config::new();
        options.host(host).port(port).user(&config.user).dbname(&config.database);
        options.application_name("sync").connect_timeout(Duration::from_secs(5));
        if let Some(password) = &config.password {
            options.password(password.expose());
        }
        Self { options, table: quoted(table), client: None }
    }

    /// Writes the rows in one statement: all of them, or none. Of several with one id, the last must be alone.
    pub(crate) async fn upsert(&mut self, rows: &[&Row]) -> Result<(), StoreError> {
        let result = self.try_upsert(rows).await;
        if let Err(StoreError::Unavailable(_)) = &result {
            // The next attempt connects, and looks at the table, anew.
            self.client = None;
        }
        result
    }

    /// Connects and looks at the table, if that was not done yet.
    pub(crate) async fn ready(&mut self) -> Result<(), StoreError> {
        if self.client.as_ref().is_some_and(|(client, _)| !client.is_closed()) {
            return Ok(());
        }
        let (client, connection) = self.options.connect(NoTls).await.map_err(meaning)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to PostgreSQL ended");
            }
        });
        let sql = self.statement(&client).await?;
        self.client = Some((client, sql));
        Ok(())
    }

    async fn try_upsert(&mut self, rows: &[&Row]) -> Result<(), StoreError> {
        self.ready().await?;
        let Some((client, sql)) = &self.client else {
            return Err(StoreError::Unavailable("no connection".into()));
        };
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let valores: Vec<Option<&str>> = rows.iter().map(|row| row.valor.as_deref()).collect();
        client.execute(sql.as_str(), &[&ids, &valores]).await.map_err(meaning)?;
        Ok(())
    }

    /// The statement, with casts to the types that the columns have now, without their lengths: a cast would cut a text
    /// to its column's length, storing it refuses what is too long.
    async fn statement(&self, client: &Client) -> Result<String, StoreError> {
        const COLUMNS: &str = "SELECT attname, format_type(atttypid, NULL) FROM pg_catalog.pg_attribute \
            WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped";
        let rows = client.query(COLUMNS, &[&self.table]).await.map_err(meaning)?;
        let ty = |name: &str| {
            let row = rows.iter().find(|row| row.get::<_, &str>(0) == name)?;
            Some(row.get::<_, String>(1))
        };
        let missing =
            |name| StoreError::Unavailable(format!("table {} has no column {name}", self.table));
        let id = ty("id").ok_or_else(|| missing("id"))?;
        let valor = ty("valor").ok_or_else(|| missing("valor"))?;
        let (column, value, set) = match ty("updated_at") {
            Some(_) => (", updated_at", ", now()", ", updated_at = EXCLUDED.updated_at"),
            None => ("", "", ""),
        };
        Ok(format!(
            "INSERT INTO {} (id, valor{column}) SELECT x.id::{id}, x.valor::{valor}{value} \
             FROM unnest($1::text[], $2::text[]) AS x(id, valor) \
             ON CONFLICT (id) DO UPDATE SET valor = EXCLUDED.valor{set}",
            self.table
        ))
    }
}

fn meaning(error: tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        // A text that the protocol itself cannot carry, such as one with a NUL, is an error of encoding.
        let encoding = std::error::Error::source(&error).is_some_and(|source| {
            source
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::InvalidInput)
        });
        let text = format!("{error:?}");
        return if encoding { StoreError::Data(text) } else { StoreError::Unavailable(text) };
    };
    let code = db.code().code();
    let text = format!("{} (SQLSTATE {code})", db.message());
    // Values that don't fit, and constraints; a key that is written twice in one statement is our own doing.
    let data = matches!(&code[..2], "22" | "23") && *db.code() != SqlState::CARDINALITY_VIOLATION;
    if data { StoreError::Data(text) } else { StoreError::Unavailable(text) }
}

/// Quotes a table's name, bare or with its schema.
fn quoted(table: &str) -> String {
    let part = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    table.split('.').map(part).collect::<Vec<_>>().join(".")
}
