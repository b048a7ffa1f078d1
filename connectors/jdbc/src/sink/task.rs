//! The task: batches, each in one transaction.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use connect_core::{
    data::Text,
    error::{Error, ErrorKind, Result},
    sink::{Delivered, Offsets, Retry, SinkBatch, SinkRecord, SinkTask, TopicPartition},
};

use super::{
    SinkConfig,
    batch::{Keys, Rows, Step},
    cell::{Format, cell},
    database::{Bound, OffsetRow, Operation, SinkDatabase, Write},
    ddl::{Definition, missing},
    keys::{InsertMode, OffsetsStorage},
    naming,
    plan::{Plan, Values},
    table::{Column, Table},
    widen::widen,
};
use crate::names::TableName;

/// Writes batches, each in one transaction.
pub struct JdbcSinkTask<D> {
    config: SinkConfig,
    format: Format,
    values: Values,
    database: Option<D>,
    /// Definitions of the tables; forgotten after an error.
    tables: HashMap<TableName, Arc<Table>>,
    /// The table of each topic.
    names: HashMap<Text, TableName>,
    /// The offsets that the target keeps, of the partitions of this task.
    stored: HashMap<TopicPartition, OffsetRow>,
}

/// The records of a table, and what is known of it.
struct Prepared<'b> {
    name: TableName,
    rows: Rows<'b>,
    table: Arc<Table>,
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
        let (tables, names, stored) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(Self { config, format, values, database: None, tables, names, stored })
    }

    /// Undoes what a transaction had done. What was known of the tables may be why it failed.
    async fn recover(&mut self, kind: ErrorKind) {
        self.tables.clear();
        let mut usable = kind == ErrorKind::Data;
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
                            return Err(fenced(&origin));
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
        if let Err(error) =
            transact(database, config, format, *values, &prepared, &next, most).await
        {
            return Err(match (prepared.as_slice(), records) {
                ([of], [record]) if error.kind() == ErrorKind::Data => {
                    let columns = bound(&of.rows.plans[0], &of.table);
                    let (columns, records) = (columns.as_slice(), &[record][..]);
                    let (operation, table, values) = (Operation::Insert, &of.name, *values);
                    let write =
                        Write { operation, table, columns, records, format, values, config };
                    blame(database, &write, error).await
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
            let known = self.stored.get(&*record.origin).ok_or_else(|| fenced(&record.origin))?;
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
        for record in records {
            // A tombstone that deletes nothing says nothing.
            let ignored = record.record.value.is_null() && !self.config.delete_enabled;
            if ignored || self.is_there(record) {
                continue;
            }
            let topic = record.record.topic.as_ref().unwrap_or(&record.origin.topic);
            let at = match last {
                Some((known, at)) if known == &**topic => at,
                _ => {
                    let name = self.name(topic)?;
                    let at = tables.iter().position(|(known, _)| *known == name);
                    at.unwrap_or_else(|| {
                        tables.push((name, Rows::default()));
                        tables.len() - 1
                    })
                }
            };
            last = Some((topic, at));
            tables[at].1.add(&self.config, record).map_err(|e| {
                e.context("topic", topic)
                    .context("partition", record.origin.partition)
                    .context("offset", record.offset)
            })?;
        }
        Ok(tables)
    }

    fn name(&mut self, topic: &Text) -> Result<TableName> {
        if let Some(known) = self.names.get(topic) {
            return Ok(known.clone());
        }
        let Some(database) = &self.database else { return Err(Error::internal("no connection")) };
        let name = database.table(naming::parts(&self.config, D::QUOTE, topic)?, &self.config)?;
        self.names.insert(topic.clone(), name.clone());
        Ok(name)
    }

    /// The tables of the records, created or altered as far as the configuration allows: definitions come before the
    /// transaction, which they would end.
    async fn prepare<'b>(&mut self, records: &'b [SinkRecord]) -> Result<Vec<Prepared<'b>>> {
        let mut prepared = Vec::new();
        for (name, rows) in self.rows(records)? {
            let mut table = match self.tables.get(&name) {
                Some(known) => Some(Arc::clone(known)),
                None => self.describe(&name).await?,
            };
            for plan in 0..rows.plans.len() {
                table = Some(self.fit(&name, table, &rows, plan).await?);
            }
            if let Some(table) = table {
                prepared.push(Prepared { name, rows, table });
            }
        }
        Ok(prepared)
    }

    /// The table with a column for each field of a plan.
    async fn fit(
        &mut self,
        name: &TableName,
        table: Option<Arc<Table>>,
        rows: &Rows<'_>,
        plan: usize,
    ) -> Result<Arc<Table>> {
        let (records, plan): (Vec<&SinkRecord>, &Plan) = match &table {
            Some(table) if missing(table, &rows.plans[plan]).is_empty() => {
                return Ok(Arc::clone(table));
            }
            _ => {
                let own = rows.records.iter().filter(|(of, _)| *of == plan);
                (own.map(|(_, record)| *record).collect(), &rows.plans[plan])
            }
        };
        let (config, format, values) = (self.config.clone(), self.format.clone(), self.values);
        let definition =
            Definition { config: &config, format: &format, values, name, plan, records: &records };
        if table.is_none() {
            return self.create(&definition).await;
        }
        // Someone else may have added it meanwhile.
        let Some(table) = self.describe(name).await? else { return self.create(&definition).await };
        let lacking = missing(&table, plan);
        if lacking.is_empty() {
            return Ok(table);
        }
        let names: Vec<&str> = lacking.iter().map(|mapped| &*mapped.name).collect();
        if !config.auto_evolve {
            return Err(Error::data(format!(
                "Table {} is missing fields ({}) and auto-evolution is disabled",
                name.qualified(),
                names.join(", ")
            )));
        }
        if table.view {
            return Err(Error::data(format!(
                "View {} is missing fields ({}) and ALTER VIEW is unsupported",
                name.qualified(),
                names.join(", ")
            )));
        }
        if let Some(sql) = definition.alter::<D>(&table)? {
            let altered = self.define(&sql).await;
            // Another task may have been faster.
            let table = self.describe(name).await?;
            let done = table.filter(|table| missing(table, plan).len() < lacking.len());
            return match (done, altered) {
                (Some(table), _) => Ok(table),
                (None, Err(error)) => Err(error.context("table", name.qualified())),
                (None, Ok(())) => {
                    Err(Error::connection("the table is gone as soon as it was altered"))
                }
            };
        }
        Ok(table)
    }

    async fn create(&mut self, definition: &Definition<'_>) -> Result<Arc<Table>> {
        let name = definition.name;
        if !self.config.auto_create {
            return Err(Error::data(format!(
                "Table {} is missing and auto-creation is disabled",
                name.qualified()
            )));
        }
        let sql = definition.create::<D>()?;
        tracing::info!(table = name.qualified(), sql, "creating a table");
        let created = self.define(&sql).await;
        // Another task may have been faster.
        match (self.describe(name).await?, created) {
            (Some(table), _) => Ok(table),
            (None, Err(error)) => Err(error.context("table", name.qualified())),
            (None, Ok(())) => Err(Error::connection("the table is gone as soon as it was created")),
        }
    }

    async fn define(&mut self, sql: &str) -> Result<()> {
        let Some(database) = &mut self.database else {
            return Err(Error::internal("no connection"));
        };
        database.define(sql).await
    }

    async fn describe(&mut self, name: &TableName) -> Result<Option<Arc<Table>>> {
        let Some(database) = &mut self.database else {
            return Err(Error::internal("no connection"));
        };
        let found = database.describe(name, &self.config).await?.map(Arc::new);
        match &found {
            Some(table) => drop(self.tables.insert(name.clone(), Arc::clone(table))),
            None => drop(self.tables.remove(name)),
        }
        Ok(found)
    }

    /// Widens the columns that are too narrow for these records; false if there is none.
    async fn widen(&mut self, records: &[SinkRecord]) -> Result<bool> {
        self.connected().await?;
        let mut altered = false;
        for (name, rows) in self.rows(records)? {
            let Some(table) = self.describe(&name).await? else { continue };
            for (at, plan) in rows.plans.iter().enumerate().filter(|_| !table.view) {
                let own = rows.records.iter().filter(|(of, _)| *of == at);
                let own: Vec<&SinkRecord> = own.map(|(_, record)| *record).collect();
                let definition = Definition {
                    config: &self.config,
                    format: &self.format,
                    values: self.values,
                    name: &name,
                    plan,
                    records: &own,
                };
                let Some(sql) = widen::<D>(&definition, &table) else { continue };
                tracing::info!(table = name.qualified(), sql, "widening columns");
                self.define(&sql).await.map_err(|e| e.context("table", name.qualified()))?;
                altered = true;
            }
        }
        self.tables.clear();
        Ok(altered)
    }
}

/// The columns that a plan writes.
fn bound<'p>(plan: &'p Plan, table: &'p Table) -> Vec<Bound<'p>> {
    plan.mapped.iter().filter_map(|m| Some((m, table.column(&m.name)?))).collect()
}

/// Writes rows and offsets in one transaction.
async fn transact<D: SinkDatabase>(
    database: &mut D,
    config: &SinkConfig,
    format: &Format,
    values: Values,
    prepared: &[Prepared<'_>],
    next: &[OffsetRow],
    most: usize,
) -> Result<()> {
    database.begin().await?;
    for Prepared { name, rows, table } in prepared {
        let bound: Vec<Vec<Bound<'_>>> = rows.plans.iter().map(|p| bound(p, table)).collect();
        let named = |e: Error| e.context("table", name.qualified());
        for Step { plan, records } in steps(config, format, values, rows, &bound).map_err(named)? {
            let operation = match (rows.plans[plan].delete, config.insert_mode) {
                (true, _) => Operation::Delete,
                (false, InsertMode::Insert | InsertMode::Multi) => Operation::Insert,
                (false, InsertMode::Upsert) => Operation::Upsert,
                (false, InsertMode::Update) => Operation::Update,
            };
            let (table, columns) = (name, bound[plan].as_slice());
            for records in records.chunks(most) {
                let write = Write { operation, table, columns, records, format, values, config };
                database.write(&write).await.map_err(named)?;
            }
        }
    }
    if !next.is_empty() {
        let name = offsets_table(database, config)?;
        for row in next {
            if !database.store(&name, &config.name, row).await? {
                let origin =
                    TopicPartition { topic: row.topic.as_str().into(), partition: row.partition };
                return Err(fenced(&origin));
            }
        }
    }
    // A statement may have waited until here: which table it is about is known if there is only one.
    database.commit().await.map_err(|error| match prepared {
        [of] => error.context("table", of.name.qualified()),
        _ => error,
    })
}

/// The steps for the rows of a table.
fn steps<'b>(
    config: &SinkConfig,
    format: &Format,
    values: Values,
    rows: &Rows<'b>,
    bound: &[Vec<Bound<'_>>],
) -> Result<Vec<Step<'b>>> {
    let adds = matches!(config.insert_mode, InsertMode::Insert | InsertMode::Multi);
    let keys = |columns: &Vec<Bound<'_>>| columns.iter().filter(|(mapped, _)| mapped.key).count();
    let exact = bound.iter().flatten().all(|(mapped, column)| !mapped.key || column.exact);
    // Plans whose keys have other columns cannot be compared.
    let comparable =
        bound.iter().all(|columns| keys(columns) > 0 && keys(columns) == keys(&bound[0]));
    if adds || !exact || !comparable {
        return Ok(rows.in_order());
    }
    let mut all = Keys::default();
    for (plan, record) in &rows.records {
        for (mapped, column) in bound[*plan].iter().filter(|(mapped, _)| mapped.key) {
            cell(&values.of(record, mapped), mapped, column, format, &mut all)?;
        }
        all.end();
    }
    Ok(rows.by_key(&all))
}

/// Says which column the error of a single record is about, if that can be found out.
async fn blame<D: SinkDatabase>(database: &mut D, write: &Write<'_>, error: Error) -> Error {
    // A refused statement ends a transaction: without a new one nothing can be asked. If that fails too, the error
    // stands for itself.
    if database.rollback().await.is_err() {
        return error;
    }
    let message = error.message();
    // Also the check of a column, which MariaDB calls `table.column`.
    let named = |name: &str| {
        [format!("'{name}'"), format!("\"{name}\""), format!("`{name}`"), format!(".{name}`")]
            .iter()
            .any(|quoted| message.contains(quoted))
    };
    // Of a length PostgreSQL says only the type.
    let typed = |column: &Column| message.contains(column.declared.trim_end_matches("[]"));
    let mut found = write.columns.iter().find(|(_, column)| named(&column.name));
    if found.is_none() {
        let culprit = database.culprit(write).await;
        found = write.columns.iter().find(|(_, column)| Some(&column.name) == culprit.as_ref());
    }
    if found.is_none() {
        let mut all = write.columns.iter().filter(|(_, column)| typed(column));
        found = all.next().filter(|_| all.next().is_none());
    }
    let (Some((mapped, column)), Some(record)) = (found, write.records.first()) else {
        return error;
    };
    error
        .context("column", &column.name)
        .context("type", &column.declared)
        .context("value", super::cell::shown(&write.values.of(record, mapped)))
}

fn fenced(origin: &TopicPartition) -> Error {
    Error::refused("another task has taken this partition over: nothing was written")
        .context("topic", &origin.topic)
        .context("partition", origin.partition)
}

fn offsets_table<D: SinkDatabase>(database: &D, config: &SinkConfig) -> Result<TableName> {
    database.table(config.quoting(D::QUOTE).split(&config.offsets_table), config)
}

async fn ensure_offsets_table<D: SinkDatabase>(
    database: &mut D,
    config: &SinkConfig,
) -> Result<TableName> {
    let name = offsets_table(database, config)?;
    if database.describe(&name, config).await?.is_none() {
        let created = database
            .define(&format!(
                "CREATE TABLE {} (connector VARCHAR(200) NOT NULL, topic VARCHAR(249) NOT NULL, \
                 kafka_partition INT NOT NULL, next_offset BIGINT, epoch BIGINT NOT NULL, \
                 PRIMARY KEY (connector, topic, kafka_partition)){}",
                name.quoted(config.quoting(D::QUOTE)),
                D::TABLE_OPTIONS
            ))
            .await;
        // Another task may have been faster.
        if let Err(error) = created
            && database.describe(&name, config).await?.is_none()
        {
            return Err(error);
        }
    }
    Ok(name)
}
