//! What is read, and how.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use connect_core::{
    data::Schema,
    error::{Error, Result},
};
use connectors_jdbc::{
    names::{Quote, TableName},
    source::{
        SourceConfig,
        database::{Column, Horizon, Origin, Read, Row, Rows, SourceDatabase},
        tables::Found,
        task::from,
    },
};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_postgres::CopyOutStream;

use crate::{
    catalog::{self, Described, PgType},
    connection,
    decode::Decoder,
    errors,
    session::Session,
    trigger,
};

/// A connection to PostgreSQL that is read.
pub struct PostgresReader {
    client: Session,
    /// The table that was looked up last.
    known: Option<(String, TableName)>,
    /// The columns of the query that was described last.
    described: Described,
}

/// The relation and its partitions, and those that it is a partition of: whoever writes to one of them may write rows
/// that are read.
pub(crate) const RELATIONS: &str = "WITH RECURSIVE r AS (SELECT c.oid FROM pg_catalog.pg_class c \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
    UNION SELECT i.inhrelid FROM r JOIN pg_catalog.pg_inherits i ON i.inhparent = r.oid), \
  a AS (SELECT oid FROM r UNION SELECT i.inhparent FROM a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid)";

/// The transactions that hold the lock of a writer. A replica has no locks of the transactions that it replays, but
/// knows their numbers.
fn writers(relations: &str) -> String {
    format!(
        "SELECT CASE WHEN pg_is_in_recovery() \
           THEN (SELECT array_agg(x::text) FROM txid_snapshot_xip(txid_current_snapshot()) x) \
           ELSE (SELECT array_agg(DISTINCT l.virtualtransaction) FROM pg_catalog.pg_locks l \
             WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted \
               AND l.pid IS DISTINCT FROM pg_backend_pid() \
               AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
               AND {relations}) END"
    )
}

impl PostgresReader {
    async fn run(&self, sql: &str, doing: &'static str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| error(doing, e))
    }

    async fn start(&self, kind: &str, then: &str, doing: &'static str) -> Result<()> {
        self.client.begin(kind, then).await.map_err(|e| error(doing, e))
    }

    /// Runs a query about the relations of the origin, which is `$1` and `$2` there if it is a table.
    async fn about(&self, origin: &Origin, sql: &str) -> Result<tokio_postgres::Row> {
        let row = match origin {
            Origin::Table(table) => self.client.one_alone(sql, &[&table.schema, &table.name]).await,
            Origin::Query(_) => self.client.one_alone(sql, &[]).await,
        };
        row.map_err(|e| error("looking for running transactions", e))
    }
}

/// What went wrong. As the JVM's connector, which tries every error of PostgreSQL again: a permission may come back, a
/// row or a function be mended.
fn error(doing: &'static str, e: tokio_postgres::Error) -> Error {
    errors::error(doing, e).retriable(true)
}

/// The query for the writers of what the origin reads: of a query's tables nothing is known but that they are tables.
fn writers_of(origin: &Origin) -> String {
    /// Relations below this are the catalog's.
    const FIRST: u32 = 16_384;
    match origin {
        Origin::Table(_) => {
            format!("{RELATIONS} {}", writers("l.relation IN (SELECT oid FROM a)"))
        }
        Origin::Query(_) => writers(&format!("l.relation >= {FIRST}")),
    }
}

