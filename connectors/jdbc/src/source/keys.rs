//! Configuration keys of the source: `JdbcSourceConnectorConfig` of Confluent and of Aiven.

use connect_core::{
    config::{Millis, Resolve, Secret},
    data::Value,
    error::{Error, Result},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    datetime,
    names::{Quote, Quoting},
    url::JdbcUrl,
    zone::Zone,
};

/// How new rows are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The whole table, each time.
    Bulk,
    /// Rows whose timestamp has grown.
    Timestamp,
    /// Rows whose incrementing column has grown.
    Incrementing,
    /// Rows whose timestamp has grown, told apart by the incrementing column.
    #[serde(rename = "timestamp+incrementing")]
    TimestampIncrementing,
}

impl Mode {
    /// Whether an incrementing column takes part.
    pub fn increments(self) -> bool {
        matches!(self, Self::Incrementing | Self::TimestampIncrementing)
    }
    /// Whether timestamp columns take part.
    pub fn has_timestamp(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampIncrementing)
    }
}

/// What numbers of the type NUMERIC become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumericMapping {
    /// `Decimal`, all of them.
    None,
    /// Integers where the scale is 0 and the precision allows it.
    PrecisionOnly,
    /// Integers, and doubles where the precision is at most 18.
    BestFit,
    /// Integers, and doubles for whatever has a fraction.
    BestFitEagerDouble,
}

/// What decimal numbers become where they would be `Decimal`, as Debezium's key of the same name has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecimalHandling {
    /// `Decimal`; of PostgreSQL's numbers without a scale `io.debezium.data.VariableScaleDecimal`.
    Precise,
    /// FLOAT64, which may not hold all digits; NaN and infinity too.
    Double,
    /// STRING of the digits; NaN and infinity too.
    String,
}

/// What timestamps become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Connect's `Timestamp`, in milliseconds.
    #[default]
    ConnectLogical,
    /// INT64 of microseconds.
    MicrosLong,
    /// Digits of the microseconds.
    MicrosString,
    /// ISO 8601 with six digits, in `db.timezone`.
    MicrosIsoDatetimeString,
    /// INT64 of nanoseconds.
    NanosLong,
    /// Digits of the nanoseconds.
    NanosString,
    /// ISO 8601 with nine digits, in `db.timezone`.
    NanosIsoDatetimeString,
}

impl Granularity {
    /// `-infinity` or `infinity` as a value.
    pub fn infinite(self, future: bool) -> Value {
        let (past, end) = datetime::INFINITE_MILLIS;
        let number = if future { end } else { past };
        match self {
            Self::ConnectLogical => Value::Timestamp(number),
            Self::MicrosLong | Self::NanosLong => Value::Int64(number),
            Self::MicrosString | Self::NanosString => Value::from(number.to_string()),
            Self::MicrosIsoDatetimeString | Self::NanosIsoDatetimeString => {
                Value::from(if future { "infinity" } else { "-infinity" })
            }
        }
    }

    /// An instant, in microseconds since the epoch, as a value.
    ///
    /// # Errors
    /// If its form cannot hold it.
    pub fn value(self, utc: i64, zone: &Zone) -> Result<Value> {
        let nanos = || {
            let nanos = utc.checked_mul(1000);
            nanos.ok_or_else(|| Error::data("a timestamp that 64 bits of nanoseconds cannot hold"))
        };
        let iso = |digits| {
            let mut text = String::with_capacity(29);
            let written = datetime::iso(zone.local(utc), digits, &mut text);
            written.map(|()| text).ok_or_else(|| Error::data("a timestamp beyond the year 9999"))
        };
        Ok(match self {
            Self::ConnectLogical => Value::Timestamp(utc.div_euclid(1000)),
            Self::MicrosLong => Value::Int64(utc),
            Self::MicrosString => Value::from(utc.to_string()),
            Self::MicrosIsoDatetimeString => Value::from(iso(6)?),
            Self::NanosLong => Value::Int64(nanos()?),
            Self::NanosString => Value::from(nanos()?.to_string()),
            Self::NanosIsoDatetimeString => Value::from(iso(9)?),
        })
    }
}

/// `java.sql.Connection`'s isolation levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Isolation {
    /// The database's own.
    #[default]
    Default,
    /// Read uncommitted.
    ReadUncommitted,
    /// Read committed.
    ReadCommitted,
    /// Repeatable read.
    RepeatableRead,
    /// Serializable.
    Serializable,
    /// Of SQL Server alone.
    SqlServerSnapshot,
}

