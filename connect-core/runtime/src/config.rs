//! Configuration of the worker, and the keys that every connector has.

use std::collections::BTreeMap;

use connect_core::{
    config::{ConfigKey, Invalid, Millis, Properties, Resolve, config_def, parse, validate},
    error::Result,
    plugin::PluginType,
    registry::Registry,
    transport::Subscription,
};
use schemars::JsonSchema;
use serde::Deserialize;

fn configs() -> String {
    "connect-configs".into()
}
fn offsets() -> String {
    "connect-offsets".into()
}
fn statuses() -> String {
    "connect-status".into()
}
fn listeners() -> Vec<String> {
    vec!["http://:8083".into()]
}
fn group() -> String {
    "connect-cluster".into()
}
fn replication() -> i16 {
    3
}
fn offset_partitions() -> i32 {
    25
}
fn status_partitions() -> i32 {
    5
}
fn json() -> String {
    "org.apache.kafka.connect.json.JsonConverter".into()
}

/// Keys of the worker (`org.apache.kafka.connect.runtime.distributed.DistributedConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct WorkerConfig {
    /// A list of host/port pairs of the Kafka cluster. Without it the worker runs on the embedded log.
    #[serde(rename = "bootstrap.servers")]
    pub bootstrap_servers: Option<String>,
    /// Directory of the embedded log.
    #[serde(rename = "log.dir")]
    pub log_dir: Option<String>,
    /// Where host names lead, as a list of host:port:addr:port.
    #[serde(default)]
    pub resolve: Resolve,
    /// A unique string that identifies the Connect cluster group this worker belongs to.
    #[serde(rename = "group.id", default = "group")]
    pub group_id: String,
    /// The name of the Kafka topic where connector configurations are stored.
    #[serde(rename = "config.storage.topic", default = "configs")]
    pub config_topic: String,
    /// Replication factor used when creating the configuration storage topic.
    #[serde(rename = "config.storage.replication.factor", default = "replication")]
    pub config_replication: i16,
    /// The name of the Kafka topic where source connector offsets are stored.
    #[serde(rename = "offset.storage.topic", default = "offsets")]
    pub offset_topic: String,
    /// Replication factor used when creating the offset storage topic.
    #[serde(rename = "offset.storage.replication.factor", default = "replication")]
    pub offset_replication: i16,
    /// The number of partitions used when creating the offset storage topic.
    #[serde(rename = "offset.storage.partitions", default = "offset_partitions")]
    pub offset_partitions: i32,
    /// The name of the Kafka topic where connector and task status are stored.
    #[serde(rename = "status.storage.topic", default = "statuses")]
    pub status_topic: String,
    /// Replication factor used when creating the status storage topic.
    #[serde(rename = "status.storage.replication.factor", default = "replication")]
    pub status_replication: i16,
    /// The number of partitions used when creating the status storage topic.
    #[serde(rename = "status.storage.partitions", default = "status_partitions")]
    pub status_partitions: i32,
    /// Converter class for the keys of records.
    #[serde(rename = "key.converter", default = "json")]
    pub key_converter: String,
    /// Converter class for the values of records.
    #[serde(rename = "value.converter", default = "json")]
    pub value_converter: String,
    /// List of URIs the REST API will listen on.
    #[serde(default = "listeners")]
    pub listeners: Vec<String>,
    /// Port of the REST API, if listeners is not given (the key of old workers, which people still have).
    #[serde(rename = "rest.port")]
    pub rest_port: Option<u16>,
    /// The host name that other workers and the statuses know this worker by.
    #[serde(rename = "rest.advertised.host.name")]
    pub advertised_host: Option<String>,
    /// The port that other workers and the statuses know this worker by.
    #[serde(rename = "rest.advertised.port")]
    pub advertised_port: Option<u16>,
    /// Most time to wait until the records in flight are durable when a task stops.
    #[serde(rename = "task.shutdown.graceful.timeout.ms", default)]
    pub shutdown_timeout: Millis<5000>,
    /// Interval at which to try committing offsets for tasks.
    #[serde(rename = "offset.flush.interval.ms", default)]
    pub offset_flush_interval: Millis<60_000>,
}

