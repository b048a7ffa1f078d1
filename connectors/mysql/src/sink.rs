//! What is written, and how.
//!
//! A batch becomes statements of many rows, written as text into one buffer. A single one needs no transaction around
//! it: it is sent when it is known to be the last.

use std::borrow::Cow;

use async_trait::async_trait;
use connect_core::{
    data::{Schema, Type, logical},
    error::{Error, ErrorKind, Result},
    sink::SinkRecord,
};
use connectors_jdbc::{
    datetime::Years,
    names::{Quote, TableName},
    sink::{
        SinkConfig,
        cell::{Cells, Format},
        database::{AtOnce, Bound, Inferred, OffsetRow, Operation, SinkDatabase, Write},
        named::{bits_length, debezium},
        table::{Column, Table},
    },
    source::keys::CalendarSystem,
    zone::Zone,
};
use mysql_async::prelude::Queryable;

use crate::{
    connection::{self, Connection},
    errors::{error, written},
    literal::Literals,
    target::{describe, is_spatial},
};

/// A connection to MySQL or MariaDB that is written.
pub struct MySqlWriter {
    connection: Connection,
    /// The statement that was not sent yet.
    sql: Vec<u8>,
    /// Whether that statement adds rows, and whether it checks that it meets none but those of its keys.
    nature: Nature,
    /// Whether a transaction has begun.
    began: bool,
}

/// What the errors of a statement can be about.
#[derive(Debug, Clone, Copy, Default)]
struct Nature {
    adds: bool,
    guarded: bool,
}

impl Nature {
    fn of(write: &Write<'_>) -> Self {
        Self {
            adds: write.operation == Operation::Insert,
            guarded: write.operation == Operation::Upsert && write.may_meet_other_rows(),
        }
    }

    fn error(self, doing: &'static str, e: mysql_async::Error) -> Error {
        /// What [`MET`] raises.
        const SUBQUERY: u16 = 1242;
        match &e {
            mysql_async::Error::Server(server) if self.guarded && server.code == SUBQUERY => {
                Error::new(
                    ErrorKind::Conflict,
                    "another row has a value of this record in a unique index that is not the one of pk.fields",
                )
                .context("doing", doing)
                .with_source(e)
            }
            _ => written(doing, self.adds, e),
        }
    }
}

/// An error, where an upsert has met another row than that of its key.
const MET: &str = "(SELECT 1 UNION ALL SELECT 2)";

/// The zone of the session, in which values of the type TIMESTAMP are read: the one that the settings force, else UTC.
fn session_zone(config: &SinkConfig) -> Result<Zone> {
    let Some(forced) = connection::forced_zone(&config.connection)? else { return Ok(Zone::UTC) };
    let unknown = || Error::config(format!("Invalid time zone of the session: {forced}"));
    Zone::of(&forced).ok_or_else(unknown)
}

impl MySqlWriter {
    /// Runs what is in the buffer; more will follow.
    async fn flush(&mut self) -> Result<()> {
        if self.sql.is_empty() {
            return Ok(());
        }
        self.start().await?;
        let written = self.connection.conn.query_drop(&self.sql[..]).await;
        self.sql.clear();
        written.map_err(|e| self.nature.error("writing rows", e))
    }

    async fn start(&mut self) -> Result<()> {
        if !self.began {
            let started = self.connection.conn.query_drop("START TRANSACTION").await;
            started.map_err(|e| error("starting a transaction", e))?;
            self.began = true;
        }
        Ok(())
    }

    /// Statements `head row,row,... tail`, each below the size that the server takes.
    async fn rows(
        &mut self,
        write: &Write<'_>,
        Around { head, columns, tail }: &Around<'_>,
    ) -> Result<()> {
        let (mut count, nature) = (0, Nature::of(write));
        for record in write.records {
            if count == 0 {
                self.flush().await?;
                self.nature = nature;
                self.sql.extend_from_slice(head.as_bytes());
            } else {
                self.sql.push(b',');
            }
            let before = self.sql.len();
            tuple(write, record, columns, &mut self.sql)?;
            if self.sql.len() + tail.len() > self.connection.max_statement && count > 0 {
                let last = self.sql.split_off(before);
                self.sql.pop();
                self.sql.extend_from_slice(tail.as_bytes());
                self.flush().await?;
                self.sql.extend_from_slice(head.as_bytes());
                self.sql.extend_from_slice(&last);
                count = 0;
            }
            count += 1;
            self.fits(record, write)?;
        }
        if count > 0 {
            self.sql.extend_from_slice(tail.as_bytes());
        }
        Ok(())
    }