impl Isolation {
    /// As SQL names it; none for the database's own.
    pub fn sql(self) -> Option<&'static str> {
        Some(match self {
            Self::Default | Self::SqlServerSnapshot => return None,
            Self::ReadUncommitted => "READ UNCOMMITTED",
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        })
    }
}

/// Which calendar dates before 1582-10-15 are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CalendarSystem {
    /// The Julian one, as `java.util.GregorianCalendar` has it.
    #[default]
    Legacy,
    /// The Gregorian one, as the databases have it.
    ProlepticGregorian,
}

/// How texts of an incrementing column grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextOrder {
    /// As numbers, if all that are there are integers; as texts, if none is.
    #[default]
    Auto,
    /// As numbers.
    Numeric,
    /// In the column's order of texts.
    Text,
}

/// Whether identifiers are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuoteIdentifiers {
    /// All of them.
    #[default]
    Always,
    /// None that is an identifier without quotes too.
    Never,
}

impl QuoteIdentifiers {
    /// The rule for a database's quote character.
    pub fn with(self, quote: Quote) -> Quoting {
        match self {
            Self::Always => quote.always(),
            Self::Never => quote.never(),
        }
    }
}

fn yes() -> bool {
    true
}
fn table() -> Vec<String> {
    vec!["TABLE".into()]
}
fn utc() -> String {
    "UTC".into()
}
fn minus_one() -> i64 {
    -1
}
fn gaps() -> u32 {
    200
}
fn forever() -> i32 {
    -1
}

