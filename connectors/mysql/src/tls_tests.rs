//! Connecting to MariaDB and MySQL with and without TLS, against real servers.

use std::{fs, path::Path, process::Command, sync::LazyLock, time::Duration};

use crate::connection::Connection;
use connect_core::{
    config::{Properties, Resolve, Secret},
    error::{Error, ErrorKind},
};
use connectors_jdbc::{connection::Settings, url::JdbcUrl};
use mysql_async::prelude::Queryable;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use xtask_servers::{Kind, MariaDb, MariaDbOptions, MySql, MySqlOptions};

const PASSWORD: &str = "s3cret-word";

/// Servers and certificates that all tests share; servers end with the process.
struct World {
    dir: tempfile::TempDir,
    secure: MariaDb,
    plain: MariaDb,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (ca, other) = (authority(path, "ca"), authority(path, "other"));
    issue(path, "server", &["*.example.com"], &ca);
    issue(path, "client", &["client"], &ca);
    issue(path, "stranger", &["client"], &other);
    let file = |name: &str| path.join(name).display().to_string();
    let args = vec![
        format!("--ssl-cert={}", file("server.pem")),
        format!("--ssl-key={}", file("server.key")),
        format!("--ssl-ca={}", file("ca.pem")),
    ];
    let options =
        |args| MariaDbOptions { password: PASSWORD.to_owned(), args, ..MariaDbOptions::default() };
    let secure = MariaDb::start(&path.join("secure"), options(args)).unwrap();
    let plain = MariaDb::start(&path.join("plain"), options(vec!["--skip-ssl".into()])).unwrap();
    for (user, require) in [("certified", "X509"), ("only_tls", "SSL")] {
        root(
            &path.join("secure"),
            &format!(
                "CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE {require}; \
                 GRANT ALL ON `mysql-db-sync`.* TO {user}@'%'"
            ),
        );
    }
    root(&path.join("plain"), "GRANT ALL ON nowhere.* TO user@'%'");
    World { dir, secure, plain }
});

fn root(server: &Path, sql: &str) {
    let mut client = Command::new("mariadb");
    client.arg("--no-defaults").arg("--socket").arg(server.join("data/mariadb.sock"));
    client.args(["-u", "root", "-e", sql]).env("MYSQL_PWD", "123");
    assert!(client.status().unwrap().success());
}

fn authority(dir: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

fn issue(dir: &Path, file: &str, names: &[&str], ca: &Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, ca).unwrap();
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    fs::write(dir.join(format!("{file}.pem")), &certificate).unwrap();
    fs::write(dir.join(format!("{file}.key")), &key).unwrap();
    fs::write(dir.join(format!("{file}.both")), certificate + &key).unwrap();
}

