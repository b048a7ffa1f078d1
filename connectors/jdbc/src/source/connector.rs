//! The connector: which tables there are, and tasks on them.

use std::{
    sync::{Mutex as StdMutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use connect_core::{
    config::{Invalid, Properties},
    error::{Error, ErrorKind, Result},
    source::{Assigned, OffsetChange, SourceConnector},
};
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    JdbcSourceTask, Offset, Partition, SourceConfig,
    checks::{contradictions, notification, without_meaning},
    database::{Origin, SourceDatabase},
    keys::Mode,
    tables,
    task::probe,
};
use crate::{SOURCE_CLASSES, claims, zone::Zone};

/// `JdbcSourceConnector` on a database.
pub struct JdbcSource<D> {
    config: SourceConfig,
    database: Mutex<D>,
    /// What the lists of tables say that is not there.
    unmatched: StdMutex<Option<String>>,
}

impl<D: SourceDatabase> JdbcSource<D> {
    /// The connection, a new one if it was lost.
    async fn database(&self) -> Result<MutexGuard<'_, D>> {
        let mut database = self.database.lock().await;
        if database.is_closed() {
            *database = D::connect(&self.config).await?;
        }
        Ok(database)
    }
}

#[async_trait]
impl<D: SourceDatabase> SourceConnector for JdbcSource<D> {
    const NAME: &'static str = D::NAME;
    const ALIASES: &'static [&'static str] = SOURCE_CLASSES;
    type Config = SourceConfig;
    type Task = JdbcSourceTask<D>;

    fn claims(properties: &Properties) -> bool {
        claims(properties, D::PROTOCOLS)
    }

    /// A copy of a whole table does not resume.
    fn exactly_once(config: &SourceConfig) -> bool {
        config.mode != Some(Mode::Bulk)
    }

    async fn validate(config: &SourceConfig) -> Vec<Invalid> {
        let mut invalid = contradictions(config);
        invalid.extend(notification(config, D::PROTOCOLS, D::NOTIFIES));
        if !invalid.is_empty() {
            return invalid;
        }
        // As the JVM's: a configuration that cannot connect, or whose query cannot be run, is refused when it is
        // submitted.
        let mut database = match D::connect(config).await {
            Ok(database) => database,
            Err(error) => {
                let why = format!("Could not connect to database. {}", one_line(&error));
                return vec![Invalid::new("connection.url", why)];
            }
        };
        let Some(query) = config.query() else { return Vec::new() };
        let (Some(mode), Some(zone)) = (config.mode, Zone::of(&config.timezone)) else {
            return Vec::new();
        };
        let query = Origin::Query(query.to_owned());
        let probed = probe(&mut database, config, (mode, &zone), &query).await.err();
        let key = |error: &Error| match error.kind() {
            ErrorKind::Config if error.message().starts_with("Incrementing") => {
                "incrementing.column.name"
            }
            ErrorKind::Config => "timestamp.column.name",
            _ if config.query.trim().is_empty() => "query.masked",
            _ => "query",
        };
        probed.into_iter().map(|e| Invalid::new(key(&e), one_line(&e))).collect()
    }

    async fn alter_offsets(_: &SourceConfig, offsets: &[OffsetChange]) -> Result<bool> {
        for (partition, offset) in offsets {
            let partition = Partition::deserialize(partition).map_err(|e| {
                Error::config(
                    "a partition must be {\"protocol\":\"1\",\"table\":\"schema.table\"}, {\"table\":\"table\"} or \
                     {\"query\":\"query\"}",
                )
                .context("partition", partition)
                .with_source(e)
            })?;
            if partition.table.is_some() == partition.query.is_some() {
                return Err(Error::config("a partition must have either a table or a query"));
            }
            if let Some(offset) = offset {
                Offset::deserialize(offset).map_err(|e| {
                    Error::config(
                        "an offset may have incrementing (an integer or a text), timestamp (milliseconds) and \
                         timestamp_nanos",
                    )
                    .context("offset", offset)
                    .with_source(e)
                })?;
            }
        }
        Ok(false)
    }

    async fn connect(config: SourceConfig) -> Result<Self> {
        // A stored configuration was not validated here.
        if let Some(invalid) = notification(&config, D::PROTOCOLS, D::NOTIFIES).first() {
            return Err(Error::config(invalid.message()));
        }
        let database = Mutex::new(D::connect(&config).await?);
        let ignored = without_meaning(&config, D::PARAMETERS);
        if !ignored.is_empty() {
            tracing::warn!(
                keys = ignored.join(", "),
                "these settings have no meaning here and are ignored"
            );
        }
        Ok(Self { config, database, unmatched: StdMutex::default() })
    }

    async fn partitions(&self) -> Result<Vec<Partition>> {
        if self.config.query().is_some() {
            return Ok(vec![Partition::query()]);
        }
        let found = self.database().await?.tables(&self.config).await?;
        let (config, catalog) = (&self.config, D::catalog(&self.config));
        let unmatched = tables::unmatched(&found, config, D::QUOTE, catalog)?;
        *self.unmatched.lock().unwrap_or_else(PoisonError::into_inner) = unmatched;
        let tables = tables::chosen(found, config, D::QUOTE, catalog)?;
        Ok(tables.iter().map(|table| Partition::table(table.qualified())).collect())
    }

    fn notice(&self) -> Option<String> {
        self.unmatched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn earlier(&self, partition: &Partition) -> Vec<Partition> {
        let Some(qualified) = &partition.table else { return Vec::new() };
        let bare = qualified.split_once('.').map_or(qualified.as_str(), |(_, name)| name);
        // Three parts: of version 10.9.4 and before, with a later driver.
        let catalog = D::catalog(&self.config);
        let three = catalog.map(|catalog| Partition::table(format!("{catalog}.{qualified}")));
        three.into_iter().chain([Partition::bare(bare)]).collect()
    }

    fn partitions_interval(&self) -> Option<Duration> {
        self.config.query().is_none().then(|| self.config.table_poll_interval.get())
    }

    async fn task(&self, assigned: Vec<Assigned<JdbcSourceTask<D>>>) -> Result<JdbcSourceTask<D>> {
        let mut task = JdbcSourceTask::new(self.config.clone(), assigned)?;
        let mut database = self.database().await?;
        // What contradicts the tables fails the start, not the first poll.
        task.check(&mut *database).await?;
        task.install_triggers(&mut *database).await?;
        Ok(task)
    }
}

fn one_line(error: &Error) -> String {
    error.trace().trim_end().replace('\n', "; ")
}
