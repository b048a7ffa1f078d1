//! Configuration keys of the sink: `JdbcSinkConfig` of Confluent and of Aiven.

use connect_core::config::{Millis, Resolve, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    source::keys::{CalendarSystem, QuoteIdentifiers},
    url::JdbcUrl,
};

/// What a record does to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InsertMode {
    /// Adds it.
    #[default]
    Insert,
    /// Adds it; Aiven's name of statements with many rows, which all are.
    Multi,
    /// Adds or replaces it.
    Upsert,
    /// Replaces it, if it is there.
    Update,
}

/// Where the primary key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PkMode {
    /// There is none.
    #[default]
    None,
    /// The record's topic, partition and offset.
    Kafka,
    /// The record's key.
    RecordKey,
    /// Fields of the record's value.
    RecordValue,
}

/// Where the offsets are that count after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OffsetsStorage {
    /// In Kafka: records may be written again after a crash.
    #[default]
    Consumer,
    /// In the target, in the transaction that writes the rows.
    Target,
}

/// Which zone dates are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DateZone {
    /// That of `db.timezone`.
    #[default]
    DbTimezone,
    /// None: the date that was sent.
    Utc,
}

/// Unit of `timestamp.fields.list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimestampPrecision {
    /// Microseconds since the epoch.
    #[default]
    Microseconds,
    /// Nanoseconds since the epoch.
    Nanoseconds,
}

fn yes() -> bool {
    true
}
fn rows() -> u32 {
    3000
}
fn ten() -> u32 {
    10
}
fn topic() -> String {
    "${topic}".into()
}
fn utc() -> String {
    "UTC".into()
}
fn table() -> Vec<String> {
    vec!["TABLE".into()]
}
fn record_value() -> String {
    "record_value".into()
}
fn offsets_table() -> String {
    "connect_sink_offsets".into()
}

