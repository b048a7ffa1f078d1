//! Configuration of the worker (`org.apache.kafka.connect.runtime.distributed.DistributedConfig`).

use connect_core::{
    config::{Invalid, Millis, Properties, Resolve, config_def, parse},
    error::{Error, Result},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::below;

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
fn idle_consumers() -> i64 {
    50
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
fn simple() -> String {
    "org.apache.kafka.connect.storage.SimpleHeaderConverter".into()
}
fn all() -> String {
    "All".into()
}
fn yes() -> bool {
    true
}

/// Whether sources may ask for exactly-once delivery (KIP-618).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExactlyOnceSource {
    /// They may not.
    #[default]
    Disabled,
    /// First step of a rolling upgrade.
    Preparing,
    /// They may.
    Enabled,
}

/// What connectors may override of their clients' settings
/// (`org.apache.kafka.connect.connector.policy.ConnectorClientConfigOverridePolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverridePolicy {
    All,
    None,
    /// Who the client is.
    Principal,
    /// What the worker lists (KIP-1188).
    Allowlist,
}

impl OverridePolicy {
    const KEY: &str = "connector.client.config.override.policy";
    const ALL: [(&str, Self); 4] = [
        ("All", Self::All),
        ("None", Self::None),
        ("Principal", Self::Principal),
        ("Allowlist", Self::Allowlist),
    ];

    /// By its name, or that of its class.
    fn parse(name: &str) -> Result<Self> {
        let short = name.strip_prefix("org.apache.kafka.connect.connector.policy.").unwrap_or(name);
        let short = short.strip_suffix("ConnectorClientConfigOverridePolicy").unwrap_or(short);
        let found = Self::ALL.iter().find(|(known, _)| *known == short);
        found.map(|(_, policy)| *policy).ok_or_else(|| {
            let why = "All, None, Principal or Allowlist expected";
            Error::config(Invalid::value(Self::KEY, name, why).message())
        })
    }
}

/// What the policy Principal allows.
const PRINCIPAL: &[&str] = &["sasl.jaas.config", "sasl.mechanism", "security.protocol"];

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
    /// How long a worker that is not heard of stays in the group: then what it ran goes to others.
    #[serde(rename = "session.timeout.ms", default)]
    pub session_timeout: Millis<10_000>,
    /// How often a worker tells that it is there.
    #[serde(rename = "heartbeat.interval.ms", default)]
    pub heartbeat_interval: Millis<3000>,
    /// How long workers may take to join again when the group changes.
    #[serde(rename = "rebalance.timeout.ms", default)]
    pub rebalance_timeout: Millis<60_000>,
    /// How long what a lost worker ran waits for it to return, before it goes to others.
    #[serde(rename = "scheduled.rebalance.max.delay.ms", default)]
    pub rebalance_delay: Millis<3000>,
    /// The name of the topic by which workers of a group coordinate; `<group.id>-cluster`, if not given.
    #[serde(rename = "cluster.storage.topic")]
    pub cluster_topic: Option<String>,
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
    /// Converter class for the headers of records.
    #[serde(rename = "header.converter", default = "simple")]
    pub header_converter: String,
    /// Names of the providers that `${provider:path:key}` in configurations refers to.
    #[serde(rename = "config.providers", default)]
    pub config_providers: Vec<String>,
    /// Whether the worker creates the topics of sources whose configuration has `topic.creation.` keys.
    #[serde(rename = "topic.creation.enable", default = "yes")]
    pub topic_creation: bool,
    /// Whether the topics that each connector uses are remembered.
    #[serde(rename = "topic.tracking.enable", default = "yes")]
    pub topic_tracking: bool,
    /// Whether a user may have the topics of a connector forgotten.
    #[serde(rename = "topic.tracking.allow.reset", default = "yes")]
    pub topic_tracking_reset: bool,
    /// Whether sources may ask for exactly-once delivery.
    #[serde(rename = "exactly.once.source.support", default)]
    #[schemars(extend("x-any-case" = true))]
    pub exactly_once: ExactlyOnceSource,
    /// Which settings of its Kafka clients a connector may override: All, None, Allowlist, or Principal, which is
    /// deprecated.
    #[serde(rename = "connector.client.config.override.policy", default = "all")]
    pub override_policy: String,
    /// The settings that connectors may override under the policy Allowlist; none, if empty.
    #[serde(rename = "connector.client.config.override.allowlist", default)]
    pub override_allowlist: Vec<String>,
    /// Show the values of PASSWORD keys as `[hidden]` in every answer; a `[hidden]` that is sent back means unchanged.
    #[serde(rename = "rest.secrets.mask", default)]
    pub mask_secrets: bool,
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
    /// How many consumers of sinks may keep their place in their group while they have nothing to read. Beyond it, the one that
    /// is idle for the longest time leaves its group and comes back when there is something to read; -1: all of them stay.
    #[serde(rename = "idle.consumers.max", default = "idle_consumers")]
    pub idle_consumers: i64,
    /// Interval at which to try committing offsets for tasks.
    #[serde(rename = "offset.flush.interval.ms", default)]
    pub offset_flush_interval: Millis<60_000>,
}

