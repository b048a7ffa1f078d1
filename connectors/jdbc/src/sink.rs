//! The sink: configuration keys of `io.confluent.connect.jdbc.sink`.

use connect_core::config::{Invalid, Millis, Resolve, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::url::JdbcUrl;

/// What a record does to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InsertMode {
    /// Adds it.
    #[default]
    Insert,
    /// Adds or replaces it.
    Upsert,
    /// Replaces it, if it is there.
    Update,
}

/// Where the primary key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
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

/// Keys of the sink (`JdbcSinkConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SinkConfig {
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
    /// Where host names lead, as a list of host:port:addr:port; the worker's, if not given.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connection", "x-width" = "LONG", "x-display" = "Resolve"))]
    pub resolve: Resolve,
    /// What a record does to its row.
    #[serde(rename = "insert.mode", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Writes", "x-width" = "MEDIUM", "x-display" = "Insert Mode"))]
    pub insert_mode: InsertMode,
    /// Most rows in one statement.
    #[serde(rename = "batch.size", default = "rows")]
    #[schemars(extend("x-group" = "Writes", "x-width" = "SHORT", "x-display" = "Batch Size"))]
    pub batch_size: u32,
    /// Whether a null value deletes the row; needs pk.mode=record_key.
    #[serde(rename = "delete.enabled", default)]
    #[schemars(extend("x-group" = "Writes", "x-width" = "SHORT", "x-display" = "Enable deletes"))]
    pub delete_enabled: bool,
    /// Name of the table; ${topic} stands for the topic.
    #[serde(rename = "table.name.format", default = "topic")]
    #[schemars(extend("x-group" = "Data Mapping", "x-width" = "LONG", "x-display" = "Table Name Format"))]
    pub table_name_format: String,
    /// Where the primary key comes from.
    #[serde(rename = "pk.mode", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Data Mapping", "x-width" = "MEDIUM", "x-display" = "Primary Key Mode"))]
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
    /// Whether to create the table where it is missing.
    #[serde(rename = "auto.create", default)]
    #[schemars(extend("x-group" = "DDL Support", "x-width" = "SHORT", "x-display" = "Auto-Create"))]
    pub auto_create: bool,
    /// Whether to add columns that are missing.
    #[serde(rename = "auto.evolve", default)]
    #[schemars(extend("x-group" = "DDL Support", "x-width" = "SHORT", "x-display" = "Auto-Evolve"))]
    pub auto_evolve: bool,
    /// Attempts after an error before the task fails.
    #[serde(rename = "max.retries", default = "ten")]
    #[schemars(extend("x-group" = "Retries", "x-width" = "SHORT", "x-display" = "Maximum Retries"))]
    pub max_retries: u32,
    /// Pause in milliseconds before an attempt.
    #[serde(rename = "retry.backoff.ms", default)]
    #[schemars(extend("x-group" = "Retries", "x-width" = "SHORT", "x-display" = "Retry Backoff (millis)"))]
    pub retry_backoff: Millis<3000>,
}

impl SinkConfig {
    /// What is wrong between keys.
    pub fn contradictions(&self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        if self.delete_enabled && self.pk_mode != PkMode::RecordKey {
            let why = "Primary key mode must be 'record_key' when delete support is enabled";
            invalid.push(Invalid::new("pk.mode", why));
        }
        if self.pk_mode == PkMode::None && self.insert_mode != InsertMode::Insert {
            let why = "upsert and update need a primary key: set pk.mode to kafka, record_key or record_value";
            invalid.push(Invalid::value("pk.mode", "none", why));
        }
        if self.pk_mode == PkMode::Kafka && !matches!(self.pk_fields.len(), 0 | 3) {
            let why = "must be empty or name three columns for topic, partition and offset";
            invalid.push(Invalid::value("pk.fields", &self.pk_fields.join(","), why));
        }
        if self.table_name_format.trim().is_empty() {
            invalid.push(Invalid::value("table.name.format", "", "String must be non-empty"));
        }
        invalid
    }
}
