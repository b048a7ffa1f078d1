//! The connector and its tasks.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use connect_core::{
    config::{Invalid, Properties},
    error::{Error, ErrorKind, Result},
    sink::{Delivered, Retry, SinkBatch, SinkConnector, SinkRecord, SinkTask},
};
use connectors_jdbc::{
    SINK_CLASSES,
    names::Quote,
    sink::{InsertMode, SinkConfig},
};
use mysql_async::prelude::Queryable;

use crate::{
    connection::{self, Connection},
    ddl, literal,
    plan::{Mapped, Plan, value},
    table::{Column, Table, TableName, describe},
};

/// `JdbcSinkConnector` on MySQL and MariaDB.
pub struct MySqlSink {
    config: SinkConfig,
}

#[async_trait]
impl SinkConnector for MySqlSink {
    const NAME: &'static str = "MySqlSink";
    const ALIASES: &'static [&'static str] = SINK_CLASSES;
    type Config = SinkConfig;
    type Task = MySqlSinkTask;

    fn claims(properties: &Properties) -> bool {
        connectors_jdbc::claims(properties, &["mysql", "mariadb"])
    }

    async fn validate(config: &SinkConfig) -> Vec<Invalid> {
        let mut invalid = config.contradictions();
        if !config.timezone.eq_ignore_ascii_case("UTC") {
            let why = "only UTC is supported by this version";
            invalid.push(Invalid::value("db.timezone", &config.timezone, why));
        }
        invalid
    }

    async fn connect(config: SinkConfig) -> Result<Self> {
        Ok(Self { config })
    }

    async fn task(&self) -> Result<MySqlSinkTask> {
        Ok(MySqlSinkTask {
            config: self.config.clone(),
            connection: None,
            tables: HashMap::new(),
            sql: Vec::new(),
        })
    }
}

/// Writes batches, each in one transaction.
pub struct MySqlSinkTask {
    config: SinkConfig,
    connection: Option<Connection>,
    /// Definitions of the tables; forgotten after an error.
    tables: HashMap<TableName, Arc<Table>>,
    sql: Vec<u8>,
}

/// Neighbouring records of one table and one shape.
struct Group<'b> {
    table: TableName,
    plan: Plan,
    records: &'b [SinkRecord],
}

#[async_trait]
impl SinkTask for MySqlSinkTask {
    async fn put(&mut self, batch: &SinkBatch) -> Result<Delivered> {
        let result = self.write(&batch.records).await;
        if let Err(error) = &result {
            // Whatever the transaction had done is undone with the connection; what was known of the tables may be why
            // it failed.
            self.tables.clear();
            let mut usable = error.kind() == ErrorKind::Data;
            if let Some(connection) = self.connection.as_mut().filter(|_| usable) {
                usable = connection.conn.query_drop("ROLLBACK").await.is_ok();
            }
            if !usable {
                self.connection = None;
            }
        }
        result.map(|()| Delivered::All)
    }

    fn retry(&self) -> Retry {
        let backoff = self.config.retry_backoff.get();
        Retry { attempts: Some(self.config.max_retries), backoff }
    }
}

