//! What is read, and how: prepared statements, whose rows come in binary form and as they are read.

use std::sync::Arc;

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
    zone::Zone,
};
use mysql_async::{Conn, prelude::Queryable};
use tokio::sync::{mpsc, oneshot};

use crate::{
    connection::{self, null_means_current},
    decode::Decoder,
    errors::error,
    kind::{Driver, Kind, columns},
    literal,
};

/// Rows that are handed over at once, and their bytes.
const CHUNK: (usize, usize) = (500, 1 << 20);
/// Chunks that wait to be taken.
const WAITING: usize = 2;
/// Errors of a user who may not see what others do.
const DENIED: [u16; 2] = [1142, 1227];
/// Transactions that hold the lock of a writer on a table: they have it from before an id is given out until they end.
const WRITERS: &str = "SELECT CONCAT(OWNER_THREAD_ID, ':', OWNER_EVENT_ID) FROM performance_schema.metadata_locks \
    WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA = ? AND OBJECT_NAME = ? AND LOCK_STATUS = 'GRANTED' \
      AND LOCK_TYPE IN ('SHARED_WRITE', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE') \
      AND OWNER_THREAD_ID <> PS_CURRENT_THREAD_ID()";
/// A connection to MySQL or MariaDB that is read.
pub struct MySqlReader {
    conn: Option<Conn>,
    /// Gives the connection back when the rows of its query were read.
    reading: Option<oneshot::Receiver<Conn>>,
    driver: Driver,
    /// Whether the locks of tables can be seen: not in MariaDB, nor without the performance schema.
    shows_locks: bool,
    warned: bool,
}

impl MySqlReader {
    fn conn(&mut self) -> Result<&mut Conn> {
        self.conn.as_mut().ok_or_else(|| Error::connection("the connection is in use"))
    }

    async fn run(&mut self, sql: &str, doing: &'static str) -> Result<()> {
        self.conn()?.query_drop(sql).await.map_err(|e| error(doing, e))
    }

    async fn describe(&mut self, sql: &str) -> Result<Vec<mysql_async::Column>> {
        let failed = |e| error("reading columns", e);
        let mut result = self.conn()?.query_iter(sql).await.map_err(failed)?;
        let found = result.columns().map(|columns| columns.to_vec()).unwrap_or_default();
        result.for_each(drop).await.map_err(failed)?;
        Ok(found)
    }

    /// Transactions that have written something; none where the user may not see those of others, which is said once.
    ///
    /// From the monitor: `information_schema.innodb_trx` is a copy that is not made anew while it is looked at more often
    /// than every 100 ms, and knows nothing of what has begun meanwhile.
    async fn writing(&mut self) -> Result<Vec<Writing>> {
        const SQL: &str = "SHOW ENGINE INNODB STATUS";
        let row: mysql_async::Result<Option<(String, String, String)>> =
            self.conn()?.query_first(SQL).await;
        match row {
            Ok(row) => Ok(row.map(|(_, _, status)| writing(&status)).unwrap_or_default()),
            Err(mysql_async::Error::Server(e)) if DENIED.contains(&e.code) => {
                if !self.warned {
                    self.warned = true;
                    tracing::warn!(
                        "without the privilege PROCESS rows that are committed late may be lost: running transactions \
                         cannot be seen; hold.back.running.transactions=false silences this"
                    );
                }
                Ok(Vec::new())
            }
            Err(e) => Err(error("looking for running transactions", e)),
        }
    }
}

/// A transaction that has written something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Writing {
    id: String,
    /// Whole seconds since it began.
    seconds: i64,
}

/// Reads InnoDB's monitor: `---TRANSACTION 42, ACTIVE 3 sec`, and behind it `undo log entries` of those that have written.
fn writing(status: &str) -> Vec<Writing> {
    let transaction = |part: &str| {
        let (id, rest) = part.split_once(',')?;
        // `ACTIVE 3 sec`, or `ACTIVE (PREPARED) 3 sec`.
        let active = rest.trim_start().strip_prefix("ACTIVE ")?;
        let seconds = active.split_whitespace().find_map(|word| word.parse().ok())?;
        rest.contains("undo log entries").then(|| Writing { id: id.to_owned(), seconds })
    };
    status.split("---TRANSACTION ").skip(1).filter_map(transaction).collect()
}

