//! Connecting to PostgreSQL with and without TLS, against real servers.

use std::{fs, path::Path, process::Command, sync::LazyLock, time::Duration};

use crate::session::Session;
use connect_core::{
    config::{Properties, Resolve, Secret},
    error::{Error, ErrorKind},
};
use connectors_jdbc::{connection::Settings, url::JdbcUrl};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use xtask_servers::{Postgres, PostgresOptions};

const PASSWORD: &str = "s3cret-word";

/// Servers and certificates that all tests share; servers end with the process.
struct World {
    dir: tempfile::TempDir,
    secure: Postgres,
    plain: Postgres,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (ca, other) = (authority(path, "ca"), authority(path, "other"));
    issue(path, "server", &["db.example.com"], "db.example.com", &ca);
    issue(path, "client", &["client"], "certified", &ca);
    issue(path, "stranger", &["client"], "certified", &other);
    let key = path.join("server.key");
    Command::new("chown").arg("postgres:").arg(&key).status().unwrap();
    Command::new("chmod").arg("600").arg(&key).status().unwrap();
    let hba = path.join("hba.conf");
    fs::write(
        &hba,
        "hostssl all certified all cert\nhostssl all only_tls all scram-sha-256\n\
         hostnossl all only_plain all scram-sha-256\nhostnossl all only_tls all reject\n\
         hostssl all only_plain all reject\nhost all all all scram-sha-256\n",
    )
    .unwrap();
    let file = |name: &str| path.join(name).display().to_string();
    let settings = vec![
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", file("server.pem")),
        format!("ssl_key_file={}", file("server.key")),
        format!("ssl_ca_file={}", file("ca.pem")),
        format!("hba_file={}", hba.display()),
    ];
    let options = |settings| PostgresOptions {
        password: PASSWORD.to_owned(),
        settings,
        ..PostgresOptions::default()
    };
    let secure = Postgres::start(&path.join("secure"), options(settings)).unwrap();
    let plain = Postgres::start(&path.join("plain"), options(Vec::new())).unwrap();
    for role in ["certified", "only_tls", "only_plain"] {
        secure.query(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")).unwrap();
    }
    for server in [&secure, &plain] {
        server.query("CREATE SCHEMA \"My \\Schema\"").unwrap();
        server.query("CREATE TABLE \"My \\Schema\".here (id int PRIMARY KEY)").unwrap();
    }
    // Read-only as a standby is, for the test of targetServerType.
    plain.query("CREATE ROLE writer LOGIN SUPERUSER PASSWORD 'w'").unwrap();
    plain.query("ALTER ROLE \"user\" SET default_transaction_read_only = on").unwrap();
    World { dir, secure, plain }
});

