//! From the settings of Kafka's own clients to librdkafka's.

mod convert;
mod jaas;
mod sasl;
mod table;
mod tls;

use std::collections::{BTreeMap, HashMap};

use connect_core::error::{Error, Result};
use rdkafka::{
    config::{ClientConfig, RDKafkaLogLevel},
    error::KafkaError,
    types::RDKafkaConfRes,
};

pub use table::reference;

use crate::oauth::Login;
use table::{Client, Meaning};

/// Names that librdkafka has for one setting, each with the one that is used here.
const ALIASES: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("sasl.mechanisms", "sasl.mechanism"),
];

/// Keys that a client of another cluster doesn't share with the worker's.
fn is_security(key: &str) -> bool {
    key == "security.protocol" || key.starts_with("ssl.") || key.starts_with("sasl.")
}

/// The most in flight with which an idempotent producer keeps the order.
const MOST_IN_FLIGHT: i64 = 5;
/// The highest level of compression that librdkafka takes, whatever the codec.
const MOST_COMPRESSION: i64 = 12;

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq)]
struct Problem(String);

impl Problem {
    /// Of a value that may be shown.
    fn value(key: &str, value: &str, why: &str) -> Self {
        Self(format!("Invalid value {value} for configuration {key}: {why}"))
    }
    /// Of a value that may not.
    fn secret(key: &str, why: &str) -> Self {
        Self(format!("Invalid value for configuration {key}: {why}"))
    }
    fn of(key: &str, value: &str, why: &str) -> Self {
        if table::is_secret(key) { Self::secret(key, why) } else { Self::value(key, value, why) }
    }
    fn message(&self) -> &str {
        &self.0
    }
}

/// What a client is opened with.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) config: ClientConfig,
    /// Where its tokens are from, if it authenticates by OAUTHBEARER.
    pub(crate) login: Option<Login>,
}

/// Settings of librdkafka by their names, with the key that each is from.
type Settings = BTreeMap<String, (String, String)>;

/// What the clients of a worker share, and where they go.
#[derive(Clone)]
pub(crate) struct Clients {
    bootstrap: String,
    shared: BTreeMap<String, String>,
}

impl Clients {
    pub(crate) fn new(bootstrap: &str, shared: &BTreeMap<String, String>) -> Self {
        Self { bootstrap: bootstrap.to_owned(), shared: shared.clone() }
    }

    /// The same with more keys that all of them share.
    pub(crate) fn with(&self, own: &BTreeMap<String, String>) -> Self {
        Self { bootstrap: self.bootstrap.clone(), shared: self.merged(own) }
    }

    /// A client that asks about topics and groups, and creates them.
    pub(crate) fn admin(&self) -> Result<Prepared> {
        self.prepare(Client::Admin, &[], &BTreeMap::new())
    }

