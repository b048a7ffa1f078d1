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
        database::{
            Clocks, Column, Horizon, Origin, Read, Row, Rows, Running, SourceDatabase, Standing,
        },
        statement::{body, column, from, verbatim},
        tables::Found,
    },
};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_postgres::CopyOutStream;

use crate::{
    catalog::{self, Described, PgType},
    connection,
    decode::Decoder,
    errors, running,
    session::Session,
    trigger,
};

/// A connection to PostgreSQL that is read.
pub struct PostgresReader {
    client: Session,
    /// The table that was looked up last.
    known: Option<(String, TableName)>,
    /// The zone of sessions that set none of their own, once it was asked for.
    zone: Option<String>,
    /// Whether a transaction was begun.
    begun: bool,
    /// Whether the log says that transactions of others cannot be seen.
    warned: bool,
    /// The columns of the query that was described last.
    described: Described,
}

impl PostgresReader {
    async fn run(&self, sql: &str, doing: &'static str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| error(doing, e))
    }

    async fn start(&self, kind: &str, then: &str, doing: &'static str) -> Result<()> {
        self.client.begin(kind, then).await.map_err(|e| error(doing, e))
    }
}

/// What went wrong. As the JVM's connector, which tries every error of PostgreSQL again: a permission may come back, a
/// row or a function be mended.
fn error(doing: &'static str, e: tokio_postgres::Error) -> Error {
    errors::error(doing, e).retriable(true)
}