/// The name is one of the certificate; `resolve` leads to the server.
fn settings_as(user: &str, password: &str, port: u16, query: &str) -> Settings {
    let resolve: Resolve = format!("db.example.com:3306:127.0.0.1:{port}").parse().unwrap();
    let url = format!("jdbc:mysql://db.example.com:3306/mysql-db-sync?{query}");
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

/// The same with the URL of MariaDB's driver, which has other defaults.
fn mariadb(port: u16, query: &str) -> Settings {
    let resolve: Resolve = format!("db.example.com:3306:127.0.0.1:{port}").parse().unwrap();
    let url = format!("jdbc:mariadb://db.example.com/mysql-db-sync?{query}");
    made(&url, "user", PASSWORD, resolve)
}

fn pem(name: &str) -> String {
    WORLD.dir.path().join(name).display().to_string()
}

async fn ok(settings: &Settings) -> Connection {
    crate::connection::connect(settings, true).await.unwrap_or_else(|e| panic!("{}", e.trace()))
}

async fn failed(settings: &Settings) -> Error {
    let error = crate::connection::connect(settings, true).await.err().expect("it fails");
    assert!(!error.trace().contains(PASSWORD), "{}", error.trace());
    error
}

async fn refused(settings: &Settings) -> Error {
    let error = failed(settings).await;
    assert_eq!(
        (error.kind(), error.is_retriable()),
        (ErrorKind::Refused, false),
        "{}",
        error.trace()
    );
    error
}

async fn encrypted(mut connection: Connection) -> bool {
    let row: Option<(String, String)> =
        connection.conn.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await.unwrap();
    !row.unwrap().1.is_empty()
}

async fn shown(connection: &mut Connection, what: &str) -> String {
    let sql = format!("SELECT CAST({what} AS CHAR)");
    connection.conn.query_first(sql).await.unwrap().unwrap()
}

#[tokio::test]
async fn every_ssl_mode_with_a_server_that_has_tls() {
    let ca = format!("trustCertificateKeyStoreUrl=file://{}", pem("ca.pem"));
    for (mode, expected) in [
        ("sslMode=DISABLED", false),
        ("sslMode=PREFERRED", true),
        ("sslMode=REQUIRED", true),
        ("sslMode=VERIFY_CA", true),
        ("sslMode=VERIFY_IDENTITY", true),
        ("useSSL=false", false),
        ("useSSL=true", true),
        ("useSSL=true&requireSSL=true", true),
        ("useSSL=true&verifyServerCertificate=true", true),
        ("", true),
    ] {
        let connection = ok(&secure(&format!("{mode}&{ca}"))).await;
        assert_eq!(encrypted(connection).await, expected, "{mode}");
    }
    let ca = format!("serverSslCert={}", pem("ca.pem"));
    for (mode, expected) in [
        ("", false),
        ("sslMode=disable", false),
        ("sslMode=trust", true),
        ("sslMode=verify-ca", true),
        ("sslMode=verify-full", true),
        ("useSsl=true", true),
        ("useSsl=true&trustServerCertificate=true", true),
    ] {
        let connection = ok(&mariadb(WORLD.secure.port(), &format!("{mode}&{ca}"))).await;
        assert_eq!(encrypted(connection).await, expected, "{mode}");
    }
}

#[tokio::test]
async fn every_ssl_mode_with_a_server_that_has_none() {
    for mode in ["", "sslMode=DISABLED", "sslMode=PREFERRED", "useSSL=true"] {
        assert!(!encrypted(ok(&plain(mode)).await).await, "{mode}");
    }
    let ca = pem("ca.pem");
    for mode in ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"] {
        let query = format!("sslMode={mode}&trustCertificateKeyStoreUrl={ca}");
        let error = refused(&plain(&query)).await;
        assert!(error.message().contains("offers no TLS"), "{error}");
    }
}

