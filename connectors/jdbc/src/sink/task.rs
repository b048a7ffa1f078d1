//! The task: batches, each in one transaction.

use std::collections::HashMap;

use async_trait::async_trait;
use connect_core::{
    error::{Error, ErrorKind, Result},
    sink::{Delivered, Offsets, Retry, SinkBatch, SinkRecord, SinkTask, TopicPartition},
};

use super::{
    SinkConfig,
    batch::Rows,
    cell::Format,
    database::{OffsetRow, SinkDatabase},
    definitions::{Definitions, Maker},
    keys::OffsetsStorage,
    naming::Destinations,
    offsets::{ensure_offsets_table, fenced, offsets_table},
    plan::Values,
    transact::{Prepared, Writing},
};
use crate::names::TableName;

/// Writes batches, each in one transaction.
pub struct JdbcSinkTask<D> {
    config: SinkConfig,
    format: Format,
    values: Values,
    database: Option<D>,
    definitions: Definitions,
    destinations: Destinations,
    ignored: Ignored,
    /// The offsets that the target keeps, of the partitions of this task.
    stored: HashMap<TopicPartition, OffsetRow>,
}

/// Counts the records without value that are passed over since deletes are off, in a log line for the first of them and
/// for every tenfold.
#[derive(Debug, Default)]
struct Ignored {
    count: u64,
    next: u64,
}

impl Ignored {
    fn add(&mut self, record: &SinkRecord) {
        self.count += 1;
        if self.count > self.next {
            self.next = self.count.saturating_mul(10).saturating_sub(1);
            tracing::warn!(
                records = self.count,
                topic = %record.origin.topic,
                partition = record.origin.partition,
                offset = record.offset,
                "records without value are passed over, since delete.enabled=false"
            );
        }
    }
}

#[async_trait]
impl<D: SinkDatabase> SinkTask for JdbcSinkTask<D> {
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<Offsets> {
        if self.config.offsets_storage != OffsetsStorage::Target || partitions.is_empty() {
            return Ok(Offsets::new());
        }
        let claimed = self.claim(partitions).await;
        if claimed.is_err() {
            self.database = None;
        }
        for row in claimed? {
            let origin =
                TopicPartition { topic: row.topic.as_str().into(), partition: row.partition };
            self.stored.insert(origin, row);
        }
        let next = |origin: &TopicPartition| Some((origin.clone(), self.stored.get(origin)?.next?));
        Ok(partitions.iter().filter_map(next).collect())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) {
        self.stored.retain(|origin, _| !partitions.contains(origin));
    }

    async fn put(&mut self, batch: &SinkBatch) -> Result<Delivered> {
        let most = self.config.batch_size.max(1) as usize;
        let mut result = self.write(&batch.records, most).await;
        // Keys that differ to us and not to the database, such as 1.0 and 1.00: one after the other, the last counts.
        if result.is_err() && self.database.as_ref().is_some_and(D::repeated) {
            self.recover(ErrorKind::Data).await;
            result = self.write(&batch.records, 1).await;
        }
        if self.config.auto_evolve
            && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Data)
        {
            self.recover(ErrorKind::Data).await;
            if self.widen(&batch.records).await? {
                result = self.write(&batch.records, most).await;
            }
        }
        if let Err(error) = &result {
            self.recover(error.kind()).await;
        }
        result.map(|()| Delivered::All)
    }

    fn retry(&self) -> Retry {
        let backoff = self.config.retry_backoff.get();
        Retry { attempts: Some(self.config.max_retries), backoff }
    }
}

impl<D: SinkDatabase> JdbcSinkTask<D> {
    pub(super) fn new(config: SinkConfig) -> Result<Self> {
        let values = Values { replace_null: config.replace_null };
        let format = D::format(&config)?;
        Ok(Self {
            config,
            format,
            values,
            database: None,
            definitions: Definitions::default(),
            destinations: Destinations::default(),
            ignored: Ignored::default(),
            stored: HashMap::new(),
        })
    }

    /// Undoes what a transaction had done. What was known of the tables may be why it failed.
    async fn recover(&mut self, kind: ErrorKind) {
        self.definitions.clear();
        // The server has answered: the connection goes on.
        let mut usable = matches!(
            kind,
            ErrorKind::Data | ErrorKind::Conflict | ErrorKind::Rejected | ErrorKind::Busy
        );
        if let Some(database) = self.database.as_mut().filter(|_| usable) {
            usable = database.rollback().await.is_ok();
        }
        if !usable {
            self.database = None;
        }
    }

    async fn connected(&mut self) -> Result<&mut D> {
        if self.database.as_ref().is_none_or(D::is_closed) {
            self.database = None;
            let mut database = D::connect(&self.config).await?;
            // Whether the last commit was carried out, if its answer was lost, stands there.
            if !self.stored.is_empty() {
                let name = offsets_table(&database, &self.config)?;
                let rows = database.offsets(&name, &self.config.name).await?;
                for row in rows {
                    let origin = TopicPartition {
                        topic: row.topic.as_str().into(),
                        partition: row.partition,
                    };
                    if let Some(known) = self.stored.get_mut(&origin) {
                        if known.epoch != row.epoch {
                            return Err(fenced(&origin.topic, origin.partition));
                        }
                        *known = row;
                    }
                }
            }
            self.database = Some(database);
        }
        self.database.as_mut().ok_or_else(|| Error::internal("no connection"))
    }