#[async_trait]
impl SourceDatabase for PostgresReader {
    const NAME: &'static str = "PostgresSource";
    const PROTOCOLS: &'static [&'static str] = &["postgresql"];
    const QUOTE: Quote = Quote::Double;
    const PARAMETERS: &'static [&'static str] = connection::PARAMETERS;
    const PREFERS_GIVEN_ZONE: bool = true;
    const NOTIFIES: bool = true;
    type Type = PgType;
    type Rows = PostgresRows;

    async fn connect(config: &SourceConfig) -> Result<Self> {
        let client = connection::connect(&config.connection).await?;
        Ok(Self {
            client,
            known: None,
            zone: None,
            begun: false,
            warned: false,
            described: Described::default(),
        })
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

    async fn check(&mut self, read: Read<'_, PgType>) -> Result<()> {
        let decoder = Decoder::new(None, read.columns, read.criteria, read.config)?;
        catalog::names(&self.client, &select(&read, &decoder)).await.map(drop)
    }

    async fn begin(
        &mut self,
        origin: &Origin,
        config: &SourceConfig,
    ) -> Result<Vec<Column<PgType>>> {
        let level = config.isolation.sql().map(|level| format!(" ISOLATION LEVEL {level}"));
        // What a query or a suffix calls may write: sequences, row locks.
        let own = origin.table().is_some() && config.query_suffix.trim().is_empty();
        let only = if own { " READ ONLY" } else { "" };
        let begin = format!("{}{only}", level.unwrap_or_default());
        let doing = "starting to read";
        self.begun = true;
        match origin {
            Origin::Table(table) => {
                // Parsing takes the lock that keeps the columns as they are.
                let lock = format!("SELECT 1 FROM {} LIMIT 0", from(origin, config, Self::QUOTE));
                self.start(&begin, &lock, doing).await?;
                catalog::columns(&self.client, table).await
            }
            Origin::Query(query) => {
                let text = verbatim(origin, config, Self::QUOTE);
                let query = text.as_deref().unwrap_or_else(|| body(query, Self::QUOTE));
                loop {
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
                }
            }
        }
    }

    async fn query(&mut self, read: Read<'_, PgType>) -> Result<PostgresRows> {
        let table = read.origin.table().map(|table| table.name.as_str());
        let decoder = Decoder::new(table, read.columns, read.criteria, read.config)?;
        // The line break ends a comment at the end.
        let copy = format!("COPY ({}\n) TO STDOUT (FORMAT binary)", select(&read, &decoder));
        let stream = self.client.copy_out(&copy).await.map_err(|e| error("querying", e))?;
        Ok(PostgresRows { stream: Box::pin(stream), decoder, first: true })
    }

    async fn end(&mut self) -> Result<()> {
        self.begun = false;
        self.run("COMMIT", "ending the transaction").await
    }

    async fn now(&mut self) -> Result<i64> {
        const SQL: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
        let row = self.client.query_one(SQL, &[]).await;
        Ok(row.map_err(|e| error("asking for the time", e))?.get(0))
    }

    async fn transactions(&mut self, origin: &Origin) -> Result<Running> {
        let (running, hidden) = running::transactions(&self.client, origin).await?;
        if hidden && !self.warned {
            self.warned = true;
            tracing::warn!(
                "without the role pg_read_all_stats rows that other users commit late may be lost: when their \
                 transactions began cannot be seen; hold.back.running.transactions=false silences this"
            );
        }
        Ok(running)
    }

    async fn clocks(&mut self, instants: &[i64]) -> Result<Clocks> {
        let zone = match self.zone.take() {
            Some(zone) => zone,
            None => running::zone(&self.client).await?,
        };
        let clocks = running::clocks(&self.client, &zone, instants).await;
        self.zone = Some(zone);
        clocks
    }

    async fn any(&mut self, from: &str, condition: &str) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT FROM {from} WHERE {condition})");
        let row = match self.begun {
            true => self.client.query_one(&sql, &[]).await,
            false => self.client.one_alone(&sql, &[]).await,
        };
        Ok(row.map_err(|e| error("looking for rows", e))?.get(0))
    }

    async fn horizon(
        &mut self,
        origin: &Origin,
        expression: &str,
        config: &SourceConfig,
    ) -> Result<Option<Horizon>> {
        let from = from(origin, config, Self::QUOTE);
        let writers = running::writers(origin);
        // One statement: it sees the rows as of its start, and the locks as of later.
        let sql = format!(
            "SELECT (SELECT ({expression})::text FROM {from} WHERE {expression} IS NOT NULL \
             ORDER BY {expression} DESC LIMIT 1), ({writers})"
        );
        let row = running::about(&self.client, origin, &sql).await?;
        let writers: Option<Vec<String>> = row.get(1);
        Ok(Some(Horizon { highest: row.get(0), writers: writers.unwrap_or_default() }))
    }

    async fn running(&mut self, origin: &Origin, writers: &[String]) -> Result<Vec<String>> {
        let row = running::about(&self.client, origin, &running::writers(origin)).await?;
        let running: Option<Vec<String>> = row.get(0);
        let running = running.unwrap_or_default();
        Ok(writers.iter().filter(|writer| running.contains(writer)).cloned().collect())
    }

    async fn standing(
        &mut self,
        table: &TableName,
        column: Option<&str>,
    ) -> Result<Option<Standing>> {
        running::standing(&self.client, table, column).await
    }

    async fn any_older(&mut self, from: &str, standing: &Standing) -> Result<Option<bool>> {
        self.any(from, &running::older(standing)).await.map(Some)
    }

    async fn describe(&mut self, writers: &[String]) -> Result<String> {
        running::describe(&self.client, writers).await
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

/// The statement whose rows are read: a query as it is, where its columns can be read as they are.
fn select(read: &Read<'_, PgType>, decoder: &Decoder) -> String {
    let quote = PostgresReader::QUOTE;
    let verbatim = verbatim(read.origin, read.config, quote);
    let named = |column: &Column<PgType>| match &verbatim {
        Some(_) => format!("q.{}", read.config.quoting(quote).identifier(&column.name)),
        None => self::column(read.origin, read.config, quote, &column.name),
    };
    let named: Vec<String> = read.columns.iter().map(named).collect();
    let list = named.iter().enumerate().map(|(at, name)| decoder.selected(at, name.clone()));
    let list: Vec<String> = list.collect();
    if let Some(query) = verbatim {
        return match list == named {
            true => query,
            false => format!("SELECT {} FROM ({query}\n) AS q", list.join(", ")),
        };
    }
    // A table may have no columns, but has rows.
    let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
    format!("SELECT {list} FROM {}{}", from(read.origin, read.config, quote), read.clauses)
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