#[tokio::test]
async fn tls_that_is_too_old_is_done_without_where_the_mode_allows() {
    let args = vec![
        format!("--ssl-cert={}", pem("server.pem")),
        format!("--ssl-key={}", pem("server.key")),
        "--tls-version=TLSv1.1".to_owned(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let options =
        MariaDbOptions { password: PASSWORD.to_owned(), args, ..MariaDbOptions::default() };
    let server = MariaDb::start(dir.path(), options).unwrap();
    let of = |mode| settings_as("user", PASSWORD, server.port(), mode);
    assert!(!encrypted(ok(&of("sslMode=PREFERRED")).await).await);
    let error = refused(&of("sslMode=REQUIRED")).await;
    assert!(error.message().contains("No TLS connection"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    for mode in ["VERIFY_CA", "VERIFY_IDENTITY"] {
        let other = pem("other.pem");
        let query = format!("sslMode={mode}&trustCertificateKeyStoreUrl=file:{other}");
        let error = refused(&secure(&query)).await;
        assert!(error.message().contains("UnknownIssuer"), "{error}");
    }
    // The authorities of the system don't know it, or there are none.
    let error = failed(&secure("sslMode=VERIFY_IDENTITY")).await;
    assert!(!error.is_retriable(), "{}", error.trace());
}

#[tokio::test]
async fn the_name_counts_with_verify_identity_alone() {
    let port = WORLD.secure.port();
    let of = |mode| {
        let ca = pem("ca.pem");
        let url = format!(
            "jdbc:mysql://127.0.0.1:{port}/mysql-db-sync?sslMode={mode}&serverSslCert={ca}"
        );
        made(&url, "user", PASSWORD, Resolve::default())
    };
    let error = refused(&of("VERIFY_IDENTITY")).await;
    assert!(error.message().contains("not valid for name"), "{error}");
    assert!(encrypted(ok(&of("VERIFY_CA")).await).await);
}

#[tokio::test]
async fn a_client_certificate_in_pem_and_pkcs12() {
    let of = |query: String| settings_as("certified", PASSWORD, WORLD.secure.port(), &query);
    let key = "sslMode=REQUIRED&clientCertificateKeyStoreUrl";
    assert!(encrypted(ok(&of(format!("{key}=file:{}", pem("client.both")))).await).await);
    let store = pem("client.p12");
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs12", "-export", "-passout", "pass:pw", "-out", &store]);
    openssl.args(["-in", &pem("client.pem"), "-inkey", &pem("client.key")]);
    assert!(openssl.status().unwrap().success());
    let opened = format!("{key}=file:{store}&clientCertificateKeyStorePassword");
    assert!(encrypted(ok(&of(format!("{opened}=pw"))).await).await);
    let error = failed(&of(format!("{opened}=wrong-one"))).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("keytool") && !error.trace().contains("wrong-one"), "{error}");
    refused(&of("sslMode=REQUIRED".to_owned())).await;
    refused(&of(format!("{key}=file:{}", pem("stranger.both")))).await;
    refused(&settings_as("only_tls", PASSWORD, WORLD.secure.port(), "sslMode=DISABLED")).await;
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let jks = pem("store.jks");
    fs::write(&jks, [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
    let jks = format!("sslMode=VERIFY_CA&trustCertificateKeyStoreUrl=file:{jks}");
    for (query, named) in [
        ("sslMode=maybe", "sslMode"),
        ("sslMode=VERIFY_CA&serverSslCert=/no/such", "serverSslCert"),
        ("connectTimeout=soon", "connectTimeout"),
        ("socketTimeout=soon", "socketTimeout"),
        ("useSSL=perhaps", "useSSL"),
        ("sessionVariables=sql_mode", "sessionVariables"),
        (&jks, "keytool"),
    ] {
        let error = failed(&plain(query)).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{query}: {error}");
        assert!(error.message().contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_key_in_the_settings_themselves_is_not_told() {
    let key = fs::read_to_string(pem("client.key")).unwrap();
    let properties = [("connection.keyStore".to_owned(), key.clone())].into();
    let url = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", WORLD.secure.port());
    let (url, password) = (JdbcUrl::parse(&url).unwrap(), Some(Secret::from(PASSWORD.to_owned())));
    let settings = Settings::new(
        url,
        (Some("user".to_owned()), password),
        Resolve::default(),
        (None, Duration::ZERO),
        &properties,
    );
    let error = failed(&settings).await;
    assert!(error.message().contains("keyStore"), "{error}");
    assert!(key.lines().all(|line| !error.trace().contains(line)), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    for query in ["sslMode=DISABLED", "sslMode=PREFERRED"] {
        let settings = settings_as("user", "not-the-word", WORLD.secure.port(), query);
        let error = refused(&settings).await;
        assert!(error.to_string().contains("code=1045"), "{error}");
        assert!(!error.trace().contains("not-the-word"));
    }
    let url = format!("jdbc:mysql://127.0.0.1:{}/nowhere", WORLD.plain.port());
    let error = refused(&made(&url, "user", PASSWORD, Resolve::default())).await;
    assert!(error.to_string().contains("code=1049"), "{error}");
}

#[tokio::test]
async fn the_first_host_that_answers() {
    let (dead, port) = (free_port(), WORLD.secure.port());
    let of = |hosts: String, query: &str| {
        let url = format!("jdbc:mysql://{hosts}/mysql-db-sync?{query}");
        made(&url, "user", PASSWORD, Resolve::default())
    };
    let ca = format!("sslMode=VERIFY_CA&serverSslCert={}", pem("ca.pem"));
    for query in ["", ca.as_str()] {
        ok(&of(format!("127.0.0.1:{dead},127.0.0.1:{port}"), query)).await;
        let error = failed(&of(format!("127.0.0.1:{dead}"), query)).await;
        assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Connection, true), "{error}");
        assert!(error.to_string().contains(&dead.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for mode in ["DISABLED", "VERIFY_CA"] {
        let url = format!("jdbc:mysql://127.0.0.1:{port}/d?connectTimeout=200&sslMode={mode}");
        let url = format!("{url}&serverSslCert={}", pem("ca.pem"));
        let error = failed(&made(&url, "user", PASSWORD, Resolve::default())).await;
        assert!(error.is_retriable() && error.message().contains("200 ms"), "{error}");
    }
}

#[tokio::test]
async fn the_session_is_as_the_settings_say() {
    let variables = "sessionVariables=sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES',lock_wait_timeout=77;@a='x,y'";
    let mut connection = ok(&secure(&format!("{variables},time_zone='%2B03:00'"))).await;
    let mode = shown(&mut connection, "@@sql_mode").await;
    assert!(mode.contains("ANSI_QUOTES") && mode.contains("STRICT_ALL_TABLES"), "{mode}");
    assert!(!mode.contains("NO_BACKSLASH_ESCAPES"), "{mode}");
    assert_eq!(shown(&mut connection, "@@lock_wait_timeout").await, "77");
    assert_eq!(shown(&mut connection, "@a").await, "x,y");
    assert_eq!(shown(&mut connection, "@@time_zone").await, "+00:00");
    assert_eq!(shown(&mut connection, "@@character_set_client").await, "utf8mb4");
    assert!(connection.mariadb && connection.database == "mysql-db-sync");
    assert_eq!(connection.max_statement, 512 << 10);
    let zone = "connectionTimeZone=%2B02:00&forceConnectionTimeZoneToSession";
    for (query, utc, expected) in [
        ("".to_owned(), false, "SYSTEM"),
        (format!("{zone}=true"), false, "+02:00"),
        (format!("{zone}=false"), false, "SYSTEM"),
        (format!("{zone}=true"), true, "+00:00"),
        ("serverTimezone=UTC&forceConnectionTimeZoneToSession=true".to_owned(), false, "+00:00"),
    ] {
        let mut connection = crate::connection::connect(&plain(&query), utc).await.unwrap();
        assert_eq!(shown(&mut connection, "@@session.time_zone").await, expected, "{query} {utc}");
    }
    let error = failed(&plain("sessionVariables=no_such_thing=1")).await;
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(crate::connection::PARAMETERS.contains(&"sessionVariables"));
}

#[tokio::test]
async fn a_genuine_mysql() {
    if let Err(error) = MySqlOptions::install() {
        println!("MySQL itself cannot be had here: {error:#}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = MySqlOptions { password: PASSWORD.to_owned(), ..MySqlOptions::default() };
    let server = MySql::start(dir.path(), options).unwrap();
    let of = |query: &str| {
        let url = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync?{query}", server.port());
        made(&url, "user", PASSWORD, Resolve::default())
    };
    // The first login without TLS: the driver fetches the server's public key for caching_sha2_password.
    assert!(!encrypted(ok(&of("sslMode=DISABLED")).await).await);
    let connection = ok(&of("")).await;
    assert!(!connection.mariadb && encrypted(connection).await);
    assert!(encrypted(ok(&of("sslMode=REQUIRED")).await).await);
    // MySQL's own certificates have no subjectAltName.
    let ca = dir.path().join("data/ca.pem");
    let own = format!("trustCertificateKeyStoreUrl=file:{}", ca.display());
    let error = refused(&of(&format!("sslMode=VERIFY_CA&{own}"))).await;
    assert!(error.message().contains("subjectAltName"), "{error}");
    let url = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", server.port());
    let error = refused(&made(&url, "user", "not-the-word", Resolve::default())).await;
    assert!(!error.trace().contains("not-the-word"), "{error}");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
