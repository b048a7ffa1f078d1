//! Every key of Kafka's own clients is decided on, and what is set of it is what librdkafka takes.

use std::{collections::BTreeMap, fs, path::Path};

use connect_core::error::ErrorKind;
use rdkafka::{consumer::BaseConsumer, producer::BaseProducer};
use serde_json::Value;

use super::*;

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn clients() -> Clients {
    Clients::new("127.0.0.1:1", &BTreeMap::new())
}

fn prepare(client: Client, properties: &BTreeMap<String, String>) -> Result<Prepared> {
    match client {
        Client::Producer => clients().producer("p", properties),
        Client::Consumer => clients().consumer("c", "g", properties),
        Client::Admin => clients().with(properties).admin(),
    }
}

fn set(client: Client, pairs: &[(&str, &str)], name: &str) -> Option<String> {
    let prepared = prepare(client, &properties(pairs)).unwrap();
    prepared.config.get(name).map(str::to_owned)
}

fn refused(client: Client, pairs: &[(&str, &str)]) -> String {
    let error = prepare(client, &properties(pairs)).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    format!("{error:?}")
}

/// Kafka's own list: type, importance, default.
fn keys_of_kafka() -> Vec<(Client, String, Option<String>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/src/clients.json");
    let all: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut keys = Vec::new();
    for client in [Client::Producer, Client::Consumer, Client::Admin] {
        for (key, row) in all[client.name()].as_object().unwrap() {
            // Classes are printed as `class NAME`.
            let default = row.get(2).and_then(Value::as_str);
            keys.push((client, key.clone(), default.map(|text| text.replace("class ", ""))));
        }
    }
    keys
}

#[test]
fn every_key_of_kafkas_clients_is_decided_on() {
    let keys = keys_of_kafka();
    assert!(keys.len() > 300, "{}", keys.len());
    let open: Vec<_> =
        keys.iter().filter(|(client, key, _)| table::meaning(*client, key).is_none()).collect();
    assert!(open.is_empty(), "not in the table: {open:?}");
    for row in table::TABLE {
        for client in row.clients {
            let known = keys.iter().any(|(of, key, _)| of == client && key == row.key);
            assert!(known, "Kafka's {} has no key {}", client.name(), row.key);
        }
    }
}

#[test]
fn every_default_of_kafka_makes_a_client() {
    for (client, key, default) in keys_of_kafka() {
        let Some(default) = default else { continue };
        // The client's own default, which Connect's workers turn off.
        if key == "enable.auto.commit" {
            continue;
        }
        let prepared = prepare(client, &properties(&[(&key, &default)]));
        let config = prepared.unwrap_or_else(|e| panic!("{key}={default}: {e:?}")).config;
        let made = match client {
            Client::Consumer => config.create::<BaseConsumer>().map(drop),
            _ => config.create::<BaseProducer>().map(drop),
        };
        made.unwrap_or_else(|e| panic!("{key}={default}: {e}"));
    }
    // All at once, as a worker that writes down everything has them.
    for client in [Client::Producer, Client::Consumer, Client::Admin] {
        let keys = keys_of_kafka().into_iter().filter(|(of, ..)| *of == client);
        let mut all: BTreeMap<_, _> =
            keys.filter_map(|(_, key, default)| Some((key, default?))).collect();
        all.remove("bootstrap.servers");
        all.remove("enable.auto.commit");
        prepare(client, &all).unwrap();
    }
}

#[test]
fn a_bad_value_is_named_by_the_key_that_was_written() {
    for (client, key, value) in [
        (Client::Producer, "linger.ms", "soon"),
        (Client::Producer, "max.request.size", "1 MB"),
        (Client::Producer, "delivery.timeout.ms", "x"),
        (Client::Producer, "acks", "most"),
        (Client::Producer, "compression.type", "brotli"),
        (Client::Producer, "partitioner.class", "com.example.Mine"),
        (Client::Producer, "interceptor.classes", "com.example.Audit"),
        (Client::Producer, "transactional.id", "mine"),
        (Client::Consumer, "auto.offset.reset", "by_duration:P1D"),
        (Client::Consumer, "isolation.level", "serializable"),
        (Client::Consumer, "enable.auto.commit", "true"),
        (Client::Consumer, "group.protocol", "consumer"),
        (Client::Consumer, "fetch.max.wait.ms", "-5"),
        (Client::Admin, "bootstrap.controllers", "127.0.0.1:9093"),
        (Client::Admin, "security.providers", "com.example.Provider"),
        (Client::Admin, "reconnect.backoff.ms", "x"),
    ] {
        let message = refused(client, &[(key, value)]);
        assert!(message.contains(key) && message.contains(value), "{key}={value}: {message}");
        assert!(message.contains(client.name()), "{message}");
    }
}