    /// Refuses a row that the server would end the connection for.
    fn fits(&self, record: &SinkRecord, write: &Write<'_>) -> Result<()> {
        let (size, most) = (self.sql.len(), self.connection.max_packet);
        if size <= most {
            return Ok(());
        }
        Err(Error::data(format!(
            "a row of {size} bytes is more than the server's max_allowed_packet of {most}"
        ))
        .context("table", write.table.qualified())
        .context("offset", record.offset))
    }

    /// `UPDATE`, a statement for each row.
    async fn updates(&mut self, write: &Write<'_>) -> Result<()> {
        let (keys, others): (Vec<Bound<'_>>, Vec<Bound<'_>>) =
            (write.keys().copied().collect(), write.others().copied().collect());
        if others.is_empty() {
            return Ok(());
        }
        let table = write.table.quoted(write.config.quoting(Quote::Backtick));
        for record in write.records {
            self.flush().await?;
            self.nature = Nature::default();
            self.sql.extend_from_slice(format!("UPDATE {table} SET ").as_bytes());
            assignments(write, record, &others, b",", &mut self.sql)?;
            self.sql.extend_from_slice(b" WHERE ");
            assignments(write, record, &keys, b" AND ", &mut self.sql)?;
            self.fits(record, write)?;
        }
        Ok(())
    }
}

/// The type for values of one of Debezium's types.
fn named_type(schema: &Schema) -> Option<String> {
    let ty = match debezium(schema)? {
        "time.Date" | "time.IsoDate" => "DATE",
        "time.Time" => "TIME(3)",
        "time.MicroTime" | "time.NanoTime" | "time.IsoTime" | "time.ZonedTime" => "TIME(6)",
        "time.Timestamp" => "DATETIME(3)",
        "time.MicroTimestamp"
        | "time.NanoTimestamp"
        | "time.IsoTimestamp"
        | "time.ZonedTimestamp" => "DATETIME(6)",
        "time.Year" => "YEAR",
        "data.VariableScaleDecimal" => "DECIMAL(65,20)",
        "data.Bits" => match bits_length(schema).filter(|length| *length <= 64) {
            Some(length) => return Some(format!("BIT({length})")),
            None => "LONGBLOB",
        },
        "data.Json" => "JSON",
        "data.Uuid" => "VARCHAR(36)",
        "data.Xml" => "LONGTEXT",
        "data.geometry.Point" => "POINT",
        "data.geometry.Geometry" | "data.geometry.Geography" => "GEOMETRY",
        _ => return None,
    };
    Some(ty.to_owned())
}

fn name(write: &Write<'_>, (_, column): &Bound<'_>) -> String {
    write.config.quoting(Quote::Backtick).identifier(&column.name)
}

fn names(write: &Write<'_>, columns: &[Bound<'_>]) -> String {
    columns.iter().map(|bound| name(write, bound)).collect::<Vec<_>>().join(",")
}

fn on_duplicate(write: &Write<'_>) -> String {
    let mut set: Vec<&Bound<'_>> = write.others().collect();
    if set.is_empty() {
        // With nothing but keys the row is left as it is.
        set = write.inserted().collect();
    }
    let set = set.into_iter().map(|bound| name(write, bound));
    let mut set: Vec<String> = set.map(|name| format!("{name}=VALUES({name})")).collect();
    // The server updates the row of whichever unique index it finds the conflict in. Of another than that of the key it
    // would change a row that has nothing to do with the record.
    if let Some(first) = write.keys().next().filter(|_| write.may_meet_other_rows()) {
        let first = name(write, first);
        let same = write.keys().map(|bound| name(write, bound));
        let same: Vec<String> = same.map(|name| format!("{name}<=>VALUES({name})")).collect();
        set.insert(0, format!("{first}=IF(IF({},1,{MET})=1,{first},{first})", same.join(" AND ")));
    }
    format!(" ON DUPLICATE KEY UPDATE {}", set.join(","))
}

