//! The source: configuration keys, partitions and offsets of `io.confluent.connect.jdbc.source`.

use connect_core::config::{Invalid, Millis, Resolve, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::url::JdbcUrl;

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

fn yes() -> bool {
    true
}
fn rows() -> u32 {
    1000
}
fn table() -> Vec<String> {
    vec!["TABLE".into()]
}
fn utc() -> String {
    "UTC".into()
}

/// Keys of the source (`JdbcSourceConnectorConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SourceConfig {
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
    /// Where host names lead, as a list of host:port:addr:port; the worker's, if not given.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Database", "x-width" = "LONG", "x-display" = "Resolve"))]
    pub resolve: Resolve,
    /// Tables to copy: bare, or qualified by their schema. Empty means all.
    #[serde(rename = "table.whitelist", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Database", "x-width" = "LONG", "x-display" = "Table Whitelist"))]
    pub whitelist: Vec<String>,
    /// Tables not to copy. Ignored if there is a whitelist.
    #[serde(rename = "table.blacklist", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Database", "x-width" = "LONG", "x-display" = "Table Blacklist"))]
    pub blacklist: Vec<String>,
    /// Schema whose tables are looked at, as an SQL LIKE pattern. Not given means all.
    #[serde(rename = "schema.pattern")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Database", "x-width" = "SHORT", "x-display" = "Schema pattern"))]
    pub schema_pattern: Option<String>,
    /// Kinds of tables to copy: TABLE, PARTITIONED TABLE, VIEW, MATERIALIZED VIEW, FOREIGN TABLE.
    #[serde(rename = "table.types", default = "table")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "Table Types"))]
    pub table_types: Vec<String>,
    /// How to find new rows each time a table is polled.
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Table Loading Mode"))]
    pub mode: Mode,
    /// The name of the strictly incrementing column. Empty means the table's auto-incremented one.
    #[serde(rename = "incrementing.column.name", default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Incrementing Column Name"))]
    pub incrementing_column: String,
    /// Timestamp columns; of several, the first that is not null counts.
    #[serde(rename = "timestamp.column.name", default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Timestamp Column Name"))]
    pub timestamp_columns: Vec<String>,
    /// Timestamp to start after, in milliseconds since the epoch, when there is no offset; -1 means now.
    #[serde(rename = "timestamp.initial")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Unix time value of initial timestamp"))]
    pub timestamp_initial: Option<i64>,
    /// Whether the incrementing and timestamp columns must be declared NOT NULL.
    #[serde(rename = "validate.non.null", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Validate Non Null"))]
    pub validate_non_null: bool,
    /// A SELECT to copy instead of tables.
    #[serde(default)]
    #[schemars(extend("x-group" = "Mode", "x-width" = "SHORT", "x-display" = "Query"))]
    pub query: String,
    /// Text to append to each query, such as LIMIT 100.
    #[serde(rename = "query.suffix", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Mode", "x-width" = "MEDIUM", "x-display" = "Query suffix"))]
    pub query_suffix: String,
    /// Pause in milliseconds between polls of a table.
    #[serde(rename = "poll.interval.ms", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Poll Interval (ms)"))]
    pub poll_interval: Millis<5000>,
    /// Most rows in one batch.
    #[serde(rename = "batch.max.rows", default = "rows")]
    #[schemars(range(min = 1), extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Max Rows Per Batch"))]
    pub batch_max_rows: u32,
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
    /// Whether rows with timestamps from the start of the oldest running transaction on wait until it has ended. Without
    /// it, rows that are committed late are lost, as they are with the JVM's connector.
    #[serde(rename = "timestamp.hold.back.running.transactions", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Connector", "x-width" = "SHORT", "x-display" = "Hold back running transactions"))]
    pub hold_back: bool,
    /// Time zone of timestamps that have none.
    #[serde(rename = "db.timezone", default = "utc")]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Connector", "x-width" = "MEDIUM", "x-display" = "DB time zone"))]
    pub timezone: String,
}