impl MySqlSinkTask {
    async fn write(&mut self, records: &[SinkRecord]) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        if self.connection.is_none() {
            self.connection = Some(connection::connect(&self.config).await?);
        }
        let groups = self.groups(records)?;
        // DDL ends a transaction: it comes first.
        let mut tables = Vec::with_capacity(groups.len());
        for group in &groups {
            tables.push(self.prepare(group).await?);
        }
        let mut statements = Statements::new(self)?;
        for (group, table) in groups.iter().zip(&tables) {
            statements.group(group, table).await?;
        }
        statements.finish().await
    }

    fn groups<'b>(&self, records: &'b [SinkRecord]) -> Result<Vec<Group<'b>>> {
        let database = self.connection.as_ref().map(|c| c.database.as_str()).unwrap_or_default();
        let mut groups: Vec<Group<'b>> = Vec::new();
        let mut start = 0;
        let mut topic = None;
        for (at, sink_record) in records.iter().enumerate() {
            let record = &sink_record.record;
            let name = record.topic.as_ref().unwrap_or(&sink_record.origin.topic);
            let same = groups
                .last()
                .is_some_and(|group| topic == Some(name) && group.plan.fits(&self.config, record));
            if !same {
                let text = self.config.table_name_format.replace("${topic}", name);
                let plan = Plan::new(&self.config, record)
                    .map_err(|e| e.context("topic", name).context("offset", sink_record.offset))?;
                groups.push(Group { table: TableName::parse(&text, database), plan, records: &[] });
                (start, topic) = (at, Some(name));
            }
            if let Some(group) = groups.last_mut() {
                group.records = &records[start..=at];
            }
        }
        Ok(groups)
    }

    /// The table of a group, created or altered as far as the configuration allows.
    async fn prepare(&mut self, group: &Group<'_>) -> Result<Arc<Table>> {
        let known = match self.tables.get(&group.table) {
            Some(known) => Some(Arc::clone(known)),
            None => self.describe(&group.table).await?,
        };
        let table = match known {
            Some(table) => table,
            None => self.create(group).await?,
        };
        if ddl::missing(&table, &group.plan).is_empty() {
            return Ok(table);
        }
        // Someone else may have added it meanwhile.
        let table = self.describe(&group.table).await?.unwrap_or(table);
        let missing = ddl::missing(&table, &group.plan);
        if missing.is_empty() {
            return Ok(table);
        }
        if !self.config.auto_evolve {
            let names: Vec<&str> = missing.iter().map(|mapped| &*mapped.name).collect();
            return Err(Error::data(format!(
                "Table {} is missing fields ({}) and auto-evolution is disabled",
                group.table.describe(),
                names.join(", ")
            )));
        }
        if let Some(sql) = ddl::alter(&group.table, &table, &group.plan, group.records)? {
            self.run(&sql, "altering a table").await?;
        }
        Ok(self.describe(&group.table).await?.unwrap_or(table))
    }

    async fn create(&mut self, group: &Group<'_>) -> Result<Arc<Table>> {
        if !self.config.auto_create {
            return Err(Error::refused(format!(
                "Table {} is missing and auto-creation is disabled",
                group.table.describe()
            )));
        }
        let sql = ddl::create(&group.table, &group.plan, self.config.pk_mode, group.records)?;
        let created = self.run(&sql, "creating a table").await;
        // Another task may have been faster.
        match (self.describe(&group.table).await?, created) {
            (Some(table), _) => Ok(table),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::connection("the table is gone as soon as it was created")),
        }
    }

    async fn run(&mut self, sql: &str, doing: &'static str) -> Result<()> {
        let ran = self.connection()?.conn.query_drop(sql).await;
        ran.map_err(|e| connection::error(doing, e))
    }

    async fn describe(&mut self, name: &TableName) -> Result<Option<Arc<Table>>> {
        let found = describe(&mut self.connection()?.conn, name).await?.map(Arc::new);
        match &found {
            Some(table) => drop(self.tables.insert(name.clone(), Arc::clone(table))),
            None => drop(self.tables.remove(name)),
        }
        Ok(found)
    }

    fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.as_mut().ok_or_else(|| Error::internal("no connection"))
    }
}

/// The statements of one transaction. A single one needs no transaction around it.
struct Statements<'t> {
    config: &'t SinkConfig,
    connection: &'t mut Connection,
    sql: &'t mut Vec<u8>,
    began: bool,
}

impl<'t> Statements<'t> {
    fn new(task: &'t mut MySqlSinkTask) -> Result<Self> {
        let connection =
            task.connection.as_mut().ok_or_else(|| Error::internal("no connection"))?;
        task.sql.clear();
        Ok(Self { config: &task.config, connection, sql: &mut task.sql, began: false })
    }

    /// Runs what is in the buffer; more will follow.
    async fn flush(&mut self) -> Result<()> {
        if self.sql.is_empty() {
            return Ok(());
        }
        let failed = |e| connection::error("writing rows", e);
        if !self.began {
            self.connection.conn.query_drop("START TRANSACTION").await.map_err(failed)?;
            self.began = true;
        }
        self.connection.conn.query_drop(&self.sql[..]).await.map_err(failed)?;
        self.sql.clear();
        Ok(())
    }

    /// Runs what is left and makes all of it durable.
    async fn finish(mut self) -> Result<()> {
        let failed = |e| connection::error("writing rows", e);
        if self.began {
            self.flush().await?;
            return self.connection.conn.query_drop("COMMIT").await.map_err(failed);
        }
        if self.sql.is_empty() {
            return Ok(());
        }
        // One statement: it commits by itself, in one round trip.
        self.connection.conn.query_drop(&self.sql[..]).await.map_err(failed)
    }

    async fn group(&mut self, group: &Group<'_>, table: &Table) -> Result<()> {
        let columns: Vec<(&Mapped, &Column)> = group
            .plan
            .mapped
            .iter()
            .filter_map(|mapped| Some((mapped, table.column(&mapped.name)?)))
            .collect();
        let result = match (group.plan.delete, self.config.insert_mode) {
            (true, _) => self.deletes(group, &columns).await,
            (false, InsertMode::Update) => self.updates(group, &columns).await,
            (false, mode) => self.inserts(group, &columns, mode == InsertMode::Upsert).await,
        };
        result.map_err(|e| e.context("table", group.table.describe()))
    }