#[async_trait]
impl SourceDatabase for PostgresReader {
    const NAME: &'static str = "PostgresSource";
    const PROTOCOLS: &'static [&'static str] = &["postgresql"];
    const QUOTE: Quote = Quote::Double;
    const PARAMETERS: &'static [&'static str] = connection::PARAMETERS;
    const NOTIFIES: bool = true;
    type Type = PgType;
    type Rows = PostgresRows;

    async fn connect(config: &SourceConfig) -> Result<Self> {
        let client = connection::connect(&config.connection).await?;
        Ok(Self { client, known: None, described: Described::default() })
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn catalog(config: &SourceConfig) -> Option<&str> {
        Some(&config.url.database)
    }

    async fn tables(&mut self, config: &SourceConfig) -> Result<Vec<Found>> {
        catalog::tables(&self.client, config).await
    }

    async fn table(&mut self, qualified: &str) -> Result<TableName> {
        match &self.known {
            Some((known, table)) if known == qualified => Ok(table.clone()),
            _ => {
                let table = catalog::table(&self.client, qualified).await?;
                self.known = Some((qualified.to_owned(), table.clone()));
                Ok(table)
            }
        }
    }

    async fn check(&mut self, query: &str) -> Result<()> {
        self.start("READ ONLY", "", "preparing the query").await?;
        let checked = catalog::names(&self.client, query).await;
        self.run("ROLLBACK", "preparing the query").await?;
        checked.map(drop)
    }

    async fn begin(
        &mut self,
        origin: &Origin,
        config: &SourceConfig,
    ) -> Result<Vec<Column<PgType>>> {
        let level = config.isolation.sql().map(|level| format!(" ISOLATION LEVEL {level}"));
        let begin = format!("{} READ ONLY", level.unwrap_or_default());
        let doing = "starting to read";
        match origin {
            Origin::Table(table) => {
                // Parsing takes the lock that keeps the columns as they are.
                let lock = format!("SELECT 1 FROM {} LIMIT 0", from(origin, config, Self::QUOTE));
                self.start(&begin, &lock, doing).await?;
                catalog::columns(&self.client, table).await
            }
            Origin::Query(query) => loop {
                self.start(&begin, "", doing).await?;
                let shape = catalog::shape(&self.client, query).await?;
                if shape.is_plain() {
                    break catalog::plain_columns(&self.client, query, &shape).await;
                }
                if let Some(columns) = self.described.columns(query, &shape) {
                    break Ok(columns);
                }
                // Not from within a transaction: behind a pooler each needs a connection of the few that there are.
                self.run("ROLLBACK", doing).await?;
                let other = connection::connect(&config.connection).await?;
                self.described = catalog::described(other, &self.client, query, shape).await?;
            },
        }
    }

    async fn query(&mut self, read: Read<'_, PgType>) -> Result<PostgresRows> {
        let table = read.origin.table().map(|table| table.name.as_str());
        let decoder = Decoder::new(table, read.columns, read.criteria, read.config)?;
        let quoting = read.config.quoting(Self::QUOTE);
        let column = |at: usize, column: &Column<PgType>| {
            decoder.selected(at, format!("q.{}", quoting.identifier(&column.name)))
        };
        let list: Vec<String> =
            read.columns.iter().enumerate().map(|(at, c)| column(at, c)).collect();
        // A table may have no columns, but has rows.
        let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
        let from = from(read.origin, read.config, Self::QUOTE);
        let clauses = &read.clauses;
        let copy = format!("COPY (SELECT {list} FROM {from}{clauses}) TO STDOUT (FORMAT binary)");
        let stream = self.client.copy_out(&copy).await.map_err(|e| error("querying", e))?;
        Ok(PostgresRows { stream: Box::pin(stream), decoder, first: true })
    }

    async fn end(&mut self) -> Result<()> {
        self.run("COMMIT", "ending the transaction").await
    }

    async fn now(&mut self) -> Result<i64> {
        const SQL: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
        let row = self.client.query_one(SQL, &[]).await;
        Ok(row.map_err(|e| error("asking for the time", e))?.get(0))
    }

    async fn oldest_transaction(&mut self) -> Result<Option<i64>> {
        const SQL: &str = "SELECT (extract(epoch FROM min(xact_start)) * 1000000)::int8 \
            FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
              AND application_name <> current_setting('application_name')";
        let row = self.client.query_one(SQL, &[]).await;
        Ok(row.map_err(|e| error("looking for running transactions", e))?.get(0))
    }

    async fn horizon(
        &mut self,
        origin: &Origin,
        expression: &str,
        config: &SourceConfig,
    ) -> Result<Option<Horizon>> {
        let from = from(origin, config, Self::QUOTE);
        let writers = writers_of(origin);
        // One statement: it sees the rows as of its start, and the locks as of later.
        let sql = format!(
            "SELECT (SELECT ({expression})::text FROM {from} WHERE {expression} IS NOT NULL \
             ORDER BY {expression} DESC LIMIT 1), ({writers})"
        );
        let row = self.about(origin, &sql).await?;
        let writers: Option<Vec<String>> = row.get(1);
        Ok(Some(Horizon { highest: row.get(0), writers: writers.unwrap_or_default() }))
    }

    async fn running(&mut self, origin: &Origin, writers: &[String]) -> Result<Vec<String>> {
        let row = self.about(origin, &writers_of(origin)).await?;
        let running: Option<Vec<String>> = row.get(0);
        let running = running.unwrap_or_default();
        Ok(writers.iter().filter(|writer| running.contains(writer)).cloned().collect())
    }

    async fn integers(&mut self, from: &str, column: &str) -> Result<Option<(bool, bool)>> {
        let sql = format!(
            "SELECT bool_or(i), bool_and(i) FROM (SELECT {column} ~ '^\\s*[-+]?[0-9]+\\s*$' AS i FROM {from} \
             WHERE {column} IS NOT NULL) s"
        );
        let row = self.client.query_one(&sql, &[]).await;
        let row = row.map_err(|e| error("looking at the incrementing column", e))?;
        let (some, all): (Option<bool>, Option<bool>) = (row.get(0), row.get(1));
        Ok(some.zip(all))
    }

    async fn listen(config: &SourceConfig, channel: &str) -> Result<watch::Receiver<()>> {
        connection::listen(&config.connection, channel).await
    }

    async fn install_trigger(&mut self, table: &TableName, channel: &str) -> Result<()> {
        let installed = trigger::install(&self.client, table, channel).await;
        installed.map_err(|e| {
            e.context("table", table.qualified()).context("doing", "installing its trigger")
        })
    }

    fn text(text: &str) -> String {
        // With a backslash the E'' form is unambiguous whatever standard_conforming_strings says.
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    }

    fn timestamp(text: &str, instant: bool) -> String {
        if instant { format!("timestamptz '{text}+00'") } else { format!("timestamp '{text}'") }
    }

    fn number(column: &str) -> String {
        format!("CASE WHEN {column} ~ '^\\s*[-+]?[0-9]+\\s*$' THEN {column}::numeric END")
    }
}

/// Rows as `COPY` sends them.
pub struct PostgresRows {
    stream: Pin<Box<CopyOutStream>>,
    decoder: Decoder,
    first: bool,
}

#[async_trait]
impl Rows for PostgresRows {
    fn schema(&self) -> &Arc<Schema> {
        self.decoder.schema()
    }

    async fn fill(&mut self, rows: &mut Vec<Row>, count: usize, size: usize) -> Result<bool> {
        let mut read: usize = rows.iter().map(|row| row.size).sum();
        while rows.len() < count && read < size {
            let Some(data) = self.stream.next().await else { return Ok(false) };
            let data = data.map_err(|e| error("reading rows", e))?;
            let row = self.decoder.row(data, self.first)?;
            self.first = false;
            read += row.as_ref().map_or(0, |row| row.size);
            rows.extend(row);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_literal() {
        let text = PostgresReader::text;
        assert_eq!(text("x'; DROP TABLE t; --"), "E'x''; DROP TABLE t; --'");
        assert_eq!(text("\\'"), "E'\\\\'''");
    }
}
