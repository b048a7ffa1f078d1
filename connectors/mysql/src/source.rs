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
        criteria::Criteria,
        database::{
            Clocks, Column, Horizon, Origin, Read, Row, Rows, Running, SourceDatabase, Standing,
        },
        statement::{from, relation, verbatim},
        tables::Found,
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
    running::{self, DENIED, Writing},
};

/// Rows that are handed over at once, and their bytes.
const CHUNK: (usize, usize) = (500, 1 << 20);
/// Chunks that wait to be taken.
const WAITING: usize = 2;
/// Transactions that hold the lock of a writer on a table: they have it from before an id is given out until they end.
const WRITERS: &str = "SELECT CONCAT(OWNER_THREAD_ID, ':', OWNER_EVENT_ID) FROM performance_schema.metadata_locks \
    WHERE OBJECT_TYPE = 'TABLE' AND OBJECT_SCHEMA = ? AND OBJECT_NAME = ? AND LOCK_STATUS = 'GRANTED' \
      AND LOCK_TYPE IN ('SHARED_WRITE', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE') \
      AND OWNER_THREAD_ID <> PS_CURRENT_THREAD_ID()";
/// The zone of sessions that set none of their own: what this session had before it was given one, or the server's.
const STAMPING_ZONE: &str = "COALESCE(@ferrovia_zone, @@global.time_zone)";

/// A connection to MySQL or MariaDB that is read.
pub struct MySqlReader {
    conn: Option<Conn>,
    /// Gives the connection back when the rows of its query were read.
    reading: Option<oneshot::Receiver<Conn>>,
    driver: Driver,
    /// Whether the locks of tables can be seen: not in MariaDB, nor without the performance schema.
    shows_locks: bool,
    warned: bool,
    /// Whether a column of a table is its AUTO_INCREMENT, as it was looked up last.
    counted: Option<(String, bool)>,
}

impl MySqlReader {
    fn conn(&mut self) -> Result<&mut Conn> {
        self.conn.as_mut().ok_or_else(|| Error::connection("the connection is in use"))
    }

    async fn run(&mut self, sql: &str, doing: &'static str) -> Result<()> {
        self.conn()?.query_drop(sql).await.map_err(|e| error(doing, e))
    }

    /// The columns of what a statement returns, which is prepared and not run.
    async fn prepared(&mut self, sql: &str) -> Result<Vec<mysql_async::Column>> {
        let failed = |e| error("preparing the query", e);
        let conn = self.conn()?;
        let statement = conn.prep(sql).await.map_err(failed)?;
        let found = statement.columns().to_vec();
        conn.close(statement).await.map_err(failed)?;
        Ok(found)
    }

    /// The columns of what a statement returns.
    async fn returned(&mut self, sql: &str) -> Result<Vec<mysql_async::Column>> {
        let failed = |e| error("reading columns", e);
        let mut result = self.conn()?.query_iter(sql).await.map_err(failed)?;
        let found = result.columns().map(|columns| columns.to_vec()).unwrap_or_default();
        result.for_each(drop).await.map_err(failed)?;
        Ok(found)
    }

    /// What has written something, or is about to; nothing where the user may not see it, which is said once.
    async fn writing(&mut self) -> Result<Vec<Writing>> {
        let found = running::writing(self.conn()?).await?;
        if found.is_none() && !self.warned {
            self.warned = true;
            tracing::warn!(
                "without the privilege PROCESS rows that are committed late may be lost: running transactions cannot be \
                 seen; hold.back.running.transactions=false silences this"
            );
        }
        Ok(found.unwrap_or_default())
    }
}

