//! A broker with SASL, TLS and ACLs: what it takes to get in, and what one hears who isn't let in.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use connect_core::{
    error::{Error, ErrorKind},
    transport::{
        Append, ConsumerOptions, Fetch, Message, NewTopic, Producer, Subscription, Transport,
    },
};
use connect_core_kafka::KafkaTransport;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKeyChain};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use xtask_servers::{Kafka, KafkaOptions, KafkaSecurity};

const PASSWORD: &str = "pa55;word";
/// A refusal is told long before a request's own time-out.
const SOON: Duration = Duration::from_secs(15);
const MODULES: &str = "org.apache.kafka.common.security";

type Properties = BTreeMap<String, String>;

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn sasl(mechanism: &str, jaas: &str) -> Properties {
    properties(&[
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", mechanism),
        ("sasl.jaas.config", jaas),
    ])
}

fn login(mechanism: &str, user: &str, password: &str) -> Properties {
    let module = if mechanism == "PLAIN" { "plain.Plain" } else { "scram.Scram" };

    let jaas = format!(
        "{MODULES}.{module}LoginModule required username=\"{user}\" password=\"{password}\";"
    );
    sasl(mechanism, &jaas)
}

/// Certificates: an authority, and who it vouches for.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificate and key in PEM, and both in DER.
    fn issue(&self, name: &str) -> (String, String, Vec<u8>, Vec<u8>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem(), certificate.der().to_vec(), key.serialize_der())
    }
}

async fn transport(address: &str, properties: &Properties) -> KafkaTransport {
    KafkaTransport::new(address, properties).unwrap()
}

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(1),
        replication_factor: Some(1),
        compacted: false,
        properties: BTreeMap::new(),
    }
}

fn append(topic: &str, text: &str) -> Append {
    let message = Message { value: Some(text.to_owned().into()), ..Message::default() };
    Append { messages: vec![(topic.into(), vec![message])], offset: None }
}

fn consumer_of(topic: &str, group: &str) -> ConsumerOptions {
    ConsumerOptions {
        group: group.to_owned(),
        client_id: "test".to_owned(),
        subscription: Subscription::Topics(vec![topic.to_owned()]),
        max_messages: 10,
        properties: BTreeMap::new(),
    }
}

/// A record there and back.
async fn works(transport: &KafkaTransport, name: &str) {
    transport.cluster_id().await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert!(transport.create_topic(&topic(name)).await.unwrap(), "{name}");
    let mut producer = transport.producer("test", &BTreeMap::new()).await.unwrap();
    producer.append(append(name, "hello")).await.unwrap().await.unwrap();
    let mut consumer = transport.consumer(consumer_of(name, name)).await.unwrap();
    loop {
        if let Fetch::Messages(fetched) = consumer.fetch().await.unwrap() {
            assert_eq!(fetched[0].messages[0].1.value.as_deref(), Some(&b"hello"[..]), "{name}");
            break;
        }
    }
    consumer.close().await.unwrap();
    transport.committed(name).await.unwrap();
    let mut reader = transport.reader(name).await.unwrap();
    reader.read_to_end().await.unwrap();
}

/// Why the client isn't let in, wherever it tries.
async fn refused(address: &str, properties: &Properties, secret: &str) -> String {
    let transport = transport(address, properties).await;
    let begin = Instant::now();
    let mut producer = transport.producer("test", &BTreeMap::new()).await.unwrap();
    let mut consumer = transport.consumer(consumer_of("never", "never")).await.unwrap();
    let new = topic("never");
    let (identity, created, appended, fetched, committed) = tokio::join!(
        transport.cluster_id(),
        transport.create_topic(&new),
        answer_of(&mut *producer, "never"),
        consumer.fetch(),
        transport.committed("never"),
    );
    let all = [
        identity.unwrap_err(),
        created.unwrap_err(),
        appended.unwrap_err(),
        fetched.unwrap_err(),
        committed.unwrap_err(),
    ];
    assert!(begin.elapsed() < SOON, "{:?}: {all:?}", begin.elapsed());
    let texts: Vec<String> = all.iter().map(|error| format!("{error:?}")).collect();
    for (error, text) in all.iter().zip(&texts) {
        assert!(error.kind() == ErrorKind::Refused && !error.is_retriable(), "{text}");
        assert!(!text.contains(secret), "the secret is shown: {text}");
    }
    texts.join("\n")
}

async fn answer_of(producer: &mut dyn Producer, topic: &str) -> Result<(), Error> {
    producer.append(append(topic, "x")).await?.await
}

