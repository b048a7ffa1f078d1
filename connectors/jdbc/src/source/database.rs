//! What differs between the databases that are read.

use std::sync::Arc;

use async_trait::async_trait;
use connect_core::{
    data::{Schema, Value},
    error::{Error, Result},
};
use tokio::sync::watch;

use super::{Mark, SourceConfig, criteria::Criteria, tables::Found};
use crate::names::{Quote, TableName};

/// What is read: a table, or the configured query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A table.
    Table(TableName),
    /// The text of the query.
    Query(String),
}

impl Origin {
    /// The name of the table, for topic and schema.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Self::Table(table) => Some(table),
            Self::Query(_) => None,
        }
    }
    /// For messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Table(table) => table.qualified(),
            Self::Query(_) => "query".to_owned(),
        }
    }
}

/// What a column can tell of what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// An integer of at most 64 bits.
    Integer,
    /// Any other number.
    Number,
    /// Text, which may hold numbers.
    Text,
    /// A date or time without zone: what some clock showed.
    Local,
    /// An instant that is shown in the session's zone.
    Shown,
    /// An instant.
    Instant,
    /// Anything else that has an order, and a text that it is read from.
    Other,
}

/// The [`step`](Column::step) of columns that hold years.
pub const YEAR: i64 = 366 * crate::datetime::DAY;

/// A column of a table or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column<T> {
    /// Name, or alias.
    pub name: String,
    /// Whether it may be null, as far as the database tells.
    pub nullable: bool,
    /// Serial, identity or AUTO_INCREMENT.
    pub auto_increment: bool,
    /// What it can be ordered by.
    pub order: Order,
    /// Of a date or time: the smallest difference between two of its values, in microseconds.
    pub step: i64,
    /// Its type, as the database has it.
    pub ty: T,
}

/// A query for the rows that are new.
pub struct Read<'a, T> {
    /// What is read.
    pub origin: &'a Origin,
    /// Its columns.
    pub columns: &'a [Column<T>],
    /// Those of them that tell what is new.
    pub criteria: &'a Criteria,
    /// `WHERE`, `ORDER BY` and `query.suffix`.
    pub clauses: String,
    /// The configuration.
    pub config: &'a SourceConfig,
}

/// A row.
#[derive(Debug)]
pub struct Row {
    /// The struct.
    pub value: Value,
    /// Its schema, where it is not that of all rows: a value that the column's type does not foresee.
    pub schema: Option<Arc<Schema>>,
    /// Timestamp that the order goes by, where the mode has one: of an instant its microseconds since the epoch, else what
    /// the clock showed, in microseconds since that of 1970-01-01.
    pub timestamp: Option<i64>,
    /// Value of the incrementing column, where the mode has one.
    pub mark: Option<Mark>,
    /// Bytes that it takes in memory, about.
    pub size: usize,
    /// Why a value could not be read, which is null instead.
    pub error: Option<Error>,
}

impl Row {
    /// The value of the incrementing column, where it is a number.
    pub(super) fn number(&self) -> Option<i64> {
        match self.mark.as_ref()? {
            Mark::Number(n) => Some(*n),
            Mark::Text(text) => text.trim().parse().ok(),
        }
    }
}

/// The rows of a query, as they come.
#[async_trait]
pub trait Rows: Send {
    /// Schema of the rows.
    fn schema(&self) -> &Arc<Schema>;
    /// Adds rows until there are `count`, or `size` bytes of them; false at the end. Cancel safe (invariant 9): what was
    /// read is in `rows`.
    async fn fill(&mut self, rows: &mut Vec<Row>, count: usize, size: usize) -> Result<bool>;
}

/// A transaction that may still commit rows whose times are past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// When it began, in microseconds since the epoch; its rows may have times from here on.
    pub since: i64,
    /// For the log: thread, user, program.
    pub who: String,
}

/// The transactions of others that are running.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The oldest one that has written, or may have been about to.
    pub holder: Option<Holder>,
    /// Those that have only read for so long that nobody waits for them, by when they began. If such a one writes after all,
    /// the times of its rows may be its start.
    pub readers: Vec<i64>,
    /// Those that have written, by when they began.
    pub writers: Vec<i64>,
    /// Those that have written and of which only a time after their start is known.
    pub vague: Vec<Holder>,
}

/// What clocks show at some instants, each in microseconds since 1970-01-01 00:00 of that clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clocks {
    /// The clock by which a session that sets no zone of its own stamps its rows.
    pub stamped: Vec<i64>,
    /// The clock in which this session sees [`Order::Shown`].
    pub shown: Vec<i64>,
}

/// The highest value of an incrementing column, and who may still write lower ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Horizon {
    /// Its text; none in an empty table.
    pub highest: Option<String>,
    /// Transactions that were writing to the table after `highest` was seen.
    pub writers: Vec<String>,
}

/// What the database knows of a table, and of the sequence of its incrementing column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Another one when another table has the name.
    pub table: String,
    /// Another one when its rows were thrown away, or written anew.
    pub storage: String,
    /// The last id that was given out.
    pub last: Option<i64>,
    /// The sequence, and how many ids a session takes of it at once.
    pub sequence: Option<(String, i64)>,
    /// For [`any_older`](SourceDatabase::any_older).
    pub moment: String,
}