impl WorkerConfig {
    /// The topic by which workers of the group coordinate.
    pub fn cluster_topic(&self) -> String {
        self.cluster_topic.clone().unwrap_or_else(|| format!("{}-cluster", self.group_id))
    }
}

/// A worker's configuration with the properties that are passed on: converters', clients'.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The keys that the worker itself reads.
    pub config: WorkerConfig,
    /// Everything.
    pub properties: Properties,
    overrides: OverridePolicy,
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
    "config.providers.",
    "listeners.",
    "access.control.",
];
/// Settings that all Kafka clients of the worker share.
const CLIENT_KEYS: &[&str] = &[
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "receive.buffer.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "security.protocol",
    "security.providers",
    "send.buffer.bytes",
    "socket.connection.setup.timeout.max.ms",
    "socket.connection.setup.timeout.ms",
];
/// Read by the JVM's workers to coordinate in their own way.
const JVM_KEYS: &[&str] = &[
    "connect.protocol",
    "worker.sync.timeout.ms",
    "worker.unsync.backoff.ms",
    "inter.worker.key.generation.algorithm",
    "inter.worker.key.size",
    "inter.worker.key.ttl.ms",
    "inter.worker.signature.algorithm",
    "inter.worker.verification.algorithms",
];
/// Read by the REST API.
const REST_KEYS: &[&str] = &["admin.listeners", "response.http.headers.config"];

impl Worker {
    /// Parses the properties.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config), naming every bad key.
    pub fn parse(properties: Properties) -> Result<Self> {
        let config: WorkerConfig = parse(&properties)?;
        let overrides = OverridePolicy::parse(config.override_policy.trim())?;
        Ok(Self { config, properties, overrides })
    }

    /// Keys that nothing reads, for one warning.
    pub fn unknown_keys(&self) -> Vec<&str> {
        let known = config_def::<WorkerConfig>();
        let keys = self.properties.keys().filter(|key| {
            !known.iter().any(|k| k.name == **key)
                && !PREFIXES.iter().any(|prefix| key.starts_with(prefix))
                && !CLIENT_KEYS.contains(&key.as_str())
                && !JVM_KEYS.contains(&key.as_str())
                && !REST_KEYS.contains(&key.as_str())
        });
        keys.map(String::as_str).collect()
    }