/// A worker's configuration with the properties that are passed on: converters', clients'.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The keys that the worker itself reads.
    pub config: WorkerConfig,
    /// Everything.
    pub properties: Properties,
}

/// Prefixes of keys that belong to someone else.
const PREFIXES: &[&str] = &[
    "key.converter.",
    "value.converter.",
    "header.converter",
    "producer.",
    "consumer.",
    "admin.",
    "ssl.",
    "sasl.",
    "plugin.",
    "rest.",
    "log4j",
];
/// Settings that all Kafka clients of the worker share.
const CLIENT_KEYS: &[&str] = &["security.protocol", "client.id", "client.rack"];

impl Worker {
    /// Parses the properties.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config), naming every bad key.
    pub fn parse(properties: Properties) -> Result<Self> {
        Ok(Self { config: parse(&properties)?, properties })
    }

    /// Keys that nothing reads, for one warning.
    pub fn unknown_keys(&self) -> Vec<&str> {
        let known = config_def::<WorkerConfig>();
        let keys = self.properties.keys().filter(|key| {
            !known.iter().any(|k| k.name == **key)
                && !PREFIXES.iter().any(|prefix| key.starts_with(prefix))
                && !CLIENT_KEYS.contains(&key.as_str())
        });
        keys.map(String::as_str).collect()
    }

    /// Settings of every Kafka client: `security.protocol`, `sasl.*`, `ssl.*`.
    pub fn client_properties(&self) -> Properties {
        let shared = self.properties.iter().filter(|(key, _)| {
            key.starts_with("ssl.")
                || key.starts_with("sasl.")
                || CLIENT_KEYS.contains(&key.as_str())
        });
        shared.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// The properties that a plugin is given: the connector's, and where host names lead on this worker.
    pub fn plugin_properties(&self, connector: &Properties) -> Properties {
        let mut properties = connector.clone();
        let resolve = self.config.resolve.to_string();
        if !resolve.is_empty() {
            properties.entry("resolve".into()).or_insert(resolve);
        }
        properties
    }

    /// `host:port` under which statuses show this worker.
    pub fn id(&self) -> String {
        let host = self.config.advertised_host.clone().unwrap_or_else(|| "127.0.0.1".into());
        let port = self.config.advertised_port.or(self.config.rest_port);
        let listener =
            self.config.listeners.first().and_then(|l| l.rsplit(':').next()?.parse().ok());
        format!("{host}:{}", port.or(listener).unwrap_or(8083))
    }
}

fn one() -> u32 {
    1
}

/// What to do with a record that cannot be read, converted or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tolerance {
    /// Fail the task.
    #[default]
    None,
    /// Skip it, after telling the dead letter queue if there is one.
    All,
}

/// Keys that every connector has (`org.apache.kafka.connect.runtime.ConnectorConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ConnectorConfig {
    /// Globally unique name to use for this connector.
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-display" = "Connector name"))]
    pub name: String,
    /// Name or alias of the class for this connector.
    #[serde(rename = "connector.class")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-width" = "LONG", "x-display" = "Connector class"))]
    pub class: String,
    /// Maximum number of tasks to use for this connector.
    #[serde(rename = "tasks.max", default = "one")]
    #[schemars(range(min = 1), extend("x-importance" = "HIGH", "x-group" = "Common", "x-width" = "SHORT", "x-display" = "Tasks max"))]
    pub tasks_max: u32,
    /// Converter class for the keys of records; the worker's, if not given.
    #[serde(rename = "key.converter")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-width" = "SHORT", "x-class" = true, "x-display" = "Key converter class"))]
    pub key_converter: Option<String>,
    /// Converter class for the values of records; the worker's, if not given.
    #[serde(rename = "value.converter")]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Common", "x-width" = "SHORT", "x-class" = true, "x-display" = "Value converter class"))]
    pub value_converter: Option<String>,
    /// Aliases for the transformations to be applied to records.
    #[serde(default)]
    #[schemars(extend("x-importance" = "LOW", "x-group" = "Transforms", "x-width" = "LONG", "x-display" = "Transforms"))]
    pub transforms: Vec<String>,
    /// Behavior for tolerating errors during connector operation.
    #[serde(rename = "errors.tolerance", default)]
    #[schemars(extend("x-group" = "Error Handling", "x-width" = "SHORT", "x-display" = "Error Tolerance"))]
    pub tolerance: Tolerance,
    /// If true, write each error and the details of the failed operation and problematic record to the
    /// application log.
    #[serde(rename = "errors.log.enable", default)]
    #[schemars(extend("x-group" = "Error Handling", "x-width" = "SHORT", "x-display" = "Log Errors"))]
    pub log_errors: bool,
}

