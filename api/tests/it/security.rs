//! Who may ask, from where, and over what.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, exchange, start};

const EXTENSION: (&str, &str) = (
    "rest.extension.classes",
    "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension",
);

#[tokio::test(flavor = "multi_thread")]
async fn basic_authentication_guards_everything_that_exists() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    std::fs::write(&file, "ann=s3cret\n").unwrap();
    let file = file.display().to_string();
    let (worker, client) = start(dir.path(), &[EXTENSION, ("rest.basic.auth.file", &file)]).await;
    let ann = format!("Basic {}", BASE64.encode("ann:s3cret"));
    let eve = format!("Basic {}", BASE64.encode("ann:guess"));
    for path in
        ["/", "/health", "/connectors", "/admin/loggers", "/connector-plugins", "/openapi.json"]
    {
        assert_eq!(client.act("GET", path).await.status, 401, "{path}");
        assert_eq!(client.raw("GET", path, &[("Authorization", &eve)], None).await.status, 401);
        assert_eq!(client.raw("GET", path, &[("Authorization", &ann)], None).await.status, 200);
    }
    let refused = client.act("GET", "/connectors").await;
    assert_eq!(refused.message(), "User cannot access the resource.");
    assert!(refused.headers["www-authenticate"].starts_with("Basic"));
    assert_eq!(client.act("OPTIONS", "/connectors").await.status, 401);
    assert_eq!(client.act("GET", "/nope").await.status, 404, "unknown for everybody");
    // Signed by the JVM's workers instead.
    let internal = client.send("POST", "/connectors/x/tasks", json!([])).await;
    assert_eq!(internal.message(), "Internal request missing required signature");
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_ask_from_the_origins_that_match() {
    let dir = tempfile::tempdir().unwrap();
    let more = [
        ("access.control.allow.origin", "https://ui\\.example\\.com, http://localhost:.*"),
        ("access.control.allow.methods", "GET,PUT"),
        ("response.http.headers.config", "add X-Frame-Options: DENY"),
    ];
    let (worker, client) = start(dir.path(), &more).await;
    let allowed = "access-control-allow-origin";
    for (origin, echoed) in [
        ("https://ui.example.com", true),
        ("http://localhost:9000", true),
        ("https://ui.example.com.evil.org", false),
    ] {
        let answer = client.raw("GET", "/connectors", &[("Origin", origin)], None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers.get(allowed).map(String::as_str), echoed.then_some(origin));
        assert_eq!(answer.headers["vary"].to_ascii_lowercase(), "origin");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
    }
    let preflight = [("Origin", "http://localhost:1"), ("Access-Control-Request-Method", "PUT")];
    let answer = client.raw("OPTIONS", "/connectors/x/pause", &preflight, None).await;
    assert_eq!((answer.status, &*answer.headers[allowed]), (200, "http://localhost:1"));
    assert_eq!(answer.headers["access-control-allow-methods"], "GET,PUT");
    assert_eq!(answer.headers["access-control-max-age"], "60");
    let none = client.act("GET", "/nope").await;
    assert_eq!(none.headers["x-frame-options"], "DENY", "on every answer");
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loggers_may_have_listeners_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let own = [("admin.listeners", "http://127.0.0.1:0")];
    let (worker, client) = start(dir.path(), &own).await;
    let admin = Client(worker.addresses()[1]);
    let status = async |client: &Client, path| client.act("GET", path).await.status;
    assert_eq!(
        (status(&client, "/connectors").await, status(&client, "/admin/loggers").await),
        (200, 404)
    );
    assert_eq!(
        (status(&admin, "/connectors").await, status(&admin, "/admin/loggers").await),
        (404, 200)
    );
    worker.shut_down().await;

    let (worker, client) = start(dir.path(), &[("admin.listeners", "")]).await;
    assert_eq!((worker.addresses().len(), status(&client, "/admin/loggers").await), (1, 404));
    worker.shut_down().await;
}

/// A certificate for `localhost` that signs itself, and its key.
fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn connector(
    trusted: &rcgen::CertifiedKey<rcgen::KeyPair>,
    own: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>,
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = own.signing_key.serialize_der().try_into().unwrap();
            builder.with_client_auth_cert(vec![own.cert.der().clone()], key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_keys_of_every_kind_and_with_clients_that_must_show_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let (server, ann) = (certificate(), certificate());
    let (chain, key) = (server.cert.pem(), server.signing_key.serialize_pem());
    let pem = dir.path().join("server.pem");
    std::fs::write(&pem, format!("{chain}{key}")).unwrap();
    let p12 = dir.path().join("server.p12");
    let entry = p12_keystore::PrivateKeyChain::new(
        server.signing_key.serialize_der(),
        [1],
        [p12_keystore::Certificate::from_der(server.cert.der()).unwrap()],
    );
    let mut store = p12_keystore::KeyStore::new();
    store.add_entry("connect", p12_keystore::KeyStoreEntry::PrivateKeyChain(entry));
    std::fs::write(&p12, store.writer("s3cret").write().unwrap()).unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::write(&trusted, ann.cert.pem()).unwrap();
    let [pem, p12, trusted] = [pem, p12, trusted].map(|path| path.display().to_string());

    let https = ("listeners", "https://127.0.0.1:0");
    let inline = [https, ("ssl.keystore.certificate.chain", &chain), ("ssl.keystore.key", &key)];
    let file = [https, ("listeners.https.ssl.keystore.location", &pem)];
    let pkcs12 = [https, ("ssl.keystore.location", &p12), ("ssl.keystore.password", "s3cret")];
    let mutual = [
        https,
        ("ssl.keystore.location", &pem),
        ("ssl.truststore.location", &trusted),
        ("ssl.client.auth", "required"),
    ];
    for (more, mutual) in
        [(&inline[..], false), (&file[..], false), (&pkcs12[..], false), (&mutual[..], true)]
    {
        let (worker, client) = start(dir.path(), more).await;
        let ask = async |own| {
            let tcp = TcpStream::connect(client.0).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector(&server, own).connect(name, tcp).await?;
            // With TLS 1.3 a client hears only now that it was refused.
            let answer = tokio::spawn(async move {
                let body =
                    br#"{"name":"c","config":{"connector.class":"FileStreamSink","topics":"t"}}"#;
                let json = [("Content-Type", "application/json")];
                let answer = exchange(stream, "POST", "/connectors", &json, Some(body)).await;
                let location = answer.headers.get("location").map(String::as_str);
                assert!(location.is_none_or(|at| at == "https://worker:1/connectors/c"));
                answer.status
            });
            answer.await.map_err(std::io::Error::other)
        };
        // The first worker makes the connector, the later ones have it.
        assert!([201, 409].contains(&ask(Some(&ann)).await.unwrap()));
        match mutual {
            true => assert!(ask(None).await.is_err() && ask(Some(&server)).await.is_err()),
            false => assert_eq!(ask(None).await.unwrap(), 409),
        }
        worker.shut_down().await;
    }
}
