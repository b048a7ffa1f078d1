//! The connector and its tasks.

use std::time::Duration;

use async_trait::async_trait;
use connect_core::{
    config::{Invalid, Properties},
    data::Text,
    error::{Error, ErrorKind, Result},
    source::{Assigned, Polled, SourceBatch, SourceConnector, SourceTask},
};
use connectors_jdbc::{
    SOURCE_CLASSES,
    names::Quote,
    source::{Offset, Partition, SourceConfig},
};
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::{
    catalog, connection,
    decode::Decoder,
    query::{Criteria, Origin, Statement},
    reader::{Reading, Rows},
};

/// `JdbcSourceConnector` on PostgreSQL.
pub struct PostgresSource {
    config: SourceConfig,
    client: tokio::sync::Mutex<Client>,
}

impl PostgresSource {
    /// The connection, a new one if it was lost.
    async fn client(&self) -> Result<tokio::sync::MutexGuard<'_, Client>> {
        let mut client = self.client.lock().await;
        if client.is_closed() {
            *client = connection::connect(&self.config).await?;
        }
        Ok(client)
    }
}

#[async_trait]
impl SourceConnector for PostgresSource {
    const NAME: &'static str = "PostgresSource";
    const ALIASES: &'static [&'static str] = SOURCE_CLASSES;
    type Config = SourceConfig;
    type Task = PostgresSourceTask;

    fn claims(properties: &Properties) -> bool {
        connectors_jdbc::claims(properties, &["postgresql"])
    }

    async fn validate(config: &SourceConfig) -> Vec<Invalid> {
        let mut invalid = config.contradictions();
        if invalid.is_empty() {
            // As the JVM's: a configuration that cannot connect is refused when it is submitted.
            match connection::connect(config).await {
                Ok(_) => {}
                Err(error) => invalid.push(Invalid::new(
                    "connection.url",
                    format!("Could not connect to database. {}", one_line(&error)),
                )),
            }
        }
        invalid
    }

    async fn connect(config: SourceConfig) -> Result<Self> {
        let client = connection::connect(&config).await?;
        Ok(Self { config, client: tokio::sync::Mutex::new(client) })
    }

    async fn partitions(&self) -> Result<Vec<Partition>> {
        if !self.config.query.is_empty() {
            return Ok(vec![Partition::query()]);
        }
        let client = self.client().await?;
        let tables = catalog::tables(&client, &self.config).await?;
        for (i, table) in tables.iter().enumerate() {
            if let Some(twin) = tables[..i].iter().find(|other| other.name == table.name) {
                return Err(Error::config(format!(
                    "The connector uses the unqualified table name as the topic name and has detected duplicate \
                     unqualified table names: {} and {}. This could lead to mixed data types in the topic and \
                     downstream processing errors. Narrow table.whitelist or schema.pattern.",
                    twin.qualified(),
                    table.qualified()
                )));
            }
        }
        Ok(tables.iter().map(|table| Partition::table(table.qualified())).collect())
    }

    fn partitions_interval(&self) -> Option<Duration> {
        self.config.query.is_empty().then(|| self.config.table_poll_interval.get())
    }

    async fn task(
        &self,
        assigned: Vec<Assigned<PostgresSourceTask>>,
    ) -> Result<PostgresSourceTask> {
        let tables = assigned.into_iter().map(|assigned| Polling {
            partition: assigned.partition,
            offset: assigned.offset.unwrap_or_default(),
            due: Instant::now(),
        });
        let task = PostgresSourceTask {
            config: self.config.clone(),
            tables: tables.collect(),
            client: None,
            reading: None,
            in_transaction: false,
        };
        // What contradicts the tables fails the start, not the first poll.
        if let Some(first) = task.tables.first().map(|table| table.partition.clone()) {
            let client = self.client().await?;
            task.describe(&client, &first).await?;
        }
        Ok(task)
    }
}

fn one_line(error: &Error) -> String {
    error.trace().trim_end().replace('\n', "; ")
}

