//! From Connect's client settings to librdkafka's.

use std::collections::BTreeMap;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

/// Settings of the Java clients that have no meaning in librdkafka, or that the transport decides.
const IGNORED: &[&str] = &[
    "key.serializer",
    "value.serializer",
    "key.deserializer",
    "value.deserializer",
    "max.poll.records",
    "interceptor.classes",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "auto.include.jmx.reporter",
    "client.dns.lookup",
    "buffer.memory",
    "max.block.ms",
    "default.api.timeout.ms",
    "partition.assignment.strategy",
    "partitioner.class",
    "partitioner.ignore.keys",
    "exclude.internal.topics",
    "metadata.max.idle.ms",
];

/// The same setting under another name.
const RENAMED: &[(&str, &str)] = &[
    ("max.request.size", "message.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("metadata.max.age.ms", "topic.metadata.refresh.interval.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
];

fn apply(config: &mut ClientConfig, properties: &BTreeMap<String, String>) {
    for (key, value) in properties {
        if IGNORED.contains(&key.as_str()) {
            continue;
        }
        let renamed = RENAMED.iter().find(|(java, _)| java == key);
        config.set(renamed.map_or(key.as_str(), |(_, ours)| ours), value);
    }
}

/// What all clients share.
pub(crate) fn client(bootstrap: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        // A broker that comes back is found again within a second.
        .set("reconnect.backoff.max.ms", "1000")
        // Topics that appear are seen soon; the Java clients ask every five minutes.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set_log_level(RDKafkaLogLevel::Warning);
    apply(&mut config, properties);
    config
}

/// A producer that loses and reorders nothing: Connect's own defaults (`Worker.baseProducerConfigs`) with
/// idempotence.
pub(crate) fn producer(
    client: &ClientConfig,
    client_id: &str,
    properties: &BTreeMap<String, String>,
) -> ClientConfig {
    let mut config = client.clone();
    config
        .set("client.id", client_id)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // For ever, as Connect's delivery.timeout.ms=2147483647: a broker that is down stops the task, no more.
        .set("message.timeout.ms", "0")
        // The partitioner of the Java clients: a key keeps its partition when a cluster is taken over.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "2");
    apply(&mut config, properties);
    config
}

/// A consumer whose offsets are committed by the task that has delivered the records.
pub(crate) fn consumer(client: &ClientConfig, client_id: &str) -> ClientConfig {
    let mut config = client.clone();
    config
        .set("client.id", client_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "true")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "3000")
        // Bounds what is fetched ahead: memory stays flat whatever the topic holds.
        .set("queued.max.messages.kbytes", "8192")
        // A full queue is looked at again soon: after librdkafka's default of a second it would long have run empty.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.message.max.bytes", "1048576");
    config
}

/// Adds settings of the task, which win.
pub(crate) fn overrides(config: &mut ClientConfig, properties: &BTreeMap<String, String>) {
    apply(config, properties);
}
