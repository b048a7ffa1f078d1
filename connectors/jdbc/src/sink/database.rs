//! What differs between the databases that are written.

use async_trait::async_trait;
use connect_core::{data::Schema, error::Result, sink::SinkRecord};

use super::{
    SinkConfig,
    cell::{Format, cell},
    plan::{Mapped, Values},
    table::{Column, Fill, Table},
};
use crate::names::{Quote, TableName};

/// What happens to the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Added.
    Insert,
    /// Added, or replaced where the key is there.
    Upsert,
    /// Replaced where the key is there.
    Update,
    /// Taken away by key.
    Delete,
}

/// The type that takes the values of a schemaless field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub enum Inferred {
    Boolean,
    Integer,
    Double,
    /// Any number, with as many digits after the point as the database can keep.
    Decimal,
    Text,
    /// Of any length, where that is another type.
    LongText,
    Bytes,
    Json,
    Date,
    Time,
    Timestamp,
}

/// How many rows a statement may have so that nobody can tell it from one statement a row, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtOnce {
    /// One.
    One,
    /// Any number of rows with different keys.
    DistinctKeys,
    /// Any number.
    Any,
}

/// A field with the column that it goes into.
pub type Bound<'a> = (&'a Mapped, &'a Column);

/// Rows that are written alike; those of upserts, updates and deletes have different keys, as far as that can be told.
pub struct Write<'a> {
    /// What happens to them.
    pub operation: Operation,
    /// Their table.
    pub table: &'a TableName,
    /// What is known of it.
    pub definition: &'a Table,
    /// The columns that are written, those of the key first.
    pub columns: &'a [Bound<'a>],
    /// The records.
    pub records: &'a [&'a SinkRecord],
    /// How values are written.
    pub format: &'a Format,
    /// Where the values of a record are.
    pub values: Values,
    /// The configuration.
    pub config: &'a SinkConfig,
}

impl Write<'_> {
    /// Writes a record's value for a column.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](connect_core::error::ErrorKind::Data) if the column cannot take it.
    pub fn cell(
        &self,
        record: &SinkRecord,
        (mapped, column): Bound<'_>,
        out: &mut impl super::cell::Cells,
    ) -> Result<()> {
        let value = self.values.of(record, mapped);
        cell(&value, mapped, column, self.format, out)
    }
    /// Whether a conflict of an upsert may be one with another row than that of its key.
    pub fn may_meet_other_rows(&self) -> bool {
        let key: Vec<&str> = self.keys().map(|(_, column)| column.name.as_str()).collect();
        self.definition.has_other_unique(&key)
    }
    /// The columns of the key.
    pub fn keys(&self) -> impl Iterator<Item = &Bound<'_>> {
        self.columns.iter().filter(|(mapped, _)| mapped.key)
    }
    /// The columns that an INSERT names: all but those that the database generates.
    pub fn inserted(&self) -> impl Iterator<Item = &Bound<'_>> {
        self.columns.iter().filter(|(_, column)| column.fill != Fill::Generated)
    }
    /// The columns that an UPDATE sets: all but those of the key and those that take no value.
    pub fn others(&self) -> impl Iterator<Item = &Bound<'_>> {
        self.columns.iter().filter(|(mapped, column)| {
            !mapped.key && !matches!(column.fill, Fill::Generated | Fill::IdentityAlways)
        })
    }
}

/// Where offsets are kept in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRow {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Next offset to read; none before the first record.
    pub next: Option<i64>,
    /// Grows with each task that takes the partition over: one that was left behind cannot write any more.
    pub epoch: i64,
}

/// A connection to a database that is written. A method that is dropped halfway leaves it unusable.
#[async_trait]
pub trait SinkDatabase: Sized + Send + 'static {
    /// Name of the connector.
    const NAME: &'static str;
    /// Sub-protocols of the URLs that it is for.
    const PROTOCOLS: &'static [&'static str];
    /// Quote character of identifiers.
    const QUOTE: Quote;
    /// Names of the connection's parameters that are known.
    const PARAMETERS: &'static [&'static str];
    /// Text behind the columns of `CREATE TABLE`.
    const TABLE_OPTIONS: &'static str;
    /// The same where texts have to be told apart by their bytes.
    const BINARY_OPTIONS: &'static str;
    /// Whether an upsert needs a unique index on just the columns of the key; else one on some of them serves too.
    const EXACT_KEY: bool;

    /// Connects.
    async fn connect(config: &SinkConfig) -> Result<Self>;
    /// Whether the connection is known to be lost.
    fn is_closed(&self) -> bool;
    /// How values are written.
    fn format(config: &SinkConfig) -> Result<Format>;
    /// The table that a name means, given in parts.
    ///
    /// # Errors
    /// If there are too many parts.
    fn table(&self, parts: Vec<String>, config: &SinkConfig) -> Result<TableName>;
    /// Whether two names lead to one table.
    fn same_table(&self, a: &TableName, b: &TableName) -> bool {
        a == b
    }
    /// What there is under this name, with its kind as in `table.types`.
    async fn describe(&mut self, name: &TableName) -> Result<Option<(String, Table)>>;
    /// Runs a statement that changes a definition.
    async fn define(&mut self, sql: &str) -> Result<()>;
    /// How many rows a statement may have, in a table whose rows are not free of each other.
    fn at_once(operation: Operation, table: &Table) -> AtOnce;
    /// Starts a transaction.
    async fn begin(&mut self) -> Result<()>;
    /// Writes rows.
    async fn write(&mut self, write: &Write<'_>) -> Result<()>;
    /// Makes what was written durable.
    async fn commit(&mut self) -> Result<()>;
    /// Undoes what was written.
    async fn rollback(&mut self) -> Result<()>;
    /// Whether the last write was refused since two of its rows have keys that are the same to the database.
    fn repeated(&self) -> bool {
        false
    }
    /// Tells which column a refused record's error is about, if the error does not say it.
    async fn culprit(&mut self, _write: &Write<'_>) -> Option<String> {
        None
    }

    /// The rows of the partitions in the table of offsets, their epochs raised by one; they are added where they are
    /// missing. In the transaction.
    async fn claim(
        &mut self,
        table: &TableName,
        connector: &str,
        partitions: &[(String, i32)],
    ) -> Result<Vec<OffsetRow>>;
    /// All rows of the connector in the table of offsets.
    async fn offsets(&mut self, table: &TableName, connector: &str) -> Result<Vec<OffsetRow>>;
    /// Sets the next offset of a partition, if the epoch is still the row's; else false. In the transaction.
    async fn store(&mut self, table: &TableName, connector: &str, row: &OffsetRow) -> Result<bool>;

    /// Type of a column for values of a schema, as Confluent's connector makes it or Aiven's.
    fn column_type(schema: &Schema, aiven: bool) -> String;
    /// The type of a column of a key of so many columns, where it is not the type that others have: a key has a length, and
    /// tells apart all that Kafka's keys do.
    fn key_type(&self, _ty: &str, _columns: usize) -> Option<String> {
        None
    }
    /// A default, as it stands behind DEFAULT.
    fn default(_ty: &str, literal: String) -> String {
        literal
    }
    /// Type of a column for values without schema.
    fn inferred(inferred: Inferred) -> &'static str;
    /// Definition that widens a column to a type, as part of `ALTER TABLE`.
    fn widened(name: &str, ty: &str, column: &Column) -> String;
    /// Appends a cell to a statement as a literal.
    fn literals(out: &mut Vec<u8>) -> impl super::cell::Cells;
}