/// Keys that every sink has besides (`org.apache.kafka.connect.runtime.SinkConnectorConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SinkConfig {
    /// List of topics to consume, separated by commas.
    #[serde(default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-width" = "LONG", "x-display" = "Topics"))]
    pub topics: Vec<String>,
    /// Regular expression giving topics to consume.
    #[serde(rename = "topics.regex", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Common", "x-width" = "LONG", "x-display" = "Topics regex"))]
    pub topics_regex: Option<String>,
    /// The name of the topic to be used as the dead letter queue (DLQ) for messages that result in an error when
    /// processed by this sink connector, or its transformations or converters.
    #[serde(rename = "errors.deadletterqueue.topic.name", default)]
    #[schemars(extend("x-group" = "Error Handling", "x-display" = "Dead Letter Queue Topic Name"))]
    pub dlq_topic: Option<String>,
    /// Replication factor used to create the dead letter queue topic when it doesn't already exist.
    #[serde(rename = "errors.deadletterqueue.topic.replication.factor", default = "replication")]
    #[schemars(extend("x-group" = "Error Handling", "x-display" = "Dead Letter Queue Topic Replication Factor"))]
    pub dlq_replication: i16,
    /// If true, add headers containing error context to the messages written to the dead letter queue.
    #[serde(rename = "errors.deadletterqueue.context.headers.enable", default)]
    #[schemars(extend("x-group" = "Error Handling", "x-display" = "Enable Error Context Headers"))]
    pub dlq_headers: bool,
}

impl SinkConfig {
    /// What the sink reads.
    pub fn subscription(&self) -> Subscription {
        match &self.topics_regex {
            Some(pattern) => Subscription::Pattern(pattern.clone()),
            None => Subscription::Topics(self.topics.clone()),
        }
    }
}

/// The framework's definitions for a connector of this type.
pub fn framework_keys(ty: PluginType) -> Vec<ConfigKey> {
    let mut keys = config_def::<ConnectorConfig>();
    if ty == PluginType::Sink {
        keys.extend(config_def::<SinkConfig>());
    }
    keys
}

/// Checks the framework's keys.
pub fn validate_framework(
    registry: &Registry,
    ty: PluginType,
    properties: &Properties,
) -> Vec<Invalid> {
    let mut invalid = validate(&framework_keys(ty), properties);
    if properties.get("name").is_some_and(|name| name.trim().is_empty()) {
        invalid.push(Invalid::value("name", "", "String may not be empty"));
    }
    for key in ["key.converter", "value.converter"] {
        if let Some(class) = properties.get(key)
            && registry.find_converter(class).is_none()
        {
            let why = format!("Class {class} could not be found.");
            invalid.push(Invalid::value(key, class, &why));
        }
    }
    for key in ["transforms", "predicates"] {
        if let Some(aliases) = properties.get(key).filter(|aliases| !aliases.trim().is_empty()) {
            let why = "transformations and predicates are not supported by this version";
            invalid.push(Invalid::value(key, aliases, why));
        }
    }
    if ty == PluginType::Sink {
        let given = |key: &str| properties.get(key).is_some_and(|value| !value.trim().is_empty());
        let why = match (given("topics"), given("topics.regex")) {
            (false, false) => Some("Must configure one of topics or topics.regex"),
            (true, true) => {
                Some("topics and topics.regex are mutually exclusive options, but both are set.")
            }
            _ => None,
        };
        for key in ["topics", "topics.regex"] {
            invalid.extend(why.map(|why| Invalid::new(key, why)));
        }
    }
    invalid
}

/// The properties below a prefix, with the prefix removed.
pub fn below(properties: &Properties, prefix: &str) -> BTreeMap<String, String> {
    let entries = properties
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
    entries.collect()
}