/// One partition of a task.
struct Polling {
    partition: Partition,
    offset: Offset,
    due: Instant,
}

/// Reads the tables of one task in turns, one query at a time.
pub struct PostgresSourceTask {
    config: SourceConfig,
    tables: Vec<Polling>,
    client: Option<Client>,
    /// The query that is being read, and the position of its table.
    reading: Option<(usize, Reading)>,
    /// A transaction was begun that no reading belongs to: a poll was dropped between the two.
    in_transaction: bool,
}

impl PostgresSourceTask {
    async fn describe(
        &self,
        client: &Client,
        partition: &Partition,
    ) -> Result<(Origin, Vec<catalog::Column>, Criteria)> {
        let (origin, columns) = match &partition.table {
            Some(qualified) => {
                let table = catalog::table(client, qualified).await?;
                let columns = catalog::columns(client, &table).await?;
                (Origin::Table(table), columns)
            }
            None => {
                let query = self.config.query.clone();
                let columns = catalog::query_columns(client, &query).await?;
                (Origin::Query(query), columns)
            }
        };
        let criteria = Criteria::find(&self.config, &origin, &columns)?;
        Ok((origin, columns, criteria))
    }

    /// Starts to read a table in a transaction of its own: its definition cannot change before its rows come.
    async fn start(&mut self, at: usize) -> Result<()> {
        if self.client.as_ref().is_none_or(Client::is_closed) || self.in_transaction {
            self.client = None;
            self.in_transaction = false;
            self.client = Some(connection::connect(&self.config).await?);
        }
        let Some(client) = &self.client else { return Err(Error::internal("no connection")) };
        let failed = |e| connection::error("starting to read", e);
        self.in_transaction = true;
        client.batch_execute("BEGIN READ ONLY").await.map_err(failed)?;
        let partition = &self.tables[at].partition;
        if let Some(qualified) = &partition.table {
            let table = catalog::table(client, qualified).await?;
            // Parsing takes the lock that keeps the columns as they are.
            let lock = format!("SELECT 1 FROM {} LIMIT 0", table.quoted());
            client.batch_execute(&lock).await.map_err(failed)?;
        }
        let (origin, columns, criteria) = self.describe(client, partition).await?;
        let (until, mut after) = (self.until(client, &criteria).await?, self.tables[at].offset);
        if after == Offset::default() && !criteria.timestamps.is_empty() {
            after = self.initial(client, &criteria).await?;
        }
        let decoder = Decoder::new(origin.table().map(|table| table.name.as_str()), &columns);
        let statement = Statement {
            config: &self.config,
            origin: &origin,
            columns: &columns,
            criteria: &criteria,
        };
        let sql = statement.copy(&decoder, &after, until);
        let stream = client.copy_out(&sql).await;
        let stream = stream
            .map_err(|e| connection::error("querying", e).context("table", origin.describe()))?;
        let column = criteria.incrementing.map(|at| columns[at].name.as_str()).unwrap_or_default();
        let reading = Reading {
            stream: Box::pin(stream),
            decoder,
            column: Quote::Double.identifier(column).into(),
            origin,
            criteria,
            mode: self.config.mode,
            max_rows: self.config.batch_max_rows as usize,
            offset: after,
            rows: Vec::new(),
            first: true,
            ended: false,
        };
        self.in_transaction = false;
        self.reading = Some((at, reading));
        Ok(())
    }

