//! Keys that every connector has.

use connect_core::{
    config::{ConfigKey, config_def},
    plugin::PluginType,
    transport::Subscription,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

fn one() -> u32 {
    1
}
fn three() -> i16 {
    3
}
fn yes() -> bool {
    true
}
fn minute() -> i64 {
    60_000
}

/// What to do with a record that cannot be read, converted or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tolerance {
    /// Fail the task.
    #[default]
    None,
    /// Skip it, after telling the dead letter queue if there is one.
    All,
}

/// What to do when a value that a config provider gave has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReloadAction {
    /// Nothing, until someone restarts the connector.
    None,
    /// Restart the connector.
    #[default]
    Restart,
}

/// Whether a source needs exactly-once delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExactlyOnce {
    /// Refuse the configuration where it cannot be had.
    Required,
    /// Use it where it can be had.
    #[default]
    Requested,
}

/// What bounds a transaction of source records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransactionBoundary {
    /// Time.
    Interval,
    /// Each batch that the task returns from a poll.
    #[default]
    Poll,
    /// The connector itself.
    Connector,
}

/// Keys of every connector (`org.apache.kafka.connect.runtime.ConnectorConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ConnectorConfig {
    /// Globally unique name to use for this connector.
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-order" = 1, "x-width" = "MEDIUM", "x-display" = "Connector name"))]
    pub name: String,
    /// Name or alias of the class for this connector.
    #[serde(rename = "connector.class")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-order" = 2, "x-width" = "LONG", "x-display" = "Connector class"))]
    pub class: String,
    /// Version of the connector: a version, or a range such as [1.0,2.0). The latest that is there, if not given.
    #[serde(rename = "connector.plugin.version")]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Common", "x-order" = 3, "x-width" = "MEDIUM", "x-display" = "Connector version"))]
    pub class_version: Option<String>,
    /// Maximum number of tasks to use for this connector.
    #[serde(rename = "tasks.max", default = "one")]
    #[schemars(range(min = 1, max = 2147483647), extend("x-importance" = "HIGH", "x-group" = "Common", "x-order" = 4, "x-width" = "SHORT", "x-display" = "Tasks max"))]
    pub tasks_max: u32,
    /// Whether a connector that makes more tasks than tasks.max fails. Ours never makes more.
    #[serde(rename = "tasks.max.enforce", default = "yes")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 5, "x-width" = "SHORT", "x-display" = "Enforce tasks max"))]
    pub tasks_max_enforce: bool,
    /// Converter class for the keys of records; the worker's, if not given.
    #[serde(rename = "key.converter")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 6, "x-width" = "SHORT", "x-class" = true, "x-display" = "Key converter class"))]
    pub key_converter: Option<String>,
    /// Version of the key converter: a version, or a range.
    #[serde(rename = "key.converter.plugin.version")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 7, "x-width" = "SHORT", "x-display" = "Key converter version"))]
    pub key_converter_version: Option<String>,
    /// Converter class for the values of records; the worker's, if not given.
    #[serde(rename = "value.converter")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 8, "x-width" = "SHORT", "x-class" = true, "x-display" = "Value converter class"))]
    pub value_converter: Option<String>,
    /// Version of the value converter: a version, or a range.
    #[serde(rename = "value.converter.plugin.version")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 9, "x-width" = "SHORT", "x-display" = "Value converter version"))]
    pub value_converter_version: Option<String>,
    /// Converter class for the headers of records; the worker's, if not given.
    #[serde(rename = "header.converter")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 10, "x-width" = "SHORT", "x-class" = true, "x-display" = "Header converter class"))]
    pub header_converter: Option<String>,
    /// Version of the header converter: a version, or a range.
    #[serde(rename = "header.converter.plugin.version")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 11, "x-width" = "SHORT", "x-display" = "Header converter version"))]
    pub header_converter_version: Option<String>,
    /// Aliases for the transformations to be applied to records, in this order.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Transforms", "x-order" = 12, "x-width" = "LONG", "x-display" = "Transforms"))]
    pub transforms: Vec<String>,
    /// Aliases for the predicates used by transformations.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Predicates", "x-order" = 13, "x-width" = "LONG", "x-display" = "Predicates"))]
    pub predicates: Vec<String>,
    /// What to do when a value that a config provider gave has changed: restart the connector, or nothing.
    #[serde(rename = "config.action.reload", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-order" = 14, "x-width" = "MEDIUM", "x-exact-case" = true, "x-display" = "Reload Action"))]
    pub reload: ReloadAction,
    /// How long a failed operation is tried again, in milliseconds: 0 not at all, -1 for ever.
    #[serde(rename = "errors.retry.timeout", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 1, "x-width" = "MEDIUM", "x-display" = "Retry Timeout for Errors"))]
    pub retry_timeout: i64,
    /// Longest pause between two attempts, in milliseconds. Pauses grow up to it, with jitter.
    #[serde(rename = "errors.retry.delay.max.ms", default = "minute")]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 2, "x-width" = "MEDIUM", "x-display" = "Maximum Delay Between Retries for Errors"))]
    pub retry_delay: i64,
    /// Behavior for tolerating errors during connector operation: none fails the task, all skips the record.
    #[serde(rename = "errors.tolerance", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 3, "x-width" = "SHORT", "x-exact-case" = true, "x-display" = "Error Tolerance"))]
    pub tolerance: Tolerance,
    /// If true, write each error and the details of the failed operation and problematic record to the log. By default
    /// only errors that are not tolerated are.
    #[serde(rename = "errors.log.enable", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 4, "x-width" = "SHORT", "x-display" = "Log Errors"))]
    pub log_errors: bool,
    /// Whether the log shows the record that failed: of a sink its place in the log, of a source its key, value and
    /// headers.
    #[serde(rename = "errors.log.include.messages", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 5, "x-width" = "SHORT", "x-display" = "Log Error Details"))]
    pub log_messages: bool,
}