/// The statement whose rows are read: a query as it is.
fn select(read: &Read<'_, Kind>) -> String {
    let quote = MySqlReader::QUOTE;
    verbatim(read.origin, read.config, quote).unwrap_or_else(|| {
        let relation = relation(read.origin, read.config, quote);
        format!(
            "SELECT {relation}.* FROM {}{}",
            from(read.origin, read.config, quote),
            read.clauses
        )
    })
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
        if !connection.mariadb && conn.server_version() >= (8, 0, 0) {
            // What was given out of an AUTO_INCREMENT is of up to a day ago otherwise.
            conn.query_drop("SET SESSION information_schema_stats_expiry = 0")
                .await
                .map_err(|e| error("setting up the session", e))?;
        }
        Ok(Self {
            conn: Some(conn),
            reading: None,
            driver,
            shows_locks,
            warned: false,
            counted: None,
        })
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

    async fn check(&mut self, read: Read<'_, Kind>) -> Result<()> {
        let sql = select(&read);
        let conn = self.conn()?;
        let failed = |e| error("preparing the query", e);
        let statement = conn.prep(sql).await.map_err(failed)?;
        conn.close(statement).await.map_err(failed)
    }

    async fn begin(&mut self, origin: &Origin, config: &SourceConfig) -> Result<Vec<Column<Kind>>> {
        if let Some(level) = config.isolation.sql() {
            self.run(&format!("SET TRANSACTION ISOLATION LEVEL {level}"), "starting to read")
                .await?;
        }
        // What a query or a suffix calls may write: functions, row locks.
        let own = origin.table().is_some() && config.query_suffix.trim().is_empty();
        let only = if own { " READ ONLY" } else { "" };
        self.run(&format!("START TRANSACTION{only}"), "starting to read").await?;
        let found = match verbatim(origin, config, Self::QUOTE) {
            Some(query) => self.prepared(&query).await?,
            None => {
                let (relation, from) =
                    (relation(origin, config, Self::QUOTE), from(origin, config, Self::QUOTE));
                self.returned(&format!("SELECT {relation}.* FROM {from} LIMIT 0")).await?
            }
        };
        Ok(columns(&found, config, self.driver))
    }

    async fn query(&mut self, read: Read<'_, Kind>) -> Result<MySqlRows> {
        let table = read.origin.table().map(|table| table.name.as_str());
        let driver = (read.config, self.driver);
        let decoder = Decoder::new(table, read.columns, read.criteria, driver)?;
        let sql = select(&read);
        // What expressions are, variables above all, shows for certain only in what is returned.
        let own =
            table.is_none().then(|| (read.config.clone(), self.driver, read.criteria.clone()));
        let conn = self.conn.take().ok_or_else(|| Error::internal("no connection"))?;
        let (rows, mut taken) = mpsc::channel(WAITING);
        let (back, reading) = oneshot::channel();
        let (told, schema) = oneshot::channel();
        self.reading = Some(reading);
        // The driver's own task: its results borrow the connection, and a read that is dropped halfway would lose rows.
        // It ends when nobody takes them any more.
        tokio::spawn(async move {
            let sent = rows.clone();
            match pump(conn, &sql, (decoder, own), told, &rows).await {
                // Whoever waits for it is gone when the task was stopped.
                Ok(conn) => drop(back.send(conn)),
                Err(error) => drop(sent.send(Err(error)).await),
            }
        });
        match schema.await {
            Ok(schema) => Ok(MySqlRows { schema, taken, left: Vec::new().into_iter() }),
            Err(_) => Err(match taken.recv().await {
                Some(Err(error)) => error,
                _ => Error::connection("the connection was lost while rows were read"),
            }),
        }
    }

    async fn end(&mut self) -> Result<()> {
        if let Some(reading) = self.reading.take() {
            let lost = |_| Error::connection("the connection was lost while rows were read");
            self.conn = Some(reading.await.map_err(lost)?);
        }
        self.run("COMMIT", "ending the transaction").await
    }

    async fn now(&mut self) -> Result<i64> {
        const SQL: &str = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";
        let row: Option<i64> =
            self.conn()?.query_first(SQL).await.map_err(|e| error("asking for the time", e))?;
        row.ok_or_else(|| Error::connection("MySQL did not say its time"))
    }

    async fn transactions(&mut self, _: &Origin) -> Result<Running> {
        let writing = self.writing().await?;
        let now = self.now().await?;
        let holders = writing.iter().map(|writing| writing.holder(now));
        Ok(Running { holder: holders.min_by_key(|holder| holder.since), ..Running::default() })
    }

    async fn clocks(&mut self, instants: &[i64]) -> Result<Clocks> {
        let shows = |instant: &i64, zone: &str| {
            format!(
                "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', \
                 CONVERT_TZ('1970-01-01' + INTERVAL {instant} MICROSECOND, '+00:00', {zone}))"
            )
        };
        let rows = instants.iter().map(|instant| {
            format!(
                "SELECT {}, {}",
                shows(instant, STAMPING_ZONE),
                shows(instant, "@@session.time_zone")
            )
        });
        let sql = rows.collect::<Vec<_>>().join(" UNION ALL ");
        let failed = |e| error("asking for the time", e);
        let rows: Vec<(Option<i64>, Option<i64>)> =
            self.conn()?.query(sql).await.map_err(failed)?;
        let known = |(stamped, shown): (Option<i64>, Option<i64>)| stamped.zip(shown);
        let clocks: Option<Vec<(i64, i64)>> = rows.into_iter().map(known).collect();
        let unknown = || Error::refused("the server cannot tell what clocks of its own zone show");
        let (stamped, shown) = clocks.ok_or_else(unknown)?.into_iter().unzip();
        Ok(Clocks { stamped, shown })
    }

    async fn any(&mut self, from: &str, condition: &str) -> Result<bool> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {from} WHERE {condition})");
        let row: mysql_async::Result<Option<bool>> = self.conn()?.query_first(sql).await;
        Ok(row.map_err(|e| error("looking for rows", e))?.unwrap_or(false))
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

    async fn standing(
        &mut self,
        table: &TableName,
        column: Option<&str>,
    ) -> Result<Option<Standing>> {
        const SQL: &str = "SELECT CAST(CREATE_TIME AS CHAR), CAST(AUTO_INCREMENT AS SIGNED) - 1 \
            FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND TABLE_TYPE <> 'VIEW'";
        const OWN: &str = "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
            AND COLUMN_NAME = ? AND EXTRA LIKE '%auto_increment%'";
        let failed = |e| error("looking at the table", e);
        let column = column.unwrap_or_default();
        let row: mysql_async::Result<Option<(Option<String>, Option<i64>)>> =
            self.conn()?.exec_first(SQL, (&table.schema, &table.name)).await;
        let Some((made, last)) = row.map_err(failed)? else { return Ok(None) };
        let storage = made.unwrap_or_default();
        // Slow to answer, and the same until the table is made anew.
        let key = format!("{} {column} {storage}", table.qualified());
        if self.counted.as_ref().is_none_or(|(known, _)| *known != key) {
            let own: mysql_async::Result<Option<i64>> =
                self.conn()?.exec_first(OWN, (&table.schema, &table.name, column)).await;
            self.counted = Some((key, own.map_err(failed)?.is_some_and(|count| count > 0)));
        }
        let own = self.counted.as_ref().is_some_and(|(_, own)| *own);
        // A table that was truncated or rebuilt is another one here, as is one that was made anew.
        Ok(Some(Standing {
            table: String::new(),
            storage,
            last: last.filter(|_| own),
            sequence: None,
            moment: String::new(),
        }))
    }

    async fn describe(&mut self, writers: &[String]) -> Result<String> {
        const SQL: &str = "SELECT GROUP_CONCAT(DISTINCT 'thread ', PROCESSLIST_ID, ' (user ', PROCESSLIST_USER, ', from ', \
            PROCESSLIST_HOST, ')' SEPARATOR ', ') FROM performance_schema.threads WHERE FIND_IN_SET(THREAD_ID, ?)";
        if self.shows_locks {
            let threads = writers.iter().map(|id| id.split(':').next().unwrap_or_default());
            let threads = threads.collect::<Vec<_>>().join(",");
            let who: mysql_async::Result<Option<Option<String>>> =
                self.conn()?.exec_first(SQL, (threads,)).await;
            let who = who.map_err(|e| error("looking for running transactions", e))?;
            return Ok(who.flatten().unwrap_or_else(|| writers.join(", ")));
        }
        let writing = self.writing().await?;
        let who = writing.iter().filter(|writing| writers.contains(&writing.id));
        Ok(who.map(|writing| writing.who.clone()).collect::<Vec<_>>().join(", "))
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
    (mut decoder, own): (Decoder, Option<(SourceConfig, Driver, Criteria)>),
    told: oneshot::Sender<Arc<Schema>>,
    rows: &mpsc::Sender<Result<Vec<Row>>>,
) -> Result<Conn> {
    let failed = |e| error("reading rows", e);
    let statement = conn.prep(sql).await.map_err(|e| error("querying", e))?;
    let mut result = conn.exec_iter(&statement, ()).await.map_err(|e| error("querying", e))?;
    if let (Some((config, driver, criteria)), Some(found)) = (&own, result.columns()) {
        let found = columns(&found, config, *driver);
        decoder = Decoder::new(None, &found, criteria, (config, *driver))?;
    }
    if told.send(Arc::clone(decoder.schema())).is_err() {
        return Err(Error::internal("nobody takes the rows any more"));
    }
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