impl SourceConfig {
    /// What is wrong between keys.
    pub fn contradictions(&self) -> Vec<Invalid> {
        let mut invalid = Vec::new();
        let lists = !self.whitelist.is_empty() || !self.blacklist.is_empty();
        if !self.query.is_empty() && lists {
            let why = "Do not specify table filtering configs with 'query'. Remove table.whitelist / \
                       table.blacklist or query.";
            invalid.push(Invalid::new("query", why));
        }
        if !self.query.is_empty() && self.mode.increments() && self.incrementing_column.is_empty() {
            let why = "incrementing.column.name must be given with a query in this mode";
            invalid.push(Invalid::value("incrementing.column.name", "", why));
        }
        if self.mode.has_timestamp() && self.timestamp_columns.is_empty() {
            let why = "must be given in this mode";
            invalid.push(Invalid::value("timestamp.column.name", "", why));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let prefix = self.topic_prefix.trim();
        if prefix.len() > 249 || !prefix.chars().all(legal) {
            let why = "must be at most 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'";
            invalid.push(Invalid::value("topic.prefix", prefix, why));
        }
        invalid
    }
}

/// What is read: a table, or the query. Exactly the JSON that the JVM's connector stores.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Partition {
    /// `1` with a table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<String>,
    /// `schema.table`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    /// `query`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub query: Option<String>,
}

impl Partition {
    /// A table by its qualified name, unquoted.
    pub fn table(qualified: String) -> Self {
        Self { protocol: Some("1".into()), table: Some(qualified), query: None }
    }
    /// The query, whatever its text.
    pub fn query() -> Self {
        Self { query: Some("query".into()), ..Self::default() }
    }
}

/// How far a table was read. Exactly the JSON that the JVM's connector stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Offset {
    /// The whole fraction of the timestamp's second, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp_nanos: Option<i64>,
    /// Value of the incrementing column.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incrementing: Option<i64>,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp: Option<i64>,
}

impl Offset {
    /// The timestamp in microseconds since the epoch.
    pub fn micros(&self) -> Option<i64> {
        let millis = self.timestamp?;
        // Without the nanoseconds (old offsets), the milliseconds are all there is.
        let nanos = self.timestamp_nanos.unwrap_or_else(|| millis.rem_euclid(1000) * 1_000_000);
        Some(millis.div_euclid(1000) * 1_000_000 + nanos / 1000)
    }
    /// Sets the timestamp from microseconds since the epoch.
    #[must_use]
    pub fn at(mut self, micros: i64) -> Self {
        self.timestamp = Some(micros.div_euclid(1000));
        self.timestamp_nanos = Some(micros.rem_euclid(1_000_000) * 1000);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_jvms() {
        let json = |offset: Offset| serde_json::to_string(&offset).unwrap();
        let incrementing = Offset { incrementing: Some(9), ..Offset::default() };
        assert_eq!(json(incrementing), r#"{"incrementing":9}"#);
        let at = Offset::default().at(1_614_834_367_123_456);
        assert_eq!(json(at), r#"{"timestamp_nanos":123456000,"timestamp":1614834367123}"#);
        assert_eq!(at.micros(), Some(1_614_834_367_123_456));
        let both = Offset { incrementing: Some(2), ..Offset::default() }.at(1_609_459_200_000_001);
        assert_eq!(
            json(both),
            r#"{"timestamp_nanos":1000,"incrementing":2,"timestamp":1609459200000}"#
        );
        let old: Offset = serde_json::from_str(r#"{"timestamp":1500}"#).unwrap();
        assert_eq!(old.micros(), Some(1_500_000));
        assert_eq!(Offset::default().at(-1).micros(), Some(-1));
        let partition = Partition::table("public.t".into());
        assert_eq!(
            serde_json::to_string(&partition).unwrap(),
            r#"{"protocol":"1","table":"public.t"}"#
        );
        assert_eq!(serde_json::to_string(&Partition::query()).unwrap(), r#"{"query":"query"}"#);
    }
}