#[async_trait]
impl SourceDatabase for MySqlReader {
    const NAME: &'static str = "MySqlSource";
    const PROTOCOLS: &'static [&'static str] = &["mysql", "mariadb"];
    const QUOTE: Quote = Quote::Backtick;
    const PARAMETERS: &'static [&'static str] = connection::PARAMETERS;
    type Type = Kind;
    type Rows = MySqlRows;

    async fn connect(config: &SourceConfig) -> Result<Self> {
        let zone = Zone::of(&config.timezone).ok_or_else(|| Error::config("Invalid time zone"))?;
        let driver = Driver::new(config)?;
        let connection = connection::connect(&config.connection, zone.is_utc()).await?;
        let mut conn = connection.conn;
        let shows_locks: Option<bool> = match connection.mariadb {
            true => Some(false),
            false => conn
                .query_first("SELECT @@performance_schema")
                .await
                .map_err(|e| error("setting up the session", e))?,
        };
        let shows_locks = shows_locks.unwrap_or(false);
        Ok(Self { conn: Some(conn), reading: None, driver, shows_locks, warned: false })
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn catalog(_: &SourceConfig) -> Option<&str> {
        None
    }

    async fn tables(&mut self, config: &SourceConfig) -> Result<Vec<Found>> {
        // A database is a catalog to the JVM's driver; whoever gives a schema means that too.
        let pattern = config.catalog_pattern.as_ref().or(config.schema_pattern.as_ref());
        const SQL: &str = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES \
            WHERE TABLE_SCHEMA LIKE ? AND TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') \
              AND (? OR TABLE_SCHEMA = DATABASE()) ORDER BY 1, 2";
        let all = pattern.is_some() || !null_means_current(&config.connection)?;
        let pattern = pattern.map_or("%", String::as_str);
        let rows: mysql_async::Result<Vec<(String, String, String)>> =
            self.conn()?.exec(SQL, (pattern, all)).await;
        let found = |(schema, name, kind): (String, String, String)| Found {
            table: TableName { schema, name },
            kind: match kind.as_str() {
                "BASE TABLE" | "SYSTEM VERSIONED" => "TABLE".to_owned(),
                _ => kind,
            },
        };
        Ok(rows.map_err(|e| error("listing tables", e))?.into_iter().map(found).collect())
    }

    async fn table(&mut self, qualified: &str) -> Result<TableName> {
        const SQL: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
            WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
        // A name may hold dots, and so may that of its database.
        for (at, _) in qualified.match_indices('.') {
            let key = (&qualified[..at], &qualified[at + 1..]);
            let row: Option<(String, String)> = self
                .conn()?
                .exec_first(SQL, key)
                .await
                .map_err(|e| error("looking up a table", e))?;
            if let Some((schema, name)) = row {
                return Ok(TableName { schema, name });
            }
        }
        Err(Error::connection("table does not exist").context("table", qualified))
    }

    async fn check(&mut self, query: &str) -> Result<()> {
        let conn = self.conn()?;
        let failed = |e| error("preparing the query", e);
        let statement = conn.prep(query.trim().trim_end_matches(';')).await.map_err(failed)?;
        conn.close(statement).await.map_err(failed)
    }

    async fn begin(&mut self, origin: &Origin, config: &SourceConfig) -> Result<Vec<Column<Kind>>> {
        if let Some(level) = config.isolation.sql() {
            self.run(&format!("SET TRANSACTION ISOLATION LEVEL {level}"), "starting to read")
                .await?;
        }
        self.run("START TRANSACTION READ ONLY", "starting to read").await?;
        let from = from(origin, config, Self::QUOTE);
        let found = self.describe(&format!("SELECT q.* FROM {from} LIMIT 0")).await?;
        Ok(columns(&found, config, self.driver))
    }

    async fn query(&mut self, read: Read<'_, Kind>) -> Result<MySqlRows> {
        let table = read.origin.table().map(|table| table.name.as_str());
        let driver = (read.config, self.driver);
        let decoder = Decoder::new(table, read.columns, read.criteria, driver)?;
        let from = from(read.origin, read.config, Self::QUOTE);
        let sql = format!("SELECT q.* FROM {from}{}", read.clauses);
        let schema = Arc::clone(decoder.schema());
        let conn = self.conn.take().ok_or_else(|| Error::internal("no connection"))?;
        let (rows, taken) = mpsc::channel(WAITING);
        let (back, reading) = oneshot::channel();
        self.reading = Some(reading);
        // The driver's own task: its results borrow the connection, and a read that is dropped halfway would lose rows.
        // It ends when nobody takes them any more.
        tokio::spawn(async move {
            let sent = rows.clone();
            match pump(conn, &sql, decoder, &rows).await {
                // Whoever waits for it is gone when the task was stopped.
                Ok(conn) => drop(back.send(conn)),
                Err(error) => drop(sent.send(Err(error)).await),
            }
        });
        Ok(MySqlRows { schema, taken, left: Vec::new().into_iter() })
    }

    async fn end(&mut self) -> Result<()> {
        if let Some(reading) = self.reading.take() {
            let lost = |_| Error::connection("the connection was lost while rows were read");
            self.conn = Some(reading.await.map_err(lost)?);
        }
        self.run("COMMIT", "ending the transaction").await
    }

    async fn now(&mut self) -> Result<i64> {
        const SQL: &str = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";
        let row: Option<i64> =
            self.conn()?.query_first(SQL).await.map_err(|e| error("asking for the time", e))?;
        row.ok_or_else(|| Error::connection("MySQL did not say its time"))
    }

    async fn oldest_transaction(&mut self) -> Result<Option<i64>> {
        let Some(seconds) = self.writing().await?.iter().map(|writing| writing.seconds).max()
        else {
            return Ok(None);
        };
        // It began at some time in the second before.
        Ok(Some(self.now().await? - (seconds + 1) * 1_000_000))
    }

    async fn horizon(
        &mut self,
        origin: &Origin,
        expression: &str,
        config: &SourceConfig,
    ) -> Result<Option<Horizon>> {
        let from = from(origin, config, Self::QUOTE);
        let sql = format!(
            "SELECT CAST(({expression}) AS CHAR) FROM {from} WHERE {expression} IS NOT NULL \
             ORDER BY {expression} DESC LIMIT 1"
        );
        let highest: Option<String> = self
            .conn()?
            .query_first(sql)
            .await
            .map_err(|e| error("looking at the incrementing column", e))?;
        let writers = self.running(origin, &[]).await?;
        Ok(Some(Horizon { highest, writers }))
    }

    async fn running(&mut self, origin: &Origin, writers: &[String]) -> Result<Vec<String>> {
        let locks = match origin.table().filter(|_| self.shows_locks) {
            Some(table) => {
                let key = (&table.schema, &table.name);
                let locks: mysql_async::Result<Vec<String>> = self.conn()?.exec(WRITERS, key).await;
                match locks {
                    Ok(locks) => Some(locks),
                    Err(mysql_async::Error::Server(e)) if DENIED.contains(&e.code) => {
                        self.shows_locks = false;
                        None
                    }
                    Err(e) => return Err(error("looking for running transactions", e)),
                }
            }
            None => None,
        };
        let mut running: Vec<String> = match locks {
            Some(locks) => locks,
            None => self.writing().await?.into_iter().map(|writing| writing.id).collect(),
        };
        if !writers.is_empty() {
            running.retain(|id| writers.contains(id));
        }
        Ok(running)
    }

    async fn integers(&mut self, from: &str, column: &str) -> Result<Option<(bool, bool)>> {
        let sql = format!(
            "SELECT MAX(i), MIN(i) FROM (SELECT {column} REGEXP '^ *[-+]?[0-9]+ *$' AS i FROM {from} \
             WHERE {column} IS NOT NULL) s"
        );
        let row: Option<(Option<i64>, Option<i64>)> = self
            .conn()?
            .query_first(sql)
            .await
            .map_err(|e| error("looking at the incrementing column", e))?;
        Ok(row.and_then(|(some, all)| Some((some? != 0, all? != 0))))
    }

    fn text(text: &str) -> String {
        literal::text(text)
    }

    fn timestamp(text: &str, _: bool) -> String {
        format!("TIMESTAMP'{text}'")
    }

    fn number(column: &str) -> String {
        format!(
            "CASE WHEN {column} REGEXP '^ *[-+]?[0-9]+ *$' THEN CAST({column} AS DECIMAL(65,0)) END"
        )
    }
}