    /// The upper bound of timestamps: the database's own time, in milliseconds, less the configured delay; or the start
    /// of the oldest transaction that still runs, if that is earlier. The rows that it will commit may have timestamps
    /// from there on: read past them, and they would be lost.
    async fn until(&self, client: &Client, criteria: &Criteria) -> Result<Option<i64>> {
        /// A statement's time is taken a moment before others can see that its transaction has begun.
        const MARGIN_MICROS: i64 = 5_000;
        const OLDEST: &str = "SELECT (extract(epoch FROM min(xact_start)) * 1000000)::int8 \
            FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
              AND application_name <> current_setting('application_name')";
        if criteria.timestamps.is_empty() {
            return Ok(None);
        }
        let mut until = self.now(client).await?;
        if self.config.hold_back {
            let row = client.query_one(OLDEST, &[]).await;
            let row = row.map_err(|e| connection::error("looking for running transactions", e))?;
            until -= MARGIN_MICROS;
            until = row.get::<_, Option<i64>>(0).map_or(until, |oldest| oldest.min(until));
        }
        let delay =
            i64::try_from(self.config.timestamp_delay.get().as_micros()).unwrap_or(i64::MAX);
        Ok(Some((until.div_euclid(1000) * 1000).saturating_sub(delay)))
    }

    async fn now(&self, client: &Client) -> Result<i64> {
        const SQL: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";
        let row = client.query_one(SQL, &[]).await;
        Ok(row.map_err(|e| connection::error("asking for the time", e))?.get(0))
    }

    /// Where to start without an offset.
    async fn initial(&self, client: &Client, criteria: &Criteria) -> Result<Offset> {
        let millis = match self.config.timestamp_initial {
            None => return Ok(Offset::default()),
            Some(-1) => self.now(client).await?.div_euclid(1000),
            Some(millis) => millis,
        };
        let incrementing = criteria.incrementing.map(|_| -1);
        Ok(Offset { incrementing, ..Offset::default() }.at(millis.saturating_mul(1000)))
    }

    fn topic(&self, origin: &Origin) -> Text {
        let table = origin.table().map(|table| table.name.as_str()).unwrap_or_default();
        format!("{}{table}", self.config.topic_prefix.trim()).into()
    }

    /// The next rows of the query that is being read.
    async fn read(&mut self) -> Result<Option<SourceBatch<Self>>> {
        let Some((at, reading)) = &mut self.reading else { return Ok(None) };
        let at = *at;
        if let Some(Rows { records, offset }) = reading.next().await? {
            let topic = match self.reading.as_ref() {
                Some((_, reading)) => self.topic(&reading.origin),
                None => return Ok(None),
            };
            self.tables[at].offset = offset;
            // In bulk mode, and before the first group of equal timestamps is complete, there is none.
            let offset = (offset != Offset::default()).then_some(offset);
            let partition = self.tables[at].partition.clone();
            return Ok(Some(SourceBatch { partition, offset, topic, records }));
        }
        // So that nothing stays idle in a transaction until the next poll.
        if let Some(client) = &self.client {
            let ended = client.batch_execute("COMMIT").await;
            ended.map_err(|e| connection::error("ending the transaction", e))?;
        }
        self.reading = None;
        self.tables[at].due = Instant::now() + self.config.poll_interval.get();
        Ok(None)
    }
}

#[async_trait]
impl SourceTask for PostgresSourceTask {
    type Partition = Partition;
    type Offset = Offset;

    async fn poll(&mut self) -> Result<Polled<SourceBatch<Self>>> {
        loop {
            let now = Instant::now();
            let result = if self.reading.is_some() {
                match self.read().await {
                    Ok(Some(batch)) => return Ok(Polled::Batch(batch)),
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                }
            } else {
                let next = self.tables.iter().enumerate().min_by_key(|(_, table)| table.due);
                match next.map(|(at, table)| (at, table.due)) {
                    None => return Ok(Polled::Idle(self.config.table_poll_interval.get())),
                    Some((_, due)) if due > now => return Ok(Polled::Idle(due - now)),
                    Some((at, _)) => self.start(at).await.inspect_err(|_| {
                        // The other tables of the task get their turn.
                        self.tables[at].due = Instant::now() + self.config.poll_interval.get();
                    }),
                }
            };
            if let Err(error) = result {
                self.reading = None;
                self.client = None;
                // Data that cannot be read will not become readable: only the connection is worth another try.
                let data = error.kind() == ErrorKind::Data;
                return Err(if data { error.retriable(false) } else { error });
            }
        }
    }
}