fn authority(dir: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

fn issue(dir: &Path, file: &str, names: &[&str], common: &str, ca: &Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    let certificate = params.signed_by(&key, ca).unwrap();
    fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
    fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    fs::write(dir.join(format!("{file}.pk8")), key.serialize_der()).unwrap();
}

/// The name is the one of the certificate; `resolve` leads to the server.
fn settings_as(user: &str, password: &str, port: u16, query: &str) -> Settings {
    let url = format!("jdbc:postgresql://db.example.com:5432/mydb?{query}");
    let resolve: Resolve = format!("db.example.com:5432:127.0.0.1:{port}").parse().unwrap();
    made(&url, user, password, resolve)
}

fn made(url: &str, user: &str, password: &str, resolve: Resolve) -> Settings {
    let credentials = (Some(user.to_owned()), Some(Secret::from(password.to_owned())));
    let url = JdbcUrl::parse(url).unwrap();
    Settings::new(url, credentials, resolve, (None, Duration::ZERO), &Properties::new())
}

fn secure(query: &str) -> Settings {
    settings_as("user", PASSWORD, WORLD.secure.port(), query)
}

fn plain(query: &str) -> Settings {
    settings_as("user", PASSWORD, WORLD.plain.port(), query)
}

fn pem(name: &str) -> String {
    WORLD.dir.path().join(name).display().to_string()
}

async fn ok(settings: &Settings) -> Session {
    crate::connection::connect(settings).await.unwrap_or_else(|e| panic!("{}", e.trace()))
}

async fn refused(settings: &Settings) -> Error {
    let error = crate::connection::connect(settings).await.expect_err("it is refused");
    assert_eq!(
        (error.kind(), error.is_retriable()),
        (ErrorKind::Refused, false),
        "{}",
        error.trace()
    );
    assert!(!error.trace().contains(PASSWORD), "{}", error.trace());
    error
}

async fn encrypted(client: &Session) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_sslmode_with_a_server_that_has_tls() {
    let ca = format!("&sslrootcert={}", pem("ca.pem"));
    let modes = [
        ("disable", false),
        ("allow", false),
        ("prefer", true),
        ("require", true),
        ("verify-ca", true),
        ("verify-full", true),
    ];
    for (mode, expected) in modes {
        let client = ok(&secure(&format!("sslmode={mode}{ca}"))).await;
        assert_eq!(encrypted(&client).await, expected, "{mode}");
    }
    assert!(encrypted(&ok(&secure("")).await).await, "prefer is the default");
    assert!(encrypted(&ok(&secure(&format!("ssl=true{ca}"))).await).await);
    for (mode, binding) in [("require", "require"), ("require", "disable"), ("disable", "disable")]
    {
        ok(&secure(&format!("sslmode={mode}&channelBinding={binding}"))).await;
    }
    refused(&secure("sslmode=disable&channelBinding=require")).await;
    let unverified = "ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory";
    assert!(encrypted(&ok(&secure(unverified)).await).await);
}

#[tokio::test]
async fn every_sslmode_with_a_server_that_has_none() {
    for mode in ["disable", "allow", "prefer"] {
        assert!(!encrypted(&ok(&plain(&format!("sslmode={mode}"))).await).await, "{mode}");
    }
    let ca = pem("ca.pem");
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = refused(&plain(&format!("sslmode={mode}&sslrootcert={ca}"))).await;
        assert!(error.message().contains("does not support TLS"), "{error}");
    }
}

#[tokio::test]
async fn the_server_decides_where_the_mode_leaves_it_open() {
    let of = |user, query| settings_as(user, PASSWORD, WORLD.secure.port(), query);
    assert!(encrypted(&ok(&of("only_tls", "sslmode=allow")).await).await);
    assert!(!encrypted(&ok(&of("only_plain", "sslmode=prefer")).await).await);
    refused(&of("only_plain", "sslmode=require")).await;
    refused(&of("only_tls", "sslmode=disable")).await;
}

