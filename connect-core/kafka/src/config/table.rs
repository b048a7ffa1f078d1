//! What each key of the Java clients of Apache Kafka 4.3.1 means here. Every key of them is in this table, which a test
//! compares with their own list; `docs/reference/kafka-clients.md` is printed from it.

use super::convert as to;

/// A client of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Sources, dead letter queues, Connect's own topics.
    Producer,
    /// Sinks, Connect's own topics.
    Consumer,
    /// Creates and describes topics.
    Admin,
}

impl Client {
    /// Its name in prefixes: `producer.`, `producer.override.`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Admin => "admin",
        }
    }
}

/// librdkafka's settings that one value becomes, or why it can't be taken.
pub(super) type Settings = Result<Vec<(&'static str, String)>, String>;

/// What a key means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// librdkafka has it under the same name.
    Same,
    /// librdkafka has it under another name.
    Renamed(&'static str),
    /// The value is converted.
    Converted(&'static str, fn(&str) -> Settings),
    /// Read together with other keys; what comes of it.
    Together(&'static str),
    /// Of no effect, and why.
    Ignored(&'static str),
    /// Refused unless it is empty or one of these values, and what to do instead.
    Only(&'static [&'static str], &'static str),
}

/// A key with what it means for these clients.
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) clients: &'static [Client],
    pub(super) meaning: Meaning,
}

use Client::{Admin as A, Consumer as C, Producer as P};
use Meaning::{Converted, Ignored, Only, Renamed, Same, Together};

const ALL: &[Client] = &[P, C, A];

const fn row(key: &'static str, clients: &'static [Client], meaning: Meaning) -> Row {
    Row { key, clients, meaning }
}

const BYTES: &str = "keys and values are bytes here, as Connect's own (de)serializers leave them";
const JMX: &str = "metrics are the worker's own";
const KERBEROS: &str = "Kerberos (GSSAPI) is not supported";
const JAVA_TLS: &str = "TLS is OpenSSL's, not a Java security provider's";
const BROKERS: &str = "of brokers that validate tokens";
const REFRESH: &str = "a token is renewed after four fifths of its life";
const ASSERTION: &str = "the jwt-bearer grant is not supported; use client credentials";
const CALLBACKS: &str =
    "a class of Java's cannot be loaded; give the credentials in sasl.jaas.config";
const SHARE: &str = "of share consumers, which Connect doesn't use";
const TRANSACTIONS: &str = "transactions are the worker's own, see exactly.once.source.support";

pub(super) static TABLE: &[Row] = &[
    // All clients.
    row("bootstrap.controllers", &[A], Only(&[], "name the brokers in bootstrap.servers")),
    row("bootstrap.servers", ALL, Same),
    row("client.dns.lookup", ALL, Same),
    row("client.id", ALL, Same),
    row("config.providers", ALL, Ignored("the worker resolves variables")),
    row("connections.max.idle.ms", ALL, Converted("connections.max.idle.ms", to::idle)),
    row(
        "default.api.timeout.ms",
        &[C, A],
        Ignored("requests are given 30 seconds, and are tried again"),
    ),
    row("enable.metrics.push", ALL, Same),
    row(
        "interceptor.classes",
        &[P, C],
        Converted(
            "refused: a class of Java's cannot be loaded; Confluent's monitoring ones are left out",
            to::interceptors,
        ),
    ),
    row(
        "metadata.max.age.ms",
        ALL,
        Converted("topic.metadata.refresh.interval.ms", to::metadata_age),
    ),
    row("metadata.recovery.rebootstrap.trigger.ms", ALL, Same),
    row("metadata.recovery.strategy", ALL, Converted("metadata.recovery.strategy", to::recovery)),
    row("metric.reporters", ALL, Ignored(JMX)),
    row("metrics.num.samples", ALL, Ignored(JMX)),
    row("metrics.recording.level", ALL, Ignored(JMX)),
    row("metrics.sample.window.ms", ALL, Ignored(JMX)),
    row("receive.buffer.bytes", ALL, Converted("socket.receive.buffer.bytes", to::receive_buffer)),
    row(
        "reconnect.backoff.max.ms",
        ALL,
        Together("reconnect.backoff.max.ms, at least reconnect.backoff.ms"),
    ),
    row("reconnect.backoff.ms", ALL, Together("reconnect.backoff.ms")),
    row(
        "request.timeout.ms",
        &[P],
        Converted("request.timeout.ms and socket.timeout.ms", to::acknowledged),
    ),
    row("request.timeout.ms", &[C, A], Converted("socket.timeout.ms", to::answered)),
    row("retries", &[P], Same),
    row("retries", &[A], Ignored("requests are tried again by what asks")),
    row("retry.backoff.max.ms", ALL, Converted("retry.backoff.max.ms", to::backoff_max)),
    row("retry.backoff.ms", ALL, Converted("retry.backoff.ms", to::backoff)),
    row("send.buffer.bytes", ALL, Converted("socket.send.buffer.bytes", to::send_buffer)),
    row(
        "socket.connection.setup.timeout.max.ms",
        ALL,
        Ignored("every attempt has socket.connection.setup.timeout.ms"),
    ),
    row(
        "socket.connection.setup.timeout.ms",
        ALL,
        Converted("socket.connection.setup.timeout.ms, at least 1000", to::setup_timeout),
    ),
    // Producers.
    row(
        "acks",
        &[P],
        Together(
            "acks; other than all, it turns idempotence off unless enable.idempotence is given",
        ),
    ),
    row("batch.size", &[P], Converted("batch.size; 0 is one record a batch", to::batch)),
    row("buffer.memory", &[P], Converted("queue.buffering.max.kbytes", to::buffer)),
    row("compression.gzip.level", &[P], Together("compression.level with compression.type=gzip")),
    row(
        "compression.lz4.level",
        &[P],
        Together("compression.level with compression.type=lz4, at most 12"),
    ),
    row("compression.type", &[P], Same),
    row(
        "compression.zstd.level",
        &[P],
        Together("compression.level with compression.type=zstd, at most 12"),
    ),
    row(
        "delivery.timeout.ms",
        &[P],
        Converted("message.timeout.ms; 2147483647 is for ever", to::delivery),
    ),
    row("enable.idempotence", &[P], Together("enable.idempotence; true by default")),
    row("key.serializer", &[P], Ignored(BYTES)),
    row("linger.ms", &[P], Same),
    row("max.block.ms", &[P], Ignored("a full buffer stops the source, however long it takes")),
    row(
        "max.in.flight.requests.per.connection",
        &[P],
        Together(
            "max.in.flight.requests.per.connection; above 5 it turns idempotence off unless enable.idempotence is given",
        ),
    ),
    row("max.request.size", &[P], Renamed("message.max.bytes")),
    row("metadata.max.idle.ms", &[P], Ignored("topics that are not used cost nothing")),
    row(
        "partitioner.adaptive.partitioning.enable",
        &[P],
        Ignored("records without key go to one partition at a time"),
    ),
    row(
        "partitioner.availability.timeout.ms",
        &[P],
        Ignored("records without key go to one partition at a time"),
    ),
    row(
        "partitioner.class",
        &[P],
        Together(
            "partitioner: murmur2_random, which is Kafka's own, or random for the sticky and round robin ones",
        ),
    ),
    row("partitioner.ignore.keys", &[P], Together("partitioner=random where true")),
    row("transaction.timeout.ms", &[P], Same),
    row("transaction.two.phase.commit.enable", &[P], Only(&["false"], TRANSACTIONS)),
    row("transactional.id", &[P], Only(&[], TRANSACTIONS)),
    row("value.serializer", &[P], Ignored(BYTES)),
    // Consumers.
    row("allow.auto.create.topics", &[C], Same),
    row("auto.commit.interval.ms", &[C], Ignored("a task commits what it has delivered")),
    row("auto.offset.reset", &[C], Converted("auto.offset.reset; none is error", to::reset)),
    row("check.crcs", &[C], Same),
    row("client.rack", &[C], Same),
    row(
        "enable.auto.commit",
        &[C],
        Only(&["false"], "a task commits what it has delivered; leave it out"),
    ),
    row("exclude.internal.topics", &[C], Converted("topic.blacklist", to::internal_topics)),
    row("fetch.max.bytes", &[C], Same),
    row("fetch.max.wait.ms", &[C], Renamed("fetch.wait.max.ms")),
    row("fetch.min.bytes", &[C], Same),
    row(
        "group.id",
        &[C],
        Together("group.id; consumer.override.group.id names the group of a sink"),
    ),
    row("group.instance.id", &[C], Same),
    row("group.protocol", &[C], Only(&["classic", "CLASSIC"], "use classic")),
    row("group.remote.assignor", &[C], Ignored("of group.protocol=consumer")),
    row("heartbeat.interval.ms", &[C], Same),
    row("isolation.level", &[C], Same),
    row("key.deserializer", &[C], Ignored(BYTES)),
    row("max.partition.fetch.bytes", &[C], Same),
    row("max.poll.interval.ms", &[C], Same),
    row("max.poll.records", &[C], Together("the most records in one put; 3000 by default")),
    row(
        "partition.assignment.strategy",
        &[C],
        Converted("range, roundrobin; the sticky ones are left out", to::assignors),
    ),
    row("session.timeout.ms", &[C], Same),
    row("share.acknowledgement.mode", &[C], Ignored(SHARE)),
    row("share.acquire.mode", &[C], Ignored(SHARE)),
    row("value.deserializer", &[C], Ignored(BYTES)),
    // TLS.
    row("security.protocol", ALL, Same),
    row("security.providers", ALL, Only(&[], JAVA_TLS)),
    row(
        "ssl.cipher.suites",
        ALL,
        Converted(
            "ssl.cipher.suites in OpenSSL's names; those of TLS 1.3 are always on",
            to::ciphers,
        ),
    ),
    row(
        "ssl.enabled.protocols",
        ALL,
        Converted("OpenSSL takes TLS 1.3 or 1.2; refused without TLSv1.2", to::protocols),
    ),
    row(
        "ssl.endpoint.identification.algorithm",
        ALL,
        Converted("ssl.endpoint.identification.algorithm; empty is none", to::identification),
    ),
    row(
        "ssl.engine.factory.class",
        ALL,
        Only(&["org.apache.kafka.common.security.ssl.DefaultSslEngineFactory"], JAVA_TLS),
    ),
    row("ssl.key.password", ALL, Together("ssl.key.password, of a PEM key")),
    row("ssl.keymanager.algorithm", ALL, Ignored(JAVA_TLS)),
    row("ssl.keystore.certificate.chain", ALL, Together("ssl.certificate.pem")),
    row("ssl.keystore.key", ALL, Together("ssl.key.pem")),
    row(
        "ssl.keystore.location",
        ALL,
        Together("ssl.certificate.pem and ssl.key.pem, from PEM or PKCS12; JKS is refused"),
    ),
    row("ssl.keystore.password", ALL, Together("opens a PKCS12 ssl.keystore.location")),
    row(
        "ssl.keystore.type",
        ALL,
        Together(
            "the file tells what it is; JKS is the JVM's default, and is refused only where the file is one",
        ),
    ),
    row("ssl.protocol", ALL, Ignored("TLS 1.3 or 1.2, as the broker can")),
    row("ssl.provider", ALL, Ignored(JAVA_TLS)),
    row("ssl.secure.random.implementation", ALL, Ignored(JAVA_TLS)),
    row("ssl.trustmanager.algorithm", ALL, Ignored(JAVA_TLS)),
    row("ssl.truststore.certificates", ALL, Together("ssl.ca.pem")),
    row(
        "ssl.truststore.location",
        ALL,
        Together(
            "ssl.ca.pem, from PEM or PKCS12; JKS is refused. Without it: the system's certificates",
        ),
    ),
    row("ssl.truststore.password", ALL, Together("opens a PKCS12 ssl.truststore.location")),
    row(
        "ssl.truststore.type",
        ALL,
        Together(
            "the file tells what it is; JKS is the JVM's default, and is refused only where the file is one",
        ),
    ),
    // SASL.
    row(
        "sasl.mechanism",
        ALL,
        Together(
            "sasl.mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; Kerberos (GSSAPI) is refused",
        ),
    ),
    row(
        "sasl.jaas.config",
        ALL,
        Together("sasl.username and sasl.password, or the token of OAUTHBEARER"),
    ),
    row("sasl.client.callback.handler.class", ALL, Only(&[], CALLBACKS)),
    row("sasl.kerberos.kinit.cmd", ALL, Ignored(KERBEROS)),
    row("sasl.kerberos.min.time.before.relogin", ALL, Ignored(KERBEROS)),
    row("sasl.kerberos.service.name", ALL, Ignored(KERBEROS)),
    row("sasl.kerberos.ticket.renew.jitter", ALL, Ignored(KERBEROS)),
    row("sasl.kerberos.ticket.renew.window.factor", ALL, Ignored(KERBEROS)),
    row(
        "sasl.login.callback.handler.class",
        ALL,
        Only(
            &[
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
                "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
                "org.apache.kafka.common.security.oauthbearer.internals.unsecured.OAuthBearerUnsecuredLoginCallbackHandler",
            ],
            CALLBACKS,
        ),
    ),
    row("sasl.login.class", ALL, Only(&[], CALLBACKS)),
    row("sasl.login.connect.timeout.ms", ALL, Together("time to connect to the token endpoint")),
    row("sasl.login.read.timeout.ms", ALL, Together("time for the token endpoint to answer")),
    row("sasl.login.refresh.buffer.seconds", ALL, Ignored(REFRESH)),
    row("sasl.login.refresh.min.period.seconds", ALL, Ignored(REFRESH)),
    row("sasl.login.refresh.window.factor", ALL, Ignored(REFRESH)),
    row("sasl.login.refresh.window.jitter", ALL, Ignored(REFRESH)),
    row(
        "sasl.login.retry.backoff.max.ms",
        ALL,
        Together("longest pause between attempts at the token endpoint"),
    ),
    row(
        "sasl.login.retry.backoff.ms",
        ALL,
        Together("first pause between attempts at the token endpoint"),
    ),
    row("sasl.oauthbearer.assertion.algorithm", ALL, Ignored(ASSERTION)),
    row("sasl.oauthbearer.assertion.claim.aud", ALL, Only(&[], ASSERTION)),
    row("sasl.oauthbearer.assertion.claim.exp.seconds", ALL, Ignored(ASSERTION)),
    row("sasl.oauthbearer.assertion.claim.iss", ALL, Only(&[], ASSERTION)),
    row("sasl.oauthbearer.assertion.claim.jti.include", ALL, Ignored(ASSERTION)),
    row("sasl.oauthbearer.assertion.claim.nbf.seconds", ALL, Ignored(ASSERTION)),
    row("sasl.oauthbearer.assertion.claim.sub", ALL, Only(&[], ASSERTION)),
    row("sasl.oauthbearer.assertion.file", ALL, Only(&[], ASSERTION)),
    row("sasl.oauthbearer.assertion.private.key.file", ALL, Only(&[], ASSERTION)),
    row("sasl.oauthbearer.assertion.private.key.passphrase", ALL, Only(&[], ASSERTION)),
    row("sasl.oauthbearer.assertion.template.file", ALL, Only(&[], ASSERTION)),
    row(
        "sasl.oauthbearer.client.credentials.client.id",
        ALL,
        Together("asks the token endpoint; so does clientId in sasl.jaas.config"),
    ),
    row(
        "sasl.oauthbearer.client.credentials.client.secret",
        ALL,
        Together("asks the token endpoint; so does clientSecret in sasl.jaas.config"),
    ),
    row("sasl.oauthbearer.clock.skew.seconds", ALL, Ignored(BROKERS)),
    row("sasl.oauthbearer.expected.audience", ALL, Ignored(BROKERS)),
    row("sasl.oauthbearer.expected.issuer", ALL, Ignored(BROKERS)),
    row(
        "sasl.oauthbearer.header.urlencode",
        ALL,
        Together("whether client id and secret are URL-encoded for the token endpoint"),
    ),
    row("sasl.oauthbearer.jwks.endpoint.refresh.ms", ALL, Ignored(BROKERS)),
    row("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", ALL, Ignored(BROKERS)),
    row("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", ALL, Ignored(BROKERS)),
    row("sasl.oauthbearer.jwks.endpoint.url", ALL, Ignored(BROKERS)),
    row(
        "sasl.oauthbearer.jwt.retriever.class",
        ALL,
        Only(
            &[
                "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
                "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
                "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever",
            ],
            CALLBACKS,
        ),
    ),
    row("sasl.oauthbearer.jwt.validator.class", ALL, Ignored(BROKERS)),
    row(
        "sasl.oauthbearer.scope",
        ALL,
        Together("asks the token endpoint; so does scope in sasl.jaas.config"),
    ),
    row("sasl.oauthbearer.scope.claim.name", ALL, Ignored(BROKERS)),
    row("sasl.oauthbearer.sub.claim.name", ALL, Together("the claim that names the principal")),
    row(
        "sasl.oauthbearer.token.endpoint.url",
        ALL,
        Together("where tokens are from: an http(s) URL, or a file: URL of a token"),
    ),
];

/// What a key means for a client; none of a key that Kafka's own doesn't have.
pub(super) fn meaning(client: Client, key: &str) -> Option<Meaning> {
    let found = TABLE.iter().find(|row| row.key == key && row.clients.contains(&client));
    found.map(|row| row.meaning)
}

/// Keys whose values are secret (type PASSWORD of the Java clients, and librdkafka's own).
pub(super) fn is_secret(key: &str) -> bool {
    const SECRET: &[&str] = &[
        "sasl.jaas.config",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "ssl.key.password",
        "ssl.keystore.certificate.chain",
        "ssl.keystore.key",
        "ssl.truststore.certificates",
        "ssl.key.pem",
    ];
    SECRET.contains(&key) || key.ends_with("password") || key.ends_with("secret")
}

/// The table as `docs/reference/kafka-clients.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "# Keys of the Kafka clients\n\n\
         Every key of the producer, consumer and admin client of Apache Kafka 4.3.1, as they stand below `producer.`, `consumer.`,\n\
         `admin.` in a worker's configuration and below `producer.override.`, `consumer.override.`, `admin.override.` in a connector's,\n\
         and what becomes of it here. librdkafka's own keys work too. A key that neither knows is named in a warning.\n\
         Printed by `cargo xtask docs`.\n\n\
         | key | clients | here |\n|---|---|---|\n",
    );
    for row in TABLE {
        let clients: Vec<&str> = row.clients.iter().map(|client| client.name()).collect();
        let clients = if clients.len() == 3 { "all".into() } else { clients.join(", ") };
        let here = match row.meaning {
            Same => "the same".into(),
            Renamed(name) => format!("`{name}`"),
            Converted(what, _) | Together(what) => what.to_owned(),
            Ignored(why) => format!("no effect: {why}"),
            Only([], instead) => format!("refused: {instead}"),
            Only(values, instead) => {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("refused unless {}: {instead}", values.join(" or "))
            }
        };
        text.push_str(&format!("| `{}` | {clients} | {here} |\n", row.key));
    }
    text
}