/// Runs a query and sends its rows; gives the connection back at their end.
async fn pump(
    mut conn: Conn,
    sql: &str,
    mut decoder: Decoder,
    rows: &mpsc::Sender<Result<Vec<Row>>>,
) -> Result<Conn> {
    let failed = |e| error("reading rows", e);
    let statement = conn.prep(sql).await.map_err(|e| error("querying", e))?;
    let mut result = conn.exec_iter(&statement, ()).await.map_err(|e| error("querying", e))?;
    let (mut chunk, mut size) = (Vec::new(), 0);
    while let Some(row) = result.next().await.map_err(failed)? {
        let row = decoder.row(row)?;
        size += row.size;
        chunk.push(row);
        if chunk.len() >= CHUNK.0 || size >= CHUNK.1 {
            size = 0;
            if rows.send(Ok(std::mem::take(&mut chunk))).await.is_err() {
                return Err(Error::internal("nobody takes the rows any more"));
            }
        }
    }
    result.drop_result().await.map_err(failed)?;
    conn.close(statement).await.map_err(failed)?;
    // A send that fails means the same as above; the connection can be used again all the same.
    let _ = rows.send(Ok(chunk)).await;
    Ok(conn)
}

/// Rows as they come.
pub struct MySqlRows {
    schema: Arc<Schema>,
    taken: mpsc::Receiver<Result<Vec<Row>>>,
    left: std::vec::IntoIter<Row>,
}