#[test]
fn keys_that_nobody_knows_are_no_error_and_librdkafkas_own_work() {
    let pairs = [
        ("confluent.metrics.reporter.bootstrap.servers", "x"),
        ("socket.keepalive.enable", "true"),
    ];
    let prepared = prepare(Client::Producer, &properties(&pairs)).unwrap();
    assert_eq!(prepared.config.get("socket.keepalive.enable"), Some("true"));
    assert_eq!(prepared.config.get("confluent.metrics.reporter.bootstrap.servers"), None);
    // Two names of one setting: the later default doesn't win over the key that was given.
    assert_eq!(
        set(Client::Producer, &[("queue.buffering.max.ms", "7")], "linger.ms").unwrap(),
        "7"
    );
}

#[test]
fn what_idempotence_does_not_go_with_turns_it_off_unless_it_was_asked_for() {
    let idempotent =
        |pairs: &[(&str, &str)]| set(Client::Producer, pairs, "enable.idempotence").unwrap();
    assert_eq!(idempotent(&[]), "true");
    assert_eq!(idempotent(&[("acks", "1")]), "false");
    assert_eq!(idempotent(&[("retries", "0")]), "false");
    assert_eq!(idempotent(&[("max.in.flight.requests.per.connection", "6")]), "false");
    let in_flight = "max.in.flight.requests.per.connection";
    assert_eq!(set(Client::Producer, &[("acks", "0")], in_flight).unwrap(), "1");
    let message = refused(Client::Producer, &[("acks", "1"), ("enable.idempotence", "true")]);
    assert!(message.contains("Must set acks to all"), "{message}");
}

#[test]
fn settings_that_belong_together() {
    let zstd = [("compression.type", "zstd"), ("compression.zstd.level", "22")];
    assert_eq!(set(Client::Producer, &zstd, "compression.level").unwrap(), "12");
    // Of no effect without its codec, as on the JVM.
    assert_eq!(
        set(Client::Producer, &[("compression.gzip.level", "x")], "compression.level"),
        None
    );
    let robin = "org.apache.kafka.clients.producer.RoundRobinPartitioner";
    assert_eq!(
        set(Client::Producer, &[("partitioner.class", robin)], "partitioner").unwrap(),
        "random"
    );
    assert_eq!(
        set(Client::Producer, &[("partitioner.ignore.keys", "false")], "partitioner").unwrap(),
        "murmur2_random"
    );
    let slow = [("reconnect.backoff.ms", "5000")];
    assert_eq!(set(Client::Admin, &slow, "reconnect.backoff.max.ms").unwrap(), "5000");
    assert_eq!(set(Client::Consumer, &[("group.id", "own")], "group.id").unwrap(), "own");
    assert_eq!(set(Client::Consumer, &[], "isolation.level").unwrap(), "read_uncommitted");
}

#[test]
fn another_cluster_does_not_get_the_workers_password() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"s3cret\";";
    let shared = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.jaas.config", jaas),
    ];
    let clients = Clients::new("127.0.0.1:1", &properties(&shared));
    let own = clients.producer("p", &BTreeMap::new()).unwrap().config;
    assert_eq!(own.get("sasl.password"), Some("s3cret"));
    let other = clients
        .producer("p", &properties(&[("bootstrap.servers", "elsewhere:9092")]))
        .unwrap()
        .config;
    assert_eq!((other.get("sasl.password"), other.get("security.protocol")), (None, None));
    assert_eq!(other.get("bootstrap.servers"), Some("elsewhere:9092"));
}

#[test]
fn sasl_says_what_is_missing_without_secrets() {
    let plain = ("sasl.mechanism", "PLAIN");
    let sasl = ("security.protocol", "SASL_SSL");
    let jaas = |text| ("sasl.jaas.config", text);
    let kerberos = refused(Client::Producer, &[sasl]);
    assert!(kerberos.contains("GSSAPI") && kerberos.contains("SCRAM-SHA-512"), "{kerberos}");
    let missing = refused(Client::Producer, &[sasl, plain]);
    assert!(
        missing.contains("sasl.jaas.config") && missing.contains("PlainLoginModule"),
        "{missing}"
    );
    let other = "com.sun.security.auth.module.Krb5LoginModule required keyTab=\"s3cret\";";
    let message = refused(Client::Producer, &[sasl, plain, jaas(other)]);
    assert!(message.contains("Krb5LoginModule") && !message.contains("s3cret"), "{message}");
    let broken =
        "org.apache.kafka.common.security.plain.PlainLoginModule required password=\"s3cret\"";
    let message = refused(Client::Producer, &[sasl, plain, jaas(broken)]);
    assert!(message.contains("semi-colon") && !message.contains("s3cret"), "{message}");
    let nameless = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
    let oauth = ("sasl.mechanism", "OAUTHBEARER");
    let message = refused(Client::Producer, &[sasl, oauth, jaas(nameless)]);
    assert!(message.contains("unsecuredLoginStringClaim_sub"), "{message}");
    let url = ("sasl.oauthbearer.token.endpoint.url", "https://id.example/token");
    let message = refused(Client::Producer, &[sasl, oauth, url]);
    assert!(message.contains("clientId"), "{message}");
}