    async fn claim(&mut self, partitions: &[TopicPartition]) -> Result<Vec<OffsetRow>> {
        let config = self.config.clone();
        self.connected().await?;
        let Some(database) = &mut self.database else {
            return Err(Error::internal("no connection"));
        };
        let name = ensure_offsets_table(database, &config).await?;
        let partitions: Vec<(String, i32)> =
            partitions.iter().map(|tp| (tp.topic.to_string(), tp.partition)).collect();
        database.begin().await?;
        let rows = database.claim(&name, &config.name, &partitions).await?;
        database.commit().await?;
        Ok(rows)
    }

    /// Sets the offset that the target keeps of a partition.
    pub(super) async fn set_offset(&mut self, row: &OffsetRow) -> Result<()> {
        let config = self.config.clone();
        self.connected().await?;
        let Some(database) = &mut self.database else {
            return Err(Error::internal("no connection"));
        };
        let name = ensure_offsets_table(database, &config).await?;
        database.begin().await?;
        let partition = (row.topic.clone(), row.partition);
        let claimed = database.claim(&name, &config.name, &[partition]).await?;
        let epoch = claimed.first().map(|row| row.epoch).unwrap_or_default();
        database.store(&name, &config.name, &OffsetRow { epoch, ..row.clone() }).await?;
        database.commit().await
    }

    /// Writes the records, at most so many in a statement.
    async fn write(&mut self, records: &[SinkRecord], most: usize) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.connected().await?;
        let prepared = self.prepare(records).await?;
        let next = self.next_offsets(records)?;
        let Self { config, format, values, database, .. } = self;
        let Some(database) = database else { return Err(Error::internal("no connection")) };
        if prepared.is_empty() && next.is_empty() {
            return Ok(());
        }
        let writing = Writing { config, format, values: *values, most };
        if let Err(error) = writing.transact(database, &prepared, &next).await {
            return Err(match (prepared.as_slice(), records) {
                ([of], [record]) if error.kind() == ErrorKind::Data => {
                    writing.blame(database, of, record, error).await
                }
                _ => error,
            });
        }
        for row in next {
            let origin =
                TopicPartition { topic: row.topic.as_str().into(), partition: row.partition };
            self.stored.insert(origin, row);
        }
        Ok(())
    }

    /// The rows of the table of offsets after these records; none where the consumer group's count.
    fn next_offsets(&self, records: &[SinkRecord]) -> Result<Vec<OffsetRow>> {
        let mut next: HashMap<&TopicPartition, OffsetRow> = HashMap::new();
        if self.config.offsets_storage != OffsetsStorage::Target {
            return Ok(Vec::new());
        }
        for record in records {
            let known = self
                .stored
                .get(&*record.origin)
                .ok_or_else(|| fenced(&record.origin.topic, record.origin.partition))?;
            if known.next.is_none_or(|next| record.offset >= next) {
                let row = next.entry(&record.origin).or_insert_with(|| known.clone());
                row.next = Some(record.offset + 1);
            }
        }
        Ok(next.into_values().collect())
    }

    /// Whether a record is in the target already: its transaction was committed, and the answer was lost.
    fn is_there(&self, record: &SinkRecord) -> bool {
        !self.stored.is_empty()
            && self
                .stored
                .get(&*record.origin)
                .and_then(|row| row.next)
                .is_some_and(|next| record.offset < next)
    }

    fn rows<'b>(&mut self, records: &'b [SinkRecord]) -> Result<Vec<(TableName, Rows<'b>)>> {
        let mut tables: Vec<(TableName, Rows<'b>)> = Vec::new();
        let mut last: Option<(&str, usize)> = None;
        for (at, record) in records.iter().enumerate() {
            if self.is_there(record) {
                continue;
            }
            if record.record.value.is_null() && !self.config.delete_enabled {
                self.ignored.add(record);
                continue;
            }
            let topic = record.record.topic.as_ref().unwrap_or(&record.origin.topic);
            let table = match last {
                Some((known, table)) if known == &**topic => table,
                _ => {
                    let Some(database) = &self.database else {
                        return Err(Error::internal("no connection"));
                    };
                    let name = self.destinations.table(database, &self.config, topic)?;
                    let known = tables.iter().position(|(known, _)| *known == name);
                    known.unwrap_or_else(|| {
                        tables.push((name, Rows::default()));
                        tables.len() - 1
                    })
                }
            };
            last = Some((topic, table));
            tables[table].1.add(&self.config, at, record).map_err(|e| {
                e.context("topic", topic)
                    .context("partition", record.origin.partition)
                    .context("offset", record.offset)
            })?;
        }
        Ok(tables)
    }

    /// The tables of the records, created or altered as far as the configuration allows: definitions come before the
    /// transaction, which they would end.
    async fn prepare<'b>(&mut self, records: &'b [SinkRecord]) -> Result<Vec<Prepared<'b>>> {
        let tables = self.rows(records)?;
        let Self { config, format, values, database, definitions, .. } = self;
        let Some(database) = database else { return Err(Error::internal("no connection")) };
        let mut maker = Maker { database, config, format, values: *values };
        let mut prepared = Vec::with_capacity(tables.len());
        for (name, rows) in tables {
            let table = definitions.fitting(&mut maker, &name, &rows).await?;
            prepared.push(Prepared { name, rows, table });
        }
        Ok(prepared)
    }

    /// Widens the columns that are too narrow for these records; false if there is none.
    async fn widen(&mut self, records: &[SinkRecord]) -> Result<bool> {
        self.connected().await?;
        let tables = self.rows(records)?;
        let Self { config, format, values, database, definitions, .. } = self;
        let Some(database) = database else { return Err(Error::internal("no connection")) };
        let mut maker = Maker { database, config, format, values: *values };
        let mut altered = false;
        for (name, rows) in tables {
            altered |= definitions.widen(&mut maker, &name, &rows).await?;
        }
        Ok(altered)
    }
}