/// Keys that every source has besides (`org.apache.kafka.connect.runtime.SourceConnectorConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SourceConfig {
    /// Groups of configurations for topics created by source connectors.
    #[serde(rename = "topic.creation.groups", default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Topic Creation", "x-order" = 1, "x-width" = "LONG", "x-display" = "Topic Creation Groups"))]
    pub topic_groups: Vec<String>,
    /// Permitted values are requested and required. required refuses the configuration where exactly-once delivery
    /// cannot be had; requested uses it where it can.
    #[serde(rename = "exactly.once.support", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Exactly Once Support", "x-order" = 2, "x-width" = "SHORT", "x-any-case" = true, "x-display" = "Exactly once support"))]
    pub exactly_once: ExactlyOnce,
    /// How transactions of records are bounded, if exactly-once delivery is in use.
    #[serde(rename = "transaction.boundary", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Exactly Once Support", "x-order" = 3, "x-width" = "SHORT", "x-any-case" = true, "x-display" = "Transaction Boundary"))]
    pub boundary: TransactionBoundary,
    /// With transaction.boundary=interval, how often a transaction is committed, in milliseconds.
    #[serde(rename = "transaction.boundary.interval.ms")]
    #[schemars(range(min = 0), extend("x-importance" = "LOW", "x-group" = "Exactly Once Support", "x-order" = 4, "x-width" = "SHORT", "x-display" = "Transaction boundary interval"))]
    pub boundary_interval: Option<i64>,
    /// The name of a separate offsets topic to use for this connector.
    #[serde(rename = "offsets.storage.topic")]
    #[schemars(length(min = 1), extend("x-importance" = "LOW", "x-group" = "offsets.topic", "x-order" = 1, "x-width" = "LONG", "x-display" = "Offsets topic"))]
    pub offsets_topic: Option<String>,
}

/// Keys that every sink has besides (`org.apache.kafka.connect.runtime.SinkConnectorConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SinkConfig {
    /// List of topics to consume, separated by commas.
    #[serde(default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-order" = 4, "x-width" = "LONG", "x-display" = "Topics"))]
    pub topics: Vec<String>,
    /// Regular expression giving topics to consume. Under the hood, the regex is compiled to a pattern that must match
    /// the whole name. Only one of topics or topics.regex should be specified.
    #[serde(rename = "topics.regex", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-order" = 4, "x-width" = "LONG", "x-display" = "Topics regex"))]
    pub topics_regex: String,
}

/// Keys of the dead letter queue: of sinks as the JVM's, and of sources too, which have none there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct QueueConfig {
    /// The name of the topic to be used as the dead letter queue (DLQ) for messages that result in an error when
    /// processed by this connector, or its transformations or converters. None, if empty.
    #[serde(rename = "errors.deadletterqueue.topic.name", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 6, "x-width" = "MEDIUM", "x-display" = "Dead Letter Queue Topic Name"))]
    pub topic: String,
    /// Replication factor used to create the dead letter queue topic when it doesn't already exist.
    #[serde(rename = "errors.deadletterqueue.topic.replication.factor", default = "three")]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 7, "x-width" = "MEDIUM", "x-display" = "Dead Letter Queue Topic Replication Factor"))]
    pub replication: i16,
    /// If true, add headers containing error context to the messages written to the dead letter queue.
    #[serde(rename = "errors.deadletterqueue.context.headers.enable", default)]
    #[schemars(extend("x-importance" = "MEDIUM", "x-group" = "Error Handling", "x-order" = 8, "x-width" = "MEDIUM", "x-display" = "Enable Error Context Headers"))]
    pub headers: bool,
}

impl SinkConfig {
    /// What the sink reads.
    pub fn subscription(&self) -> Subscription {
        match self.topics_regex.as_str() {
            "" => Subscription::Topics(self.topics.clone()),
            pattern => Subscription::Pattern(pattern.to_owned()),
        }
    }
}

/// The framework's definitions for a connector of this type.
pub fn framework_keys(ty: PluginType) -> Vec<ConfigKey> {
    let mut keys = config_def::<ConnectorConfig>();
    keys.extend(match ty {
        PluginType::Source => config_def::<SourceConfig>(),
        PluginType::Sink => config_def::<SinkConfig>(),
    });
    keys.extend(config_def::<QueueConfig>());
    keys
}