/// The keys. Those of the JVM that have no meaning here are accepted, see [`crate::sink::checks`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SinkKeys {
    /// JDBC connection URL, such as jdbc:mysql://localhost/test.
    #[serde(rename = "connection.url")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connection", "x-width" = "LONG", "x-display" = "JDBC URL"))]
    pub url: JdbcUrl,
    /// JDBC connection user.
    #[serde(rename = "connection.user")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connection", "x-width" = "MEDIUM", "x-display" = "JDBC User"))]
    pub user: Option<String>,
    /// JDBC connection password.
    #[serde(rename = "connection.password")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connection", "x-width" = "MEDIUM", "x-display" = "JDBC Password"))]
    pub password: Option<Secret>,
    /// Name of the database dialect. The URL decides; the name is checked.
    #[serde(rename = "dialect.name", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "LONG", "x-display" = "Database Dialect"))]
    pub dialect: String,
    /// Most attempts to connect, each time that a batch is tried. Not given means one.
    #[serde(rename = "connection.attempts")]
    #[schemars(range(min = 1), extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "SHORT", "x-display" = "JDBC connection attempts", "x-default" = 3))]
    pub connection_attempts: Option<u32>,
    /// Pause in milliseconds between these attempts.
    #[serde(rename = "connection.backoff.ms", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "SHORT", "x-display" = "JDBC connection backoff in milliseconds"))]
    pub connection_backoff: Millis<10_000>,
    /// Where host names lead, as a list of host:port:addr:port; the worker's, if not given.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "LONG", "x-display" = "Resolve"))]
    pub resolve: Resolve,
    /// A class of Java's, which cannot be loaded here; connection.user and connection.password count.
    #[serde(rename = "jdbc.credentials.provider.class", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "LONG", "x-display" = "JDBC Credentials Provider Class"))]
    pub credentials_provider: String,
    /// What a record does to its row.
    #[serde(rename = "insert.mode", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Writes", "x-width" = "MEDIUM", "x-display" = "Insert Mode", "x-refusal" = "Invalid enumerator"))]
    pub insert_mode: InsertMode,
    /// Most rows in one statement.
    #[serde(rename = "batch.size", default = "rows")]
    #[schemars(extend("x-group" = "Writes", "x-width" = "SHORT", "x-display" = "Batch Size"))]
    pub batch_size: u32,
    /// Whether a null value deletes the row; needs pk.mode=record_key.
    #[serde(rename = "delete.enabled", default)]
    #[schemars(extend("x-group" = "Writes", "x-width" = "SHORT", "x-display" = "Enable deletes"))]
    pub delete_enabled: bool,
    /// Kinds of tables that count as existing: TABLE, PARTITIONED TABLE, VIEW.
    #[serde(rename = "table.types", default = "table")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Writes", "x-width" = "MEDIUM", "x-display" = "Table Types"))]
    pub table_types: Vec<String>,
    /// Whether null is written as the default of its field, if it has one.
    #[serde(rename = "replace.null.with.default", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Writes", "x-width" = "SHORT", "x-display" = "Replace null with default"))]
    pub replace_null: bool,
    /// Where the offsets are that count after a restart: the consumer group's, or in a table of the target, written in the transaction of the rows, so that each record is written exactly once.
    #[serde(rename = "offsets.storage", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Writes", "x-width" = "SHORT", "x-display" = "Offsets storage"))]
    pub offsets_storage: OffsetsStorage,
    /// Name of that table; it is made where it is missing.
    #[serde(rename = "offsets.storage.table", default = "offsets_table")]
    #[schemars(length(min = 1), extend("x-importance" = "LOW", "x-group" = "Writes", "x-width" = "MEDIUM", "x-display" = "Offsets storage table"))]
    pub offsets_table: String,
    /// Name of the table; ${topic} stands for the topic.
    #[serde(rename = "table.name.format", default = "topic")]
    #[schemars(length(min = 1), extend("x-group" = "Data Mapping", "x-width" = "LONG", "x-display" = "Table Name Format"))]
    pub table_name_format: String,
    /// Whether what is no letter, digit or underscore becomes an underscore in the names of tables. A key of Aiven's.
    #[serde(rename = "table.name.normalize", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Data Mapping", "x-width" = "SHORT", "x-display" = "Normalize table names"))]
    pub normalize_names: bool,
    /// Tables by topic: a list of topic:table. Other topics are refused. A key of Aiven's.
    #[serde(rename = "topics.to.tables.mapping", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Data Mapping", "x-width" = "LONG", "x-display" = "Topics to tables mapping"))]
    pub topics_to_tables: Vec<String>,
    /// Where the primary key comes from.
    #[serde(rename = "pk.mode", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Data Mapping", "x-width" = "MEDIUM", "x-display" = "Primary Key Mode", "x-refusal" = "Invalid enumerator"))]
    pub pk_mode: PkMode,
    /// Fields of the primary key.
    #[serde(rename = "pk.fields", default)]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "LONG", "x-display" = "Primary Key Fields"))]
    pub pk_fields: Vec<String>,
    /// Fields of the value to write; empty means all.
    #[serde(rename = "fields.whitelist", default)]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "LONG", "x-display" = "Fields Whitelist"))]
    pub fields_whitelist: Vec<String>,
    /// Time zone of times and timestamps in the table.
    #[serde(rename = "db.timezone", default = "utc")]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "MEDIUM", "x-display" = "DB Time Zone"))]
    pub timezone: String,
    /// Whether dates are of db.timezone too, as midnight UTC seen from there, or stay what they are.
    #[serde(rename = "date.timezone", default)]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "MEDIUM", "x-display" = "Date Time Zone"))]
    pub date_timezone: DateZone,
    /// Calendar of dates before 1582-10-15.
    #[serde(rename = "date.calendar.system", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Data Mapping", "x-width" = "SHORT", "x-display" = "Date Calendar System"))]
    pub calendar: CalendarSystem,
    /// Fields of type INT64 or STRING that hold timestamps in the unit of timestamp.precision.mode.
    #[serde(rename = "timestamp.fields.list", default)]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "LONG", "x-display" = "Timestamp fields"))]
    pub timestamp_fields: Vec<String>,
    /// Unit of these fields.
    #[serde(rename = "timestamp.precision.mode", default)]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "SHORT", "x-display" = "Timestamp precision"))]
    pub timestamp_precision: TimestampPrecision,
    /// Column of values that are text and not an object.
    #[serde(rename = "string.output.value.column.name", default = "record_value")]
    #[schemars(length(min = 1), extend("x-importance" = "LOW", "x-group" = "Data Mapping", "x-width" = "MEDIUM", "x-display" = "Column of text values"))]
    pub string_column: String,
    /// Whether to create the table where it is missing.
    #[serde(rename = "auto.create", default)]
    #[schemars(extend("x-group" = "DDL Support", "x-width" = "SHORT", "x-display" = "Auto-Create"))]
    pub auto_create: bool,
    /// Whether to add columns that are missing, and to widen those that are too narrow.
    #[serde(rename = "auto.evolve", default)]
    #[schemars(extend("x-group" = "DDL Support", "x-width" = "SHORT", "x-display" = "Auto-Evolve"))]
    pub auto_evolve: bool,
    /// Whether the names of tables and columns are quoted.
    #[serde(rename = "quote.sql.identifiers", default)]
    #[schemars(extend("x-group" = "DDL Support", "x-width" = "MEDIUM", "x-display" = "Quote Identifiers", "x-default" = "ALWAYS"))]
    pub quote_identifiers: QuoteIdentifiers,
    /// The same under Aiven's name.
    #[serde(rename = "sql.quote.identifiers", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "DDL Support", "x-width" = "SHORT", "x-display" = "Quote SQL identifiers"))]
    pub aiven_quote: bool,
    /// Attempts after an error before the task fails.
    #[serde(rename = "max.retries", default = "ten")]
    #[schemars(extend("x-group" = "Retries", "x-width" = "SHORT", "x-display" = "Maximum Retries"))]
    pub max_retries: u32,
    /// Pause in milliseconds before an attempt.
    #[serde(rename = "retry.backoff.ms", default)]
    #[schemars(extend("x-group" = "Retries", "x-width" = "SHORT", "x-display" = "Retry Backoff (millis)"))]
    pub retry_backoff: Millis<3000>,
    /// Accepted for compatibility; of SQL Server alone.
    #[serde(rename = "mssql.use.merge.holdlock")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "SHORT", "x-display" = "SQL Server - Use HOLDLOCK in MERGE", "x-default" = true))]
    pub mssql_holdlock: Option<bool>,
    /// Accepted for compatibility; values are in no log line but that of an error.
    #[serde(rename = "trim.sensitive.log")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "SHORT", "x-display" = "Trim sensitive log"))]
    pub trim_log: Option<bool>,
}