#[async_trait]
impl Rows for MySqlRows {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    async fn fill(&mut self, rows: &mut Vec<Row>, count: usize, size: usize) -> Result<bool> {
        let mut read: usize = rows.iter().map(|row| row.size).sum();
        while rows.len() < count && read < size {
            if let Some(row) = self.left.next() {
                read += row.size;
                rows.push(row);
                continue;
            }
            match self.taken.recv().await {
                Some(chunk) => self.left = chunk?.into_iter(),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monitor_tells_who_has_written() {
        let status = "LIST OF TRANSACTIONS FOR EACH SESSION:\n\
            ---TRANSACTION (0x7f1), not started\n0 lock struct(s), heap size 1128, 0 row lock(s)\n\
            ---TRANSACTION 4711, ACTIVE 3 sec\n1 lock struct(s), heap size 1128, 0 row lock(s), undo log entries 1\n\
            MariaDB thread id 5, OS thread handle 1, query id 7 127.0.0.1 root\n\
            ---TRANSACTION 4713, ACTIVE (PREPARED) 5 sec\n2 lock struct(s), undo log entries 8\n\
            ---TRANSACTION 4712, ACTIVE 90 sec\n0 lock struct(s), heap size 1128, 0 row lock(s)\n--------\nFILE I/O";
        let expected = [("4711", 3), ("4713", 5)];
        let expected = expected.map(|(id, seconds)| Writing { id: id.to_owned(), seconds });
        assert_eq!(writing(status), expected);
    }
}