    /// Settings of every Kafka client: `security.protocol`, `sasl.*`, `ssl.*`.
    pub fn client_properties(&self) -> Properties {
        let protocol = self.properties.get("security.protocol");
        let tls = protocol.is_some_and(|name| name.to_ascii_uppercase().ends_with("SSL"));
        let shared = self.properties.iter().filter(|(key, _)| {
            // Without TLS they are the REST API's alone.
            (tls && key.starts_with("ssl."))
                || key.starts_with("sasl.")
                || CLIENT_KEYS.contains(&key.as_str())
        });
        shared.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Why a connector may not override a client's setting, in the words of
    /// `AbstractConnectorClientConfigOverridePolicy`; none if it may.
    pub fn forbids_override(&self, key: &str) -> Option<String> {
        let (name, allowed) = match self.overrides {
            OverridePolicy::All => return None,
            OverridePolicy::None => ("None", false),
            OverridePolicy::Principal => ("Principal", PRINCIPAL.contains(&key)),
            OverridePolicy::Allowlist => {
                ("Allowlist", self.config.override_allowlist.iter().any(|listed| listed == key))
            }
        };
        (!allowed).then(|| {
            format!(
                "The '{name}' policy does not allow '{key}' to be overridden in the connector configuration."
            )
        })
    }

    /// Settings of the client that asks about topics and creates them.
    pub fn admin_properties(&self) -> Properties {
        let mut own = below(&self.properties, "admin.");
        // The REST API's.
        own.remove("listeners");
        own
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

    /// Whether sources may ask for exactly-once delivery.
    pub fn enables_exactly_once(&self) -> bool {
        self.config.exactly_once == ExactlyOnceSource::Enabled
    }

    /// Whether sources deliver exactly once: on Kafka if the worker is told so, on the embedded log always.
    pub fn exactly_once(&self) -> bool {
        self.enables_exactly_once() || self.config.bootstrap_servers.is_none()
    }

    /// Whether the leader writes the config topic in transactions, which fence an earlier leader (KIP-618).
    pub fn fences_leaders(&self) -> bool {
        self.config.exactly_once != ExactlyOnceSource::Disabled
    }

    /// Name under which a task's transactions are fenced (KIP-618, `Worker.taskTransactionalId`).
    pub fn transactional_id(&self, connector: &str, task: u32) -> String {
        format!("{}-{connector}-{task}", self.config.group_id)
    }

    /// `host:port` under which statuses show this worker (`RestServer.advertisedUrl`): as it is configured, else as it listens,
    /// else by the machine's name.
    pub fn id(&self) -> String {
        let listener = self.config.listeners.first().and_then(|uri| uri.split_once("://"));
        let (host, port) = listener.and_then(|(_, rest)| rest.rsplit_once(':')).unwrap_or_default();
        let everywhere = ["", "0.0.0.0", "[::]"].contains(&host);
        let host = match &self.config.advertised_host {
            Some(host) => host.clone(),
            None if everywhere => machine(),
            None => host.to_owned(),
        };
        let own = self.config.advertised_port.or(self.config.rest_port);
        format!("{host}:{}", own.or(port.parse().ok()).unwrap_or(8083))
    }
}

/// The machine's name in its network.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" | "(none)" => "127.0.0.1".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pairs: &[(&str, &str)]) -> Worker {
        Worker::parse(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
            .unwrap()
    }

    #[test]
    fn the_policy_says_what_connectors_may_override() {
        let key = "connector.client.config.override.policy";
        let class =
            "org.apache.kafka.connect.connector.policy.NoneConnectorClientConfigOverridePolicy";
        let forbidden = |policy: &str, name: &str| {
            let list = ("connector.client.config.override.allowlist", "acks, linger.ms");
            worker(&[(key, policy), list]).forbids_override(name)
        };
        assert_eq!(worker(&[]).forbids_override("acks"), None);
        assert_eq!(forbidden("All", "acks"), None);
        let said = "The 'None' policy does not allow 'acks' to be overridden in the connector configuration.";
        assert_eq!(forbidden("None", "acks").as_deref(), Some(said));
        assert_eq!(forbidden(class, "acks").as_deref(), Some(said));
        assert_eq!(forbidden("Principal", "sasl.jaas.config"), None);
        assert!(forbidden("Principal", "acks").is_some());
        assert_eq!(forbidden("Allowlist", "linger.ms"), None);
        assert!(forbidden("Allowlist", "batch.size").is_some());
        let wrong = Properties::from([(key.to_owned(), "Some".to_owned())]);
        let error = Worker::parse(wrong).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("Allowlist"), "{error}");
    }

    #[test]
    fn admin_keys_are_the_clients_but_for_the_listeners() {
        let worker = worker(&[("admin.listeners", "http://:1"), ("admin.request.timeout.ms", "5")]);
        let admin = worker.admin_properties();
        assert_eq!(admin, Properties::from([("request.timeout.ms".to_owned(), "5".to_owned())]));
    }

    #[test]
    fn a_worker_is_known_by_where_it_can_be_reached() {
        let id = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Worker::parse(pairs.collect()).unwrap().id()
        };
        assert_eq!(id(&[("listeners", "http://10.0.0.7:80,https://h:81")]), "10.0.0.7:80");
        assert_eq!(id(&[("listeners", "http://h:80"), ("rest.advertised.host.name", "a")]), "a:80");
        assert_eq!(id(&[]), format!("{}:8083", machine()));
        assert_eq!(id(&[("listeners", "http://0.0.0.0:9")]), format!("{}:9", machine()));
    }
}