    /// `INSERT` of as many rows as a statement may have.
    async fn inserts(
        &mut self,
        group: &Group<'_>,
        columns: &[(&Mapped, &Column)],
        upsert: bool,
    ) -> Result<()> {
        let names: Vec<String> = columns.iter().map(|(_, column)| quote(column)).collect();
        let head = format!("INSERT INTO {} ({}) VALUES ", group.table.quoted(), names.join(","));
        let tail = if upsert { on_duplicate(columns) } else { String::new() };
        self.rows(group.records, &head, &tail, |record, sql| tuple(record, columns, sql)).await
    }

    /// `DELETE` of as many keys as a statement may have.
    async fn deletes(&mut self, group: &Group<'_>, columns: &[(&Mapped, &Column)]) -> Result<()> {
        let keys: Vec<(&Mapped, &Column)> =
            columns.iter().filter(|(mapped, _)| mapped.key).copied().collect();
        let names: Vec<String> = keys.iter().map(|(_, column)| quote(column)).collect();
        let head = format!("DELETE FROM {} WHERE ({}) IN (", group.table.quoted(), names.join(","));
        self.rows(group.records, &head, ")", |record, sql| tuple(record, &keys, sql)).await
    }

    /// Statements `head row,row,... tail`, each below the size that the server takes.
    async fn rows(
        &mut self,
        records: &[SinkRecord],
        head: &str,
        tail: &str,
        mut row: impl FnMut(&SinkRecord, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let most = self.config.batch_size.max(1) as usize;
        let mut count = 0;
        for record in records {
            if count == 0 {
                self.flush().await?;
                self.sql.extend_from_slice(head.as_bytes());
            } else {
                self.sql.push(b',');
            }
            let before = self.sql.len();
            row(record, self.sql)?;
            let size = self.sql.len() + tail.len();
            if size > self.connection.max_statement && count > 0 {
                let last = self.sql.split_off(before);
                self.sql.pop();
                self.sql.extend_from_slice(tail.as_bytes());
                self.flush().await?;
                self.sql.extend_from_slice(head.as_bytes());
                self.sql.extend_from_slice(&last);
                count = 0;
            }
            count += 1;
            if count >= most {
                self.sql.extend_from_slice(tail.as_bytes());
                count = 0;
            }
        }
        if count > 0 {
            self.sql.extend_from_slice(tail.as_bytes());
        }
        Ok(())
    }

    /// `UPDATE`, a statement for each row.
    async fn updates(&mut self, group: &Group<'_>, columns: &[(&Mapped, &Column)]) -> Result<()> {
        if columns.iter().all(|(mapped, _)| mapped.key) {
            return Ok(());
        }
        for record in group.records {
            self.flush().await?;
            self.sql.extend_from_slice(format!("UPDATE {} SET ", group.table.quoted()).as_bytes());
            assignments(record, columns, false, b",", self.sql)?;
            self.sql.extend_from_slice(b" WHERE ");
            assignments(record, columns, true, b" AND ", self.sql)?;
        }
        Ok(())
    }
}

fn quote(column: &Column) -> String {
    Quote::Backtick.identifier(&column.name)
}

fn on_duplicate(columns: &[(&Mapped, &Column)]) -> String {
    let set = |columns: Vec<&Column>| {
        let set = columns.into_iter().map(quote).map(|name| format!("{name}=VALUES({name})"));
        format!(" ON DUPLICATE KEY UPDATE {}", set.collect::<Vec<_>>().join(","))
    };
    let others: Vec<&Column> = columns.iter().filter(|(m, _)| !m.key).map(|(_, c)| *c).collect();
    // With nothing but keys the row is left as it is.
    if others.is_empty() { set(columns.iter().map(|(_, c)| *c).collect()) } else { set(others) }
}

fn tuple(record: &SinkRecord, columns: &[(&Mapped, &Column)], sql: &mut Vec<u8>) -> Result<()> {
    sql.push(b'(');
    for (i, (mapped, column)) in columns.iter().enumerate() {
        if i > 0 {
            sql.push(b',');
        }
        field(record, mapped, column, sql)?;
    }
    sql.push(b')');
    Ok(())
}

fn assignments(
    record: &SinkRecord,
    columns: &[(&Mapped, &Column)],
    keys: bool,
    separator: &[u8],
    sql: &mut Vec<u8>,
) -> Result<()> {
    let chosen = columns.iter().filter(|(mapped, _)| mapped.key == keys);
    for (i, (mapped, column)) in chosen.enumerate() {
        if i > 0 {
            sql.extend_from_slice(separator);
        }
        sql.extend_from_slice(quote(column).as_bytes());
        sql.push(b'=');
        field(record, mapped, column, sql)?;
    }
    Ok(())
}

fn field(record: &SinkRecord, mapped: &Mapped, column: &Column, sql: &mut Vec<u8>) -> Result<()> {
    let value = value(record, mapped.part);
    literal::write(&value, mapped.schema.as_deref(), column, sql)
}