fn start(dir: &Path, authority: &Authority) -> Kafka {
    let (certificate, key, ..) = authority.issue("localhost");
    let users = [("admin", PASSWORD), ("alice", PASSWORD)];
    let security = KafkaSecurity::new(&authority.pem(), (&certificate, &key), &users).unwrap();
    let options = KafkaOptions { heap_mb: 256, security: Some(security), ..Default::default() };
    Kafka::start(dir, options).unwrap()
}

/// One broker for all: starting it takes longer than the cases.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_sasl_tls_and_acls() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let kafka = start(&dir.path().join("kafka"), &authority);
    within("passwords", passwords(&kafka)).await;
    within("unsecured tokens", unsecured_tokens(&kafka)).await;
    within("token endpoint", token_endpoint(&kafka)).await;
    within("TLS", tls(&kafka, &authority, dir.path())).await;
    within("ACLs", acls(&kafka)).await;
}

/// A case, with the most time that it may take.
async fn within(case: &str, test: impl Future<Output = ()>) {
    let begin = Instant::now();
    let done = tokio::time::timeout(Duration::from_secs(60), test).await;
    assert!(done.is_ok(), "{case} hangs");
    println!("{case}: {:?}", begin.elapsed());
}

async fn passwords(kafka: &Kafka) {
    let address = format!("127.0.0.1:{}", kafka.security().unwrap().sasl);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let right = transport(&address, &login(mechanism, "admin", PASSWORD)).await;
        works(&right, &format!("by-{mechanism}")).await;
        let why =
            refused(&address, &login(mechanism, "admin", "wr0ng-s3cret"), "wr0ng-s3cret").await;
        assert!(why.contains("uthentication"), "{mechanism}: {why}");
    }
}

async fn unsecured_tokens(kafka: &Kafka) {
    let address = format!("127.0.0.1:{}", kafka.security().unwrap().sasl);
    let jaas = format!(
        "{MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"admin\";"
    );
    works(&transport(&address, &sasl("OAUTHBEARER", &jaas)).await, "by-unsecured-token").await;
}