/// A connection to a database that is read. A method that is dropped halfway leaves it unusable.
#[async_trait]
pub trait SourceDatabase: Sized + Send + 'static {
    /// Name of the connector.
    const NAME: &'static str;
    /// Sub-protocols of the URLs that it is for.
    const PROTOCOLS: &'static [&'static str];
    /// Quote character of identifiers.
    const QUOTE: Quote;
    /// Names of the connection's parameters that are known.
    const PARAMETERS: &'static [&'static str];
    /// Whether a `db.timezone` that is given says by which clock times without zone were stamped, where that clock has
    /// stamped anything of late. The JVM's connector goes by it alone, but on MySQL by the server's clock.
    const PREFERS_GIVEN_ZONE: bool = false;
    /// Whether it can tell that something was committed: [`listen`](Self::listen), [`install_trigger`](Self::install_trigger).
    const NOTIFIES: bool = false;
    /// A column's type.
    type Type: Send + Sync;
    /// Rows of a query.
    type Rows: Rows;

    /// Connects.
    async fn connect(config: &SourceConfig) -> Result<Self>;
    /// Whether the connection is known to be lost.
    fn is_closed(&self) -> bool;
    /// Name of the database that the connection is in, where schemas are below it.
    fn catalog(config: &SourceConfig) -> Option<&str>;
    /// All tables of the schemas that the configuration's patterns allow, in the order of their names.
    async fn tables(&mut self, config: &SourceConfig) -> Result<Vec<Found>>;
    /// The table of this qualified name.
    ///
    /// # Errors
    /// A retriable one if it does not exist: it may come back.
    async fn table(&mut self, qualified: &str) -> Result<TableName>;
    /// Checks that the query can be run, without running it. In the transaction.
    async fn check(&mut self, read: Read<'_, Self::Type>) -> Result<()>;
    /// Starts a transaction, in which the columns stay as they are returned.
    async fn begin(
        &mut self,
        origin: &Origin,
        config: &SourceConfig,
    ) -> Result<Vec<Column<Self::Type>>>;
    /// Runs the query.
    async fn query(&mut self, read: Read<'_, Self::Type>) -> Result<Self::Rows>;
    /// Ends the transaction.
    async fn end(&mut self) -> Result<()>;
    /// The database's clock, in microseconds since the epoch, as of now and not of the transaction's start.
    async fn now(&mut self) -> Result<i64>;
    /// What is running besides, that may write to what is read.
    async fn transactions(&mut self, _origin: &Origin) -> Result<Running> {
        Ok(Running::default())
    }
    /// What the clocks show at these instants, which are in microseconds since the epoch.
    async fn clocks(&mut self, instants: &[i64]) -> Result<Clocks>;
    /// Whether there is a row for which the condition holds, of what stands behind `FROM`.
    async fn any(&mut self, from: &str, condition: &str) -> Result<bool>;
    /// See [`Horizon`], of an expression over the columns; none where the database can't tell. Outside of a
    /// transaction.
    async fn horizon(
        &mut self,
        _origin: &Origin,
        _expression: &str,
        _config: &SourceConfig,
    ) -> Result<Option<Horizon>> {
        Ok(None)
    }
    /// Which of the writers still run.
    async fn running(&mut self, _origin: &Origin, writers: &[String]) -> Result<Vec<String>> {
        Ok(writers.to_vec())
    }
    /// See [`Standing`], of a table and its incrementing column. Outside of a transaction.
    async fn standing(
        &mut self,
        _table: &TableName,
        _column: Option<&str>,
    ) -> Result<Option<Standing>> {
        Ok(None)
    }
    /// Whether there is a row that was written before that standing was; none where the database can't tell.
    async fn any_older(&mut self, _from: &str, _standing: &Standing) -> Result<Option<bool>> {
        Ok(None)
    }
    /// For the log: who these writers are.
    async fn describe(&mut self, writers: &[String]) -> Result<String> {
        Ok(writers.join(", "))
    }
    /// Whether the texts of a column are (some, all) integers; none of an empty table.
    async fn integers(&mut self, from: &str, column: &str) -> Result<Option<(bool, bool)>>;

    /// Listens on a channel, on a connection of its own. What is returned changes with each notification, as often as is
    /// looked; its sender is gone when the connection is.
    async fn listen(_config: &SourceConfig, _channel: &str) -> Result<watch::Receiver<()>> {
        Err(Error::config("this database has no notifications"))
    }
    /// Has a table notify the channel after each INSERT and UPDATE, if it doesn't yet. Outside of a transaction.
    async fn install_trigger(&mut self, _table: &TableName, _channel: &str) -> Result<()> {
        Err(Error::config("this database has no notifications"))
    }

    /// A text in a statement.
    fn text(text: &str) -> String;
    /// A date and time in a statement.
    fn timestamp(text: &str, instant: bool) -> String;
    /// The number that a text is; NULL where it is none.
    fn number(column: &str) -> String;
}