    /// A producer that loses and reorders nothing: Connect's own defaults (`Worker.baseProducerConfigs`) with
    /// idempotence.
    pub(crate) fn producer(
        &self,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Prepared> {
        let defaults = [
            ("client.id", client_id),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // For ever, as Connect's delivery.timeout.ms=2147483647: a broker that is down stops the task, no more.
            ("message.timeout.ms", "0"),
            // As max.request.size of the Java client.
            ("message.max.bytes", "1048576"),
            // The partitioner of the Java clients: a key keeps its partition when a cluster is taken over.
            ("partitioner", "murmur2_random"),
            ("linger.ms", "2"),
        ];
        self.prepare(Client::Producer, &defaults, properties)
    }

    /// A consumer whose offsets are committed by the task that has delivered the records.
    pub(crate) fn consumer(
        &self,
        client_id: &str,
        group: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Prepared> {
        let defaults = [
            ("client.id", client_id),
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("allow.auto.create.topics", "true"),
            // As the Java client; librdkafka's own default is the other one.
            ("isolation.level", "read_uncommitted"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "3000"),
            // Bounds what is fetched ahead: memory stays flat whatever the topic holds.
            ("queued.max.messages.kbytes", "2048"),
            // Not by the size alone: beside a small message, what librdkafka keeps for it is three times as large.
            ("queued.min.messages", "10000"),
            // A full queue is looked at again soon: after librdkafka's default of a second it would long have run empty.
            ("fetch.queue.backoff.ms", "5"),
            ("max.partition.fetch.bytes", "1048576"),
        ];
        self.prepare(Client::Consumer, &defaults, properties)
    }

    fn merged(&self, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let elsewhere = own.contains_key("bootstrap.servers");
        let mut all = self.shared.clone();
        // Another cluster has its own accounts.
        all.retain(|key, _| !(elsewhere && is_security(key)));
        all.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
        all
    }

    fn prepare(
        &self,
        client: Client,
        defaults: &[(&str, &str)],
        own: &BTreeMap<String, String>,
    ) -> Result<Prepared> {
        let refused = |problems: Vec<Problem>| {
            let all: Vec<&str> = problems.iter().map(Problem::message).collect();
            Error::config(all.join("\n")).context("client", client.name())
        };
        let mut properties = self.merged(own);
        // A client's name and group are the task's, unless its own keys say otherwise.
        for (key, _) in defaults.iter().filter(|(key, _)| *key == "client.id" || *key == "group.id")
        {
            if !own.contains_key(*key) {
                properties.remove(*key);
            }
        }
        let (settings, login) = translate(client, &properties).map_err(refused)?;
        let mut config = ClientConfig::new();
        let common = [
            ("bootstrap.servers", self.bootstrap.as_str()),
            // A broker that comes back is found again within a second.
            ("reconnect.backoff.max.ms", "1000"),
            // What the brokers may be told of a client's doings (KIP-714) takes half of the memory of an idle one.
            ("enable.metrics.push", "false"),
            // Topics that appear are seen soon; the Java clients ask every five minutes.
            ("topic.metadata.refresh.interval.ms", "10000"),
        ];
        for (key, value) in common.iter().chain(defaults) {
            config.set(*key, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        let mut from = HashMap::new();
        for (name, (value, key)) in settings {
            config.set(name.clone(), value);
            from.insert(name, key);
        }
        check(&mut config, &from).map_err(|problem| refused(vec![problem]))?;
        Ok(Prepared { config, login })
    }
}

/// Lets librdkafka look at every setting: one that it doesn't know is named in a warning, as Kafka's own clients do.
fn check(config: &mut ClientConfig, from: &HashMap<String, String>) -> Result<(), Problem> {
    loop {
        match config.create_native_config() {
            Ok(_) => return Ok(()),
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _)) => {
                tracing::warn!(key = name, "a key that no Kafka client knows has no effect");
                config.remove(&name);
            }
            Err(KafkaError::ClientConfig(_, why, name, value)) => {
                let key = from.get(&name).unwrap_or(&name);
                // librdkafka's words repeat the value.
                let why = if table::is_secret(key) { "librdkafka refuses it" } else { &why };
                return Err(Problem::of(key, &value, why));
            }
            Err(error) => return Err(Problem(error.to_string())),
        }
    }
}

fn translate(
    client: Client,
    properties: &BTreeMap<String, String>,
) -> Result<(Settings, Option<Login>), Vec<Problem>> {
    let (mut settings, mut native, mut problems) = (Settings::new(), Settings::new(), Vec::new());
    for (key, value) in properties {
        // Java's parser trims what is no password.
        let value = if table::is_secret(key) { value.as_str() } else { value.trim() };
        let mut set = |name: &str, value: String| {
            settings.insert(name.to_owned(), (value, key.clone()));
        };
        match table::meaning(client, key) {
            Some(Meaning::Same) => set(key, value.to_owned()),
            Some(Meaning::Renamed(name)) => set(name, value.to_owned()),
            Some(Meaning::Converted(_, convert)) => match convert(value) {
                Ok(all) => all.into_iter().for_each(|(name, value)| set(name, value)),
                Err(why) => problems.push(Problem::of(key, value, &why)),
            },
            Some(Meaning::Together(_)) => {}
            Some(Meaning::Ignored(why)) => {
                tracing::debug!(client = client.name(), key, why, "no effect")
            }
            Some(Meaning::Only(values, instead)) => {
                if !value.is_empty() && !values.contains(&value) {
                    problems.push(Problem::of(key, value, instead));
                }
            }
            None => {
                let alias = ALIASES.iter().find(|(alias, _)| alias == key);
                let name = alias.map_or(key.as_str(), |(_, name)| name).to_owned();
                native.insert(name, (value.to_owned(), key.clone()));
            }
        }
    }
    let mut together = |result: Result<Vec<(&'static str, String)>, Problem>| match result {
        Ok(all) => {
            for (name, value) in all {
                settings.insert(name.to_owned(), (value, source(name).to_owned()));
            }
        }
        Err(problem) => problems.push(problem),
    };
    together(reconnect(properties));
    match client {
        Client::Producer => {
            together(idempotence(properties));
            together(compression(properties));
            together(partitioner(properties));
        }
        Client::Consumer => {
            let group = properties.get("group.id").map(|group| ("group.id", group.clone()));
            together(Ok(group.into_iter().collect()));
        }
        Client::Admin => {}
    }
    let protocol = properties.get("security.protocol").map(|name| name.trim().to_ascii_uppercase());
    let protocol = protocol.unwrap_or_default();
    if protocol.ends_with("SSL") {
        together(tls::read(properties));
    } else {
        // Without TLS they have no effect; OpenSSL would read them nevertheless.
        native.retain(|key, _| !key.starts_with("ssl."));
    }
    let mut login = None;
    if protocol.starts_with("SASL") {
        match sasl::read(properties) {
            Ok(sasl::Sasl::Password(all)) => together(Ok(all)),
            Ok(sasl::Sasl::Tokens(tokens)) => {
                together(Ok(vec![("sasl.mechanism", "OAUTHBEARER".to_owned())]));
                login = Some(tokens);
            }
            Err(problem) => together(Err(problem)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    settings.extend(native);
    Ok((settings, login))
}

/// The key that a setting made of several is named by, where librdkafka refuses it.
fn source(name: &'static str) -> &'static str {
    match name {
        "ssl.ca.pem" => "ssl.truststore.location",
        "ssl.key.pem" | "ssl.certificate.pem" => "ssl.keystore.location",
        "sasl.username" | "sasl.password" => "sasl.jaas.config",
        "partitioner" => "partitioner.class",
        other => other,
    }
}

fn number(properties: &BTreeMap<String, String>, key: &str) -> Result<Option<i64>, Problem> {
    let Some(value) = properties.get(key).map(|value| value.trim()) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| Problem::value(key, value, "Not a number"))
}

/// librdkafka refuses a first pause that is longer than the longest.
fn reconnect(
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let (first, most) = ("reconnect.backoff.ms", "reconnect.backoff.max.ms");
    let (backoff, longest) = (number(properties, first)?, number(properties, most)?);
    let longest = match (backoff, longest) {
        (Some(backoff), longest) => Some(longest.unwrap_or(1000).max(backoff)),
        (None, longest) => longest.map(|longest| longest.max(100)),
    };
    let all = [(first, backoff), (most, longest)];
    Ok(all.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))).collect())
}

/// As `ProducerConfig.postProcessAndValidateIdempotenceConfigs`: what cannot be had with idempotence turns it off,
/// unless it was asked for.
fn idempotence(
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let given = |key: &str| properties.get(key).map(|value| value.trim().to_ascii_lowercase());
    let in_flight = "max.in.flight.requests.per.connection";
    let acks = given("acks").or_else(|| given("request.required.acks"));
    let flying = number(properties, in_flight)?;
    let retries = number(properties, "retries")?;
    let conflict = if acks.as_ref().is_some_and(|acks| acks != "all" && acks != "-1") {
        Some(
            "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.",
        )
    } else if retries == Some(0) {
        Some("Must set retries to non-zero when using the idempotent producer.")
    } else if flying.is_some_and(|flying| flying > MOST_IN_FLIGHT) {
        Some(
            "Must set max.in.flight.requests.per.connection to at most 5 to use the idempotent producer.",
        )
    } else {
        None
    };
    let wanted = given("enable.idempotence");
    let on = match (wanted.as_deref(), conflict) {
        (Some("true"), Some(why)) => return Err(Problem::value("enable.idempotence", "true", why)),
        (Some(value), _) => value.to_owned(),
        (None, conflict) => conflict.is_none().to_string(),
    };
    let mut settings = Vec::new();
    match flying {
        Some(flying) => settings.push((in_flight, flying.to_string())),
        // Connect's own: without idempotence one at a time keeps the order.
        None if on == "false" => settings.push((in_flight, "1".to_owned())),
        None => {}
    }
    settings.push(("enable.idempotence", on));
    settings.extend(acks.map(|acks| ("acks", acks)));
    Ok(settings)
}

fn compression(
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let codec = properties.get("compression.type").map(|codec| codec.trim().to_ascii_lowercase());
    let Some(codec) = codec.filter(|codec| ["gzip", "lz4", "zstd"].contains(&codec.as_str()))
    else {
        return Ok(Vec::new());
    };
    let level = number(properties, &format!("compression.{codec}.level"))?;
    Ok(level
        .map(|level| ("compression.level", level.clamp(-1, MOST_COMPRESSION).to_string()))
        .into_iter()
        .collect())
}

fn partitioner(
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(&'static str, String)>, Problem> {
    let key = "partitioner.class";
    let class = properties.get(key).map(|class| class.trim()).unwrap_or_default();
    let short = class.rsplit('.').next().unwrap_or_default();
    let kafkas = class.starts_with("org.apache.kafka.clients.producer.");
    let without_key = match (kafkas, short) {
        (_, "") => false,
        (true, "DefaultPartitioner") => false,
        (true, "UniformStickyPartitioner" | "RoundRobinPartitioner") => true,
        _ => {
            let why = "a class of Java's cannot be loaded; leave it out for Kafka's own partitioner, or set \
                       org.apache.kafka.clients.producer.RoundRobinPartitioner";
            return Err(Problem::value(key, class, why));
        }
    };
    let ignores =
        properties.get("partitioner.ignore.keys").map(|value| value.trim().to_ascii_lowercase());
    let ignores = match ignores.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let why = "Expected value to be either true or false";
            return Err(Problem::value("partitioner.ignore.keys", other, why));
        }
    };
    Ok(if without_key || ignores { vec![("partitioner", "random".to_owned())] } else { Vec::new() })
}

#[cfg(test)]
mod tests;