/// Answers like an identity provider that knows one client.
fn identity_provider(expected: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut authorization, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim().split_once(": ") else {
                    if line.trim().is_empty() { break } else { continue }
                };
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => authorization = value.to_owned(),
                    "content-length" => length = value.parse().unwrap(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let asked = String::from_utf8(body).unwrap();
            assert_eq!(asked, "grant_type=client_credentials&scope=kafka+all");
            let (status, answer) = if authorization == expected {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let now = now.unwrap().as_secs();
                let part = |json: String| URL_SAFE_NO_PAD.encode(json);
                let claims = format!(r#"{{"sub":"admin","iat":{now},"exp":{}}}"#, now + 600);
                let token = format!("{}.{}.", part(r#"{"alg":"none"}"#.into()), part(claims));
                ("200 OK", format!(r#"{{"access_token":"{token}","expires_in":600}}"#))
            } else {
                (
                    "401 Unauthorized",
                    r#"{"error":"invalid_client","error_description":"no such client"}"#.to_owned(),
                )
            };
            let length = answer.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
            )
            .unwrap();
        }
    });
    format!("http://{address}/token")
}

async fn token_endpoint(kafka: &Kafka) {
    let address = format!("127.0.0.1:{}", kafka.security().unwrap().sasl);
    let basic = format!("Basic {}", STANDARD.encode("connect:cl1ent-s3cret"));
    let url = identity_provider(basic);
    let with = |secret: &str| {
        let jaas = format!(
            "{MODULES}.oauthbearer.OAuthBearerLoginModule required clientId=\"connect\" clientSecret=\"{secret}\" \
             scope=\"kafka all\";"
        );
        let mut all = sasl("OAUTHBEARER", &jaas);
        all.insert("sasl.oauthbearer.token.endpoint.url".into(), url.clone());
        let handler =
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler";
        all.insert("sasl.login.callback.handler.class".into(), handler.into());
        all
    };
    works(&transport(&address, &with("cl1ent-s3cret")).await, "by-token-endpoint").await;
    let why = refused(&address, &with("wr0ng-s3cret"), "wr0ng-s3cret").await;
    assert!(why.contains("invalid_client") && why.contains(&url), "{why}");
}

async fn tls(kafka: &Kafka, authority: &Authority, dir: &Path) {
    let security = kafka.security().unwrap();
    let (plain, mutual) =
        (format!("localhost:{}", security.sasl_tls), format!("localhost:{}", security.tls));
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // A password over TLS; the authority as a file, and as a text on one line.
    let mut password = login("SCRAM-SHA-512", "admin", PASSWORD);
    password.insert("security.protocol".into(), "SASL_SSL".into());
    let untrusting = refused(&plain, &password, PASSWORD).await;
    assert!(untrusting.contains("certificate verify failed"), "{untrusting}");
    password.insert("ssl.truststore.certificates".into(), authority.pem().replace('\n', " "));
    works(&transport(&plain, &password).await, "by-password-and-tls").await;

    // Both sides by certificate: PEM, then PKCS12, then texts.
    let (certificate, key, certificate_der, key_der) = authority.issue("client");
    let mut pem = properties(&[("security.protocol", "SSL"), ("ssl.truststore.type", "PEM")]);
    pem.insert("ssl.truststore.location".into(), file("ca.pem", authority.pem().as_bytes()));
    let stranger = refused(&mutual, &pem, "PRIVATE KEY").await;
    assert!(stranger.contains("alert"), "{stranger}");
    let both = format!("{key}{certificate}");
    pem.insert("ssl.keystore.location".into(), file("client.pem", both.as_bytes()));
    works(&transport(&mutual, &pem).await, "by-pem").await;

    let ca = Certificate::from_der(authority.issuer.der()).unwrap();
    let mut trusted = KeyStore::new();
    trusted.add_entry("ca", KeyStoreEntry::Certificate(ca.clone()));
    let chain = PrivateKeyChain::new(
        key_der,
        "1",
        vec![Certificate::from_der(&certificate_der).unwrap(), ca],
    );
    let mut own = KeyStore::new();
    own.add_entry("client", KeyStoreEntry::PrivateKeyChain(chain));
    let stores = [(&trusted, "truststore"), (&own, "keystore")];
    let mut pkcs12 = properties(&[("security.protocol", "SSL")]);
    for (store, name) in stores {
        let bytes = store.writer(PASSWORD).write().unwrap();
        pkcs12.insert(format!("ssl.{name}.location"), file(&format!("{name}.p12"), &bytes));
        pkcs12.insert(format!("ssl.{name}.password"), PASSWORD.into());
        pkcs12.insert(format!("ssl.{name}.type"), "PKCS12".into());
    }
    works(&transport(&mutual, &pkcs12).await, "by-pkcs12").await;
    pkcs12.insert("ssl.keystore.password".into(), "wr0ng-s3cret".into());
    let error = KafkaTransport::new(&mutual, &pkcs12).err().expect("refused");
    let text = format!("{error:?}");
    assert!(text.contains("ssl.keystore.password") && !text.contains("wr0ng-s3cret"), "{text}");
}

async fn acls(kafka: &Kafka) {
    let admin = kafka.address();
    let allow = |arguments: &[&str]| {
        let mut all =
            vec!["--bootstrap-server", &admin, "--add", "--allow-principal", "User:alice"];
        all.extend(arguments);
        kafka.tool("org.apache.kafka.tools.AclCommand", &all).unwrap();
    };
    allow(&[
        "--topic",
        "alice-",
        "--resource-pattern-type",
        "prefixed",
        "--operation",
        "Write",
        "--operation",
        "Read",
    ]);
    allow(&["--group", "alice-", "--resource-pattern-type", "prefixed", "--operation", "Read"]);
    let anonymous = transport(&admin, &BTreeMap::new()).await;
    anonymous.create_topic(&topic("alice-own")).await.unwrap();
    anonymous.create_topic(&topic("secret")).await.unwrap();

    let address = format!("127.0.0.1:{}", kafka.security().unwrap().sasl);
    let alice = transport(&address, &login("SCRAM-SHA-256", "alice", PASSWORD)).await;
    // What is there can be used, though she may not create it.
    assert!(!alice.create_topic(&topic("alice-own")).await.unwrap());
    assert_eq!(alice.topic("alice-own").await.unwrap().unwrap().partitions, 1);
    let mut producer = alice.producer("test", &BTreeMap::new()).await.unwrap();
    answer_of(&mut *producer, "alice-own").await.unwrap();

    let text = |error: Error| format!("{error:?}");
    let cannot = text(alice.create_topic(&topic("alice-new")).await.unwrap_err());
    assert!(cannot.contains("alice-new") && cannot.contains("CREATE"), "{cannot}");
    for name in ["alice-new", "secret"] {
        let mut producer = alice.producer("test", &BTreeMap::new()).await.unwrap();
        let error = answer_of(&mut *producer, name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let error = text(error);
        assert!(
            error.contains(name) && error.contains("WRITE") && error.contains("CREATE"),
            "{error}"
        );
    }
    let mut consumer = alice.consumer(consumer_of("secret", "alice-group")).await.unwrap();
    let error = text(consumer.fetch().await.unwrap_err());
    assert!(error.contains("secret") && error.contains("READ"), "{error}");
    let mut consumer = alice.consumer(consumer_of("alice-own", "others")).await.unwrap();
    let error = text(consumer.fetch().await.unwrap_err());
    assert!(error.contains("READ on the group"), "{error}");
}