/// The keys. Those of the JVM that have no meaning here are accepted, see [`crate::source::checks`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SourceKeys {
    /// JDBC connection URL, such as jdbc:postgresql://localhost/test.
    #[serde(rename = "connection.url")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Database", "x-width" = "LONG", "x-display" = "JDBC URL"))]
    pub url: JdbcUrl,
    /// JDBC connection user.
    #[serde(rename = "connection.user")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Database", "x-width" = "LONG", "x-display" = "JDBC User"))]
    pub user: Option<String>,
    /// JDBC connection password.
    #[serde(rename = "connection.password")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "JDBC Password"))]
    pub password: Option<Secret>,
    /// Most attempts to connect before the task fails. Not given means that it goes on trying.
    #[serde(rename = "connection.attempts")]
    #[schemars(range(min = 1), extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "JDBC connection attempts", "x-default" = 3))]
    pub connection_attempts: Option<u32>,
    /// Pause in milliseconds between these attempts.
    #[serde(rename = "connection.backoff.ms", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "JDBC connection backoff in milliseconds"))]
    pub connection_backoff: Millis<10_000>,
    /// Where host names lead, as a list of host:port:addr:port; the worker's, if not given.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "LONG", "x-display" = "Resolve"))]
    pub resolve: Resolve,
    /// Tables to copy: bare, or qualified by their schema. Empty means all.
    #[serde(rename = "table.whitelist", default)]
    #[schemars(extend("x-group" = "Database", "x-width" = "LONG", "x-display" = "Table Whitelist"))]
    pub whitelist: Vec<String>,
    /// Tables not to copy. Ignored if there is a whitelist.
    #[serde(rename = "table.blacklist", default)]
    #[schemars(extend("x-group" = "Database", "x-width" = "LONG", "x-display" = "Table Blacklist"))]
    pub blacklist: Vec<String>,
    /// Regular expressions of qualified names of tables to copy.
    #[serde(rename = "table.include.list", default)]
    #[schemars(extend("x-group" = "Database", "x-width" = "LONG", "x-display" = "Table Include List"))]
    pub include_list: Vec<String>,
    /// Regular expressions of qualified names of tables not to copy, of those that are included.
    #[serde(rename = "table.exclude.list", default)]
    #[schemars(extend("x-group" = "Database", "x-width" = "LONG", "x-display" = "Table Exclude List"))]
    pub exclude_list: Vec<String>,
    /// Catalog whose tables are looked at, as an SQL LIKE pattern: in MySQL, a database. Not given means all.
    #[serde(rename = "catalog.pattern")]
    #[schemars(extend("x-group" = "Database", "x-width" = "SHORT", "x-display" = "Catalog pattern"))]
    pub catalog_pattern: Option<String>,
    /// Schema whose tables are looked at, as an SQL LIKE pattern. Not given means all.
    #[serde(rename = "schema.pattern")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Schema pattern"))]
    pub schema_pattern: Option<String>,
    /// Whether tables stand with their schema in statements. A key of Aiven's.
    #[serde(rename = "table.names.qualify", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Whether to qualify table names"))]
    pub qualify_names: bool,
    /// Older name of numeric.mapping=precision_only.
    #[serde(rename = "numeric.precision.mapping", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Map Numeric Values By Precision (deprecated)"))]
    pub numeric_precision_mapping: bool,
    /// What numbers of type NUMERIC become: Decimal, integers by their precision, or the best fit.
    #[serde(rename = "numeric.mapping")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Map Numeric Values, Integral or Decimal, By Precision and Scale"))]
    pub numeric_mapping: Option<NumericMapping>,
    /// What decimal numbers become that `numeric.mapping` leaves: `precise` (Decimal, VariableScaleDecimal without a
    /// scale), `double` or `string`. Without it Decimal, with 127 digits after the point where there is no scale.
    #[serde(rename = "decimal.handling.mode")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Decimal Handling"))]
    pub decimal_handling: Option<DecimalHandling>,
    /// Name of the database dialect. The URL decides; the name is checked.
    #[serde(rename = "dialect.name", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "LONG", "x-display" = "Database Dialect"))]
    pub dialect: String,
    /// Calendar of dates before 1582-10-15.
    #[serde(rename = "date.calendar.system", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Date Calendar System"))]
    pub calendar: CalendarSystem,
    /// How to find new rows each time a table is polled.
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Table Loading Mode", "x-default" = ""))]
    pub mode: Option<Mode>,
    /// The name of the strictly incrementing column. Empty means the table's auto-incremented one.
    #[serde(rename = "incrementing.column.name", default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Incrementing Column Name"))]
    pub incrementing_column: String,
    /// How the texts of an incrementing column of type text grow: as numbers, as texts (ULID, KSUID, UUID version 7), or as
    /// the rows show.
    #[serde(rename = "incrementing.text.order", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Incrementing Text Order"))]
    pub text_order: TextOrder,
    /// Value to start after, when there is no offset. A key of Aiven's.
    #[serde(rename = "incrementing.initial", default = "minus_one")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Initial incrementing value"))]
    pub incrementing_initial: i64,
    /// Incrementing columns by table: a list of regex:column. With table.include.list.
    #[serde(rename = "incrementing.column.mapping", default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Incrementing Column Mapping"))]
    pub incrementing_mapping: Vec<String>,
    /// Timestamp columns; of several, the first that is not null counts.
    #[serde(rename = "timestamp.column.name", default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Timestamp Column Name"))]
    pub timestamp_columns: Vec<String>,
    /// Timestamp columns by table: a list of regex:[column|column]. With table.include.list.
    #[serde(rename = "timestamp.columns.mapping", default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Timestamp Columns Mapping"))]
    pub timestamp_mapping: Vec<String>,
    /// Timestamp to start after, in milliseconds since the epoch, when there is no offset; -1 means now.
    #[serde(rename = "timestamp.initial")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Unix time value of initial timestamp"))]
    pub timestamp_initial: Option<i64>,
    /// The same under Aiven's name.
    #[serde(rename = "timestamp.initial.ms")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Initial timestamp (ms)"))]
    pub aiven_timestamp_initial: Option<i64>,
    /// Whether the incrementing and timestamp columns must be declared NOT NULL.
    #[serde(rename = "validate.non.null", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Validate Non Null"))]
    pub validate_non_null: bool,
    /// Whether rows wait that a transaction which still runs may come before: without it, what is committed late is lost, as it is with the JVM's connector.
    #[serde(rename = "hold.back.running.transactions", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Hold back running transactions"))]
    pub hold_back: bool,
    /// How long in milliseconds ids are looked for again that were passed over in mode=incrementing: a session may have taken
    /// them and not have committed them yet. -1 is without end, 0 not at all. Without it, not at all, but without end where the
    /// column's sequence gives a session several ids at once (CACHE).
    #[serde(rename = "incrementing.lag.ms")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Look again for ids (ms)"))]
    pub lag: Option<i64>,
    /// Most ranges of ids that are looked for again; of more, the lowest are given up.
    #[serde(rename = "incrementing.lag.gaps", default = "gaps")]
    #[schemars(range(min = 1, max = 10000), extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Ranges of ids to look again for"))]
    pub lag_gaps: u32,
    /// A SELECT to copy instead of tables.
    #[serde(default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Query"))]
    pub query: String,
    /// The same, shown nowhere.
    #[serde(rename = "query.masked")]
    #[schemars(extend("x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Query (masked)"))]
    pub query_masked: Option<Secret>,
    /// Text to append to each query, such as LIMIT 100.
    #[serde(rename = "query.suffix", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Query suffix"))]
    pub query_suffix: String,
    /// Whether the names of tables and columns are quoted.
    #[serde(rename = "quote.sql.identifiers", default)]
    #[schemars(extend("x-group" = "Database", "x-width" = "MEDIUM", "x-display" = "Quote Identifiers", "x-default" = "ALWAYS"))]
    pub quote_identifiers: QuoteIdentifiers,
    /// The same under Aiven's name.
    #[serde(rename = "sql.quote.identifiers", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Quote SQL identifiers"))]
    pub aiven_quote: bool,
    /// Isolation level of the transactions that read.
    #[serde(rename = "transaction.isolation.mode", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Transaction Isolation Mode"))]
    pub isolation: Isolation,
    /// Failed attempts of a table's query, one after the other, before the task fails. Not above 0 means any number.
    #[serde(rename = "query.retry.attempts", default = "forever")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Query Retry Attempts"))]
    pub query_retries: i32,
    /// Kinds of tables to copy: TABLE, PARTITIONED TABLE, VIEW, MATERIALIZED VIEW, FOREIGN TABLE.
    #[serde(rename = "table.types", default = "table")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "Table Types"))]
    pub table_types: Vec<String>,
    /// Pause in milliseconds between polls of a table.
    #[serde(rename = "poll.interval.ms", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Poll Interval (ms)"))]
    pub poll_interval: Millis<5000>,
    /// PostgreSQL: a channel to LISTEN on, by its exact name. A notification makes all tables of the connector due at once;
    /// poll.interval.ms goes on underneath, and may then be long. Empty means none.
    #[serde(rename = "notify.channel", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "Notification channel"))]
    pub notify_channel: String,
    /// Whether each table gets a trigger that notifies notify.channel after INSERT and UPDATE, if it has none yet: a trigger
    /// ferrovia_notify_CHANNEL on it and its partitions, and in its schema a function ferrovia_notify(). Nothing removes
    /// them but DROP FUNCTION ferrovia_notify() CASCADE. Views and foreign tables get none.
    #[serde(rename = "notify.install.trigger", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Install notifying triggers"))]
    pub notify_trigger: bool,
    /// Most rows in one batch.
    #[serde(rename = "batch.max.rows")]
    #[schemars(range(min = 1), extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Max Rows Per Batch", "x-default" = 3000))]
    pub batch_max_rows: Option<u32>,
    /// Pause in milliseconds between looks for tables that came or went.
    #[serde(rename = "table.poll.interval.ms", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Metadata Change Monitoring Interval (ms)"))]
    pub table_poll_interval: Millis<60_000>,
    /// Prefix of the topics: the table's name follows. With a query, the topic itself.
    #[serde(rename = "topic.prefix", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "Topic Prefix"))]
    pub topic_prefix: String,
    /// How long in milliseconds a timestamp must be past before its row is copied.
    #[serde(rename = "timestamp.delay.interval.ms", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "Delay Interval (ms)"))]
    pub timestamp_delay: Millis<0>,
    /// Time zone of timestamps that have none.
    #[serde(rename = "db.timezone", default = "utc")]
    #[schemars(extend("x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "DB time zone"))]
    pub timezone: String,
    /// What timestamps become: Connect's milliseconds, or numbers and texts of micro- or nanoseconds.
    #[serde(rename = "timestamp.granularity", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "Timestamp granularity for timestamp columns"))]
    pub granularity: Granularity,
    /// Accepted for compatibility; rows are not read ahead further than back-pressure allows.
    #[serde(rename = "max.buffer.size")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Maximum Buffer Size", "x-default" = 0))]
    pub max_buffer_size: Option<u32>,
    /// Accepted for compatibility; a batch goes on its way as soon as it is read.
    #[serde(rename = "poll.linger.ms")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Poll Linger (ms)", "x-default" = 5000))]
    pub poll_linger: Option<u64>,
    /// Accepted for compatibility; the first list of tables is waited for.
    #[serde(rename = "table.monitoring.startup.polling.limit.ms")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Table Monitoring Startup Polling Limit (ms)", "x-default" = 10000))]
    pub startup_limit: Option<u64>,
    /// A class of Java's, which cannot be loaded here; connection.user and connection.password count.
    #[serde(rename = "jdbc.credentials.provider.class", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "LONG", "x-display" = "JDBC Credentials Provider Class"))]
    pub credentials_provider: String,
}