#[tokio::test]
async fn tls_that_is_too_old_is_done_without_where_the_mode_allows() {
    let settings = vec![
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", pem("server.pem")),
        format!("ssl_key_file={}", pem("server.key")),
        "ssl_min_protocol_version=TLSv1".to_owned(),
        "ssl_max_protocol_version=TLSv1.1".to_owned(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let options =
        PostgresOptions { password: PASSWORD.to_owned(), settings, ..PostgresOptions::default() };
    let server = Postgres::start(dir.path(), options).unwrap();
    let of = |mode| settings_as("user", PASSWORD, server.port(), mode);
    assert!(!encrypted(&ok(&of("sslmode=prefer")).await).await);
    let error = refused(&of("sslmode=require")).await;
    assert!(error.message().contains("No TLS connection"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    for mode in ["verify-ca", "verify-full"] {
        let error =
            refused(&secure(&format!("sslmode={mode}&sslrootcert={}", pem("other.pem")))).await;
        assert!(error.message().contains("UnknownIssuer"), "{error}");
    }
    // The authorities of the system don't know it, or there are none.
    let error = crate::connection::connect(&secure("sslmode=verify-full")).await.err().unwrap();
    assert!(!error.is_retriable(), "{}", error.trace());
}

#[tokio::test]
async fn the_name_counts_with_verify_full_alone() {
    let port = WORLD.secure.port();
    let of = |mode| {
        let (url, ca) = (format!("jdbc:postgresql://127.0.0.1:{port}/mydb"), pem("ca.pem"));
        let url = format!("{url}?sslmode={mode}&sslrootcert={ca}");
        made(&url, "user", PASSWORD, Resolve::default())
    };
    let error = refused(&of("verify-full")).await;
    assert!(error.message().contains("not valid for name"), "{error}");
    assert!(encrypted(&ok(&of("verify-ca")).await).await);
}

#[tokio::test]
async fn a_client_certificate() {
    let of = |query: String| settings_as("certified", "", WORLD.secure.port(), &query);
    for key in ["client.key", "client.pk8"] {
        let query = format!("sslmode=require&sslcert={}&sslkey={}", pem("client.pem"), pem(key));
        assert!(encrypted(&ok(&of(query)).await).await);
    }
    let error = refused(&of("sslmode=require".to_owned())).await;
    assert!(error.message().contains("certificate"), "{error}");
    let stranger = (pem("stranger.pem"), pem("stranger.key"));
    refused(&of(format!("sslmode=require&sslcert={}&sslkey={}", stranger.0, stranger.1))).await;
}

#[tokio::test]
async fn a_client_certificate_in_pkcs12() {
    let store = pem("client.p12");
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs12", "-export", "-passout", "pass:pw", "-out", &store]);
    openssl.args(["-in", &pem("client.pem"), "-inkey", &pem("client.key")]);
    assert!(openssl.status().unwrap().success());
    let of = |password| {
        let query = format!("sslmode=require&sslkey={store}&sslpassword={password}");
        settings_as("certified", "", WORLD.secure.port(), &query)
    };
    assert!(encrypted(&ok(&of("pw")).await).await);
    let error = crate::connection::connect(&of("wrong-one")).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("sslkey") && !error.trace().contains("wrong-one"), "{error}");
}

#[tokio::test]
async fn wrong_settings_are_named() {
    for (query, key) in [
        ("sslmode=maybe", "sslmode"),
        ("sslmode=verify-ca&sslrootcert=/no/such", "sslrootcert"),
        ("sslcert=/no/such", "sslcert"),
        ("connectTimeout=soon", "connectTimeout"),
        ("targetServerType=best", "targetServerType"),
        ("channelBinding=tight", "channelBinding"),
        ("sslfactory=com.acme.Factory", "sslfactory"),
    ] {
        let error = crate::connection::connect(&plain(query)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{query}");
        assert!(error.message().contains(key), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    for query in ["sslmode=disable", "sslmode=prefer", "sslmode=allow"] {
        let settings = settings_as("user", "not-the-word", WORLD.secure.port(), query);
        let error = refused(&settings).await;
        assert!(error.trace().contains("28P01"), "{}", error.trace());
        assert!(!error.trace().contains("not-the-word"));
    }
    let url = format!("jdbc:postgresql://127.0.0.1:{}/nowhere", WORLD.plain.port());
    let error = refused(&made(&url, "user", PASSWORD, Resolve::default())).await;
    assert!(error.trace().contains("3D000"), "{}", error.trace());
}

#[tokio::test]
async fn the_first_host_that_answers() {
    let (dead, port) = (free_port(), WORLD.secure.port());
    let of = |hosts: String| {
        let url = format!("jdbc:postgresql://{hosts}/mydb?loadBalanceHosts=false");
        made(&url, "user", PASSWORD, Resolve::default())
    };
    ok(&of(format!("127.0.0.1:{dead},127.0.0.1:{port}"))).await;
    let error = crate::connection::connect(&of(format!("127.0.0.1:{dead}"))).await.err().unwrap();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Connection, true));
    assert!(error.to_string().contains(&dead.to_string()), "{error}");
}

#[tokio::test]
async fn the_kind_of_server_that_is_wanted() {
    let (standby, primary) = (WORLD.plain.port(), WORLD.secure.port());
    let of = |kind: &str, ports: [u16; 2]| {
        let [a, b] = ports;
        let url =
            format!("jdbc:postgresql://127.0.0.1:{a},127.0.0.1:{b}/mydb?targetServerType={kind}");
        made(&url, "user", PASSWORD, Resolve::default())
    };
    let cases = [
        ("any", [standby, primary], standby),
        ("primary", [standby, primary], primary),
        ("master", [standby, primary], primary),
        ("secondary", [primary, standby], standby),
        ("preferSecondary", [primary, standby], standby),
        ("preferSecondary", [primary, primary], primary),
        ("preferPrimary", [standby, standby], standby),
    ];
    for (kind, ports, expected) in cases {
        let row = ok(&of(kind, ports)).await.query_one("SHOW port", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected.to_string(), "{kind}");
    }
    let error = crate::connection::connect(&of("primary", [standby, standby])).await.err().unwrap();
    assert!(error.is_retriable() && error.to_string().contains("targetServerType"), "{error}");
}

#[tokio::test]
async fn the_session_is_as_the_settings_say() {
    let client = ok(&secure(
        "currentSchema=%22My%20\\Schema%22,public&ApplicationName=it%20is&options=-c%20statement_timeout=7s \
         -c%20timezone=Asia/Tokyo",
    ))
    .await;
    client.run_alone("SELECT id FROM here").await.unwrap();
    let shown = [
        ("application_name", "it is"),
        ("statement_timeout", "7s"),
        ("timezone", "UTC"),
        ("datestyle", "ISO, MDY"),
        ("extra_float_digits", "1"),
        ("client_min_messages", "warning"),
    ];
    for (name, expected) in shown {
        let row = client.one_alone(&format!("SHOW {name}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected, "{name}");
    }
    let name = ok(&secure("")).await.query_one("SHOW application_name", &[]).await.unwrap();
    assert_eq!(name.get::<_, &str>(0), "ferrovia");
    refused(&secure("options=-c%20statement_timeout=never")).await;
    assert!(crate::connection::PARAMETERS.contains(&"currentSchema"));
}

#[tokio::test]
async fn what_the_servers_errors_mean() {
    let client = ok(&secure("")).await;
    client.batch_execute("CREATE TEMP TABLE t (id int PRIMARY KEY, v varchar(2))").await.unwrap();
    let cases = [
        ("SELECT * FROM gone", ErrorKind::Connection),
        ("SELECT gone FROM t", ErrorKind::Connection),
        ("INSERT INTO t VALUES (1, 'abc')", ErrorKind::Data),
        ("INSERT INTO t VALUES (1, 'a'), (1, 'b')", ErrorKind::Conflict),
        ("INSERT INTO t VALUES (NULL, 'a')", ErrorKind::Data),
        ("INSERT INTO t VALUES ('x', 'a')", ErrorKind::Data),
        ("INSERT INTO t SELECT now(), 'a'", ErrorKind::Data),
        ("SET statement_timeout = 10; SELECT pg_sleep(1)", ErrorKind::Busy),
        ("BEGIN READ ONLY; CREATE TABLE x ()", ErrorKind::Connection),
        ("SELECT 1", ErrorKind::Connection),
        ("SELEKT", ErrorKind::Refused),
    ];
    for (sql, expected) in cases {
        let error = client.batch_execute(sql).await.expect_err(sql);
        let error = crate::errors::error("testing", error);
        assert_eq!(error.kind(), expected, "{sql}: {}", error.trace());
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    let raise = "DO $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '";
    let written = [
        (format!("{raise}P0001'; END$$"), ErrorKind::Data),
        (format!("{raise}AB123'; END$$"), ErrorKind::Data),
        (format!("{raise}23503'; END$$"), ErrorKind::Conflict),
        (format!("{raise}23P01'; END$$"), ErrorKind::Conflict),
        (format!("{raise}53100'; END$$"), ErrorKind::Busy),
        (format!("{raise}40001'; END$$"), ErrorKind::Busy),
        (format!("{raise}42501'; END$$"), ErrorKind::Rejected),
        (format!("{raise}44000'; END$$"), ErrorKind::Data),
        ("INSERT INTO t VALUES (1, 'a'), (1, 'b')".to_owned(), ErrorKind::Data),
    ];
    for (sql, expected) in written {
        let error = client.batch_execute(&sql).await.expect_err(&sql);
        let error = crate::errors::written("writing", true, error);
        assert_eq!(error.kind(), expected, "{sql}: {}", error.trace());
    }
    let double = client.batch_execute("INSERT INTO t VALUES (1, 'a'), (1, 'b')").await.unwrap_err();
    assert!(crate::errors::error("testing", double).message().contains("Key (id)=(1)"));
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