/// What a statement has around its rows, and which columns these have.
pub(crate) struct Around<'w> {
    pub(crate) head: String,
    pub(crate) columns: Cow<'w, [Bound<'w>]>,
    pub(crate) tail: String,
}

impl<'w> Around<'w> {
    pub(crate) fn of(write: &'w Write<'_>) -> Self {
        let table = write.table.quoted(write.config.quoting(Quote::Backtick));
        if write.operation == Operation::Delete {
            let columns: Vec<Bound<'_>> = write.keys().copied().collect();
            let head = format!("DELETE FROM {table} WHERE ({}) IN (", names(write, &columns));
            return Self { head, columns: Cow::Owned(columns), tail: ")".to_owned() };
        }
        let all = write.inserted().count() == write.columns.len();
        let columns = match all {
            true => Cow::Borrowed(write.columns),
            false => Cow::Owned(write.inserted().copied().collect()),
        };
        let head = format!("INSERT INTO {table} ({}) VALUES ", names(write, &columns));
        let tail = match write.operation {
            Operation::Upsert => on_duplicate(write),
            _ => String::new(),
        };
        Self { head, columns, tail }
    }
}

pub(crate) fn tuple(
    write: &Write<'_>,
    record: &SinkRecord,
    columns: &[Bound<'_>],
    sql: &mut Vec<u8>,
) -> Result<()> {
    sql.push(b'(');
    for (i, bound) in columns.iter().enumerate() {
        if i > 0 {
            sql.push(b',');
        }
        write.cell(record, *bound, &mut Literals(sql))?;
    }
    sql.push(b')');
    Ok(())
}

fn assignments(
    write: &Write<'_>,
    record: &SinkRecord,
    columns: &[Bound<'_>],
    separator: &[u8],
    sql: &mut Vec<u8>,
) -> Result<()> {
    for (i, bound) in columns.iter().enumerate() {
        if i > 0 {
            sql.extend_from_slice(separator);
        }
        sql.extend_from_slice(name(write, bound).as_bytes());
        sql.push(b'=');
        write.cell(record, *bound, &mut Literals(sql))?;
    }
    Ok(())
}

#[async_trait]
impl SinkDatabase for MySqlWriter {
    const NAME: &'static str = "MySqlSink";
    const PROTOCOLS: &'static [&'static str] = &["mysql", "mariadb"];
    const QUOTE: Quote = Quote::Backtick;
    const PARAMETERS: &'static [&'static str] = connection::PARAMETERS;
    const TABLE_OPTIONS: &'static str = " DEFAULT CHARACTER SET utf8mb4";
    const BINARY_OPTIONS: &'static str = " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    const EXACT_KEY: bool = false;

    async fn connect(config: &SinkConfig) -> Result<Self> {
        let utc = session_zone(config)?.is_utc();
        let connection = connection::connect(&config.connection, utc).await?;
        Ok(Self { connection, sql: Vec::new(), nature: Nature::default(), began: false })
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn format(config: &SinkConfig) -> Result<Format> {
        let zone = Zone::of(&config.timezone).ok_or_else(|| Error::config("Invalid time zone"))?;
        Ok(Format {
            zone,
            dates: config.date_timezone,
            legacy: config.calendar == CalendarSystem::Legacy,
            unit: config.timestamp_precision,
            years: Years::Four,
            instants: session_zone(config)?,
            utc: "",
            infinity: false,
            long_times: true,
            untyped: false,
            nul: true,
            bits_are_numbers: true,
        })
    }

    fn table(&self, mut parts: Vec<String>, _: &SinkConfig) -> Result<TableName> {
        let name = parts.pop().unwrap_or_default();
        // Of three parts the first two mean the same: a database is a catalog, and has no schemas.
        let schema = parts.pop().unwrap_or_else(|| self.connection.database.clone());
        Ok(TableName { schema, name })
    }

    fn same_table(&self, a: &TableName, b: &TableName) -> bool {
        let lower = |name: &TableName| (name.schema.to_lowercase(), name.name.to_lowercase());
        a == b || (self.connection.folds_names && lower(a) == lower(b))
    }

    async fn describe(&mut self, name: &TableName) -> Result<Option<(String, Table)>> {
        describe(&mut self.connection, name).await
    }

    async fn define(&mut self, sql: &str) -> Result<()> {
        let defined = self.connection.conn.query_drop(sql).await;
        defined.map_err(|e| error("changing a definition", e))
    }

    /// The server takes the rows of an INSERT one after the other, with everything that they bring about; those of a DELETE
    /// in the order of an index.
    fn at_once(operation: Operation, table: &Table) -> AtOnce {
        match operation {
            Operation::Delete if table.ties.acts => AtOnce::One,
            _ => AtOnce::Any,
        }
    }

    async fn begin(&mut self) -> Result<()> {
        self.sql.clear();
        self.began = false;
        Ok(())
    }

    async fn write(&mut self, write: &Write<'_>) -> Result<()> {
        match write.operation {
            Operation::Update => self.updates(write).await,
            _ => self.rows(write, &Around::of(write)).await,
        }
    }

    async fn commit(&mut self) -> Result<()> {
        if self.began {
            self.flush().await?;
            self.began = false;
            return self
                .connection
                .conn
                .query_drop("COMMIT")
                .await
                .map_err(|e| written("committing", false, e));
        }
        if self.sql.is_empty() {
            return Ok(());
        }
        // One statement: it commits by itself, in one round trip.
        let written = self.connection.conn.query_drop(&self.sql[..]).await;
        self.sql.clear();
        written.map_err(|e| self.nature.error("writing rows", e))
    }

    async fn rollback(&mut self) -> Result<()> {
        self.sql.clear();
        self.began = false;
        self.connection.conn.query_drop("ROLLBACK").await.map_err(|e| error("rolling back", e))
    }

    /// The server names the column, but for data that is no geometry.
    async fn culprit(&mut self, write: &Write<'_>) -> Option<String> {
        let record = write.records.first()?;
        for bound in write.columns.iter().filter(|(_, column)| is_spatial(&column.declared)) {
            let mut literal = Vec::new();
            write.cell(record, *bound, &mut Literals(&mut literal)).ok()?;
            let probe = [b"SELECT ST_GeometryType(", &literal[..], b") IS NULL"].concat();
            if self.connection.conn.query_first(probe).await.ok()? == Some(true) {
                return Some(bound.1.name.clone());
            }
        }
        None
    }

    async fn claim(
        &mut self,
        table: &TableName,
        connector: &str,
        partitions: &[(String, i32)],
    ) -> Result<Vec<OffsetRow>> {
        self.start().await?;
        let table = table.quoted(Quote::Backtick.always());
        let raise = format!(
            "INSERT INTO {table} (connector, topic, kafka_partition, next_offset, epoch) \
             VALUES (?, ?, ?, NULL, 1) ON DUPLICATE KEY UPDATE epoch = epoch + 1"
        );
        let read = format!(
            "SELECT next_offset, epoch FROM {table} \
             WHERE connector = ? AND topic = ? AND kafka_partition = ? FOR UPDATE"
        );
        let failed = |e| error("claiming offsets", e);
        let mut rows = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let key = (connector, topic, partition);
            self.connection.conn.exec_drop(&raise, key).await.map_err(failed)?;
            let row: Option<(Option<i64>, i64)> =
                self.connection.conn.exec_first(&read, key).await.map_err(failed)?;
            let missing = || Error::connection("a row of the table of offsets is gone");
            let (next, epoch) = row.ok_or_else(missing)?;
            rows.push(OffsetRow { topic: topic.clone(), partition: *partition, next, epoch });
        }
        Ok(rows)
    }

    async fn offsets(&mut self, table: &TableName, connector: &str) -> Result<Vec<OffsetRow>> {
        let table = table.quoted(Quote::Backtick.always());
        let sql = format!(
            "SELECT topic, kafka_partition, next_offset, epoch FROM {table} WHERE connector = ?"
        );
        let rows: mysql_async::Result<Vec<(String, i32, Option<i64>, i64)>> =
            self.connection.conn.exec(&sql, (connector,)).await;
        let row = |(topic, partition, next, epoch)| OffsetRow { topic, partition, next, epoch };
        Ok(rows.map_err(|e| error("reading offsets", e))?.into_iter().map(row).collect())
    }

    async fn store(&mut self, table: &TableName, connector: &str, row: &OffsetRow) -> Result<bool> {
        self.flush().await?;
        self.start().await?;
        let table = table.quoted(Quote::Backtick.always());
        // What is set to the value that it has does not count as changed: the epoch tells.
        let lock = format!(
            "SELECT epoch FROM {table} WHERE connector = ? AND topic = ? AND kafka_partition = ? FOR UPDATE"
        );
        let set = format!(
            "UPDATE {table} SET next_offset = ? WHERE connector = ? AND topic = ? AND kafka_partition = ?"
        );
        let failed = |e| error("storing offsets", e);
        let key = (connector, &row.topic, row.partition);
        let epoch: Option<i64> =
            self.connection.conn.exec_first(&lock, key).await.map_err(failed)?;
        if epoch != Some(row.epoch) {
            return Ok(false);
        }
        let values = (row.next, connector, &row.topic, row.partition);
        self.connection.conn.exec_drop(&set, values).await.map_err(failed)?;
        Ok(true)
    }

    fn column_type(schema: &Schema, aiven: bool) -> String {
        if let Some(named) = named_type(schema) {
            return named;
        }
        let ty = match (schema.logical_name(), &schema.ty) {
            (Some(logical::DECIMAL), _) => {
                return format!("DECIMAL(65,{})", schema.scale().clamp(0, 30));
            }
            (Some(logical::DATE), _) => "DATE",
            (Some(logical::TIME), _) => "TIME(3)",
            (Some(logical::TIMESTAMP), _) => "DATETIME(3)",
            (_, Type::Int8 | Type::Boolean) => "TINYINT",
            (_, Type::Int16) => "SMALLINT",
            (_, Type::Int32) => "INT",
            (_, Type::Int64) => "BIGINT",
            (_, Type::Float32) => "FLOAT",
            (_, Type::Float64) => "DOUBLE",
            (_, Type::String) if aiven => "VARCHAR(256)",
            (_, Type::String) => "TEXT",
            (_, Type::Bytes) => "VARBINARY(1024)",
            (_, Type::Array(_) | Type::Map(..) | Type::Struct(_)) => "JSON",
        };
        ty.to_owned()
    }

    /// All columns of an index have 3072 bytes, at most four a character; and blanks at the end count.
    fn key_type(&self, ty: &str, columns: usize) -> Option<String> {
        const INDEX: usize = 3072;
        let share = INDEX / columns.max(1);
        match ty {
            "TEXT" | "LONGTEXT" | "VARCHAR(256)" => {
                let collation = self.connection.exact_collation;
                let length = (share / 4).min(255);
                Some(format!("VARCHAR({length}) CHARACTER SET utf8mb4 COLLATE {collation}"))
            }
            "VARBINARY(1024)" | "LONGBLOB" => Some(format!("VARBINARY({})", share.min(1024))),
            _ => None,
        }
    }

    /// Long texts, bytes and documents take an expression, and no literal.
    fn default(ty: &str, literal: String) -> String {
        match ty {
            "TEXT" | "LONGTEXT" | "LONGBLOB" | "JSON" => format!("({literal})"),
            _ => literal,
        }
    }

    fn inferred(inferred: Inferred) -> &'static str {
        match inferred {
            Inferred::Boolean => "TINYINT",
            Inferred::Integer => "BIGINT",
            Inferred::Double => "DOUBLE",
            Inferred::Decimal => "DECIMAL(65,20)",
            Inferred::Text => "TEXT",
            Inferred::LongText => "LONGTEXT",
            Inferred::Bytes => "LONGBLOB",
            Inferred::Json => "JSON",
            Inferred::Date => "DATE",
            Inferred::Time => "TIME(3)",
            Inferred::Timestamp => "DATETIME(6)",
        }
    }

    /// What the definition does not name would be lost.
    fn widened(name: &str, ty: &str, column: &Column) -> String {
        let null = if column.nullable { "NULL" } else { "NOT NULL" };
        format!("MODIFY COLUMN {name} {ty} {null}{}", column.attributes)
    }

    fn literals(out: &mut Vec<u8>) -> impl Cells {
        Literals(out)
    }
}
