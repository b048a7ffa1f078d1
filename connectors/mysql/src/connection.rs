//! Connections, and what MySQL's errors mean.

use std::time::Duration;

use connect_core::error::{Error, Result};
use connectors_jdbc::connection::{Settings, cause, invalid};
use mysql_async::{Conn, DriverError, OptsBuilder, prelude::Queryable};
use tokio::time::timeout;

use crate::{
    errors::error,
    tls::{Mode, Tls},
};

const DEFAULT_PORT: u16 = 3306;
/// Statements stay below this, whatever the server would take: larger ones cost memory and win nothing.
const MAX_STATEMENT: usize = 512 << 10;
/// Milliseconds that a host may take for all of connecting, as in MariaDB's driver.
const CONNECT_TIMEOUT: u64 = 30_000;
/// Idle time after which the kernel asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The drivers' parameters that are honoured, here or where values are read, and those that can be left aside without
/// harm.
pub(crate) const PARAMETERS: &[&str] = &[
    "clientCertificateKeyStorePassword",
    "clientCertificateKeyStoreUrl",
    "connectTimeout",
    "connectionTimeZone",
    "disableSslHostnameVerification",
    "forceConnectionTimeZoneToSession",
    "keyStore",
    "keyStorePassword",
    "requireSSL",
    "serverSslCert",
    "serverTimezone",
    "sessionVariables",
    "socketTimeout",
    "sslMode",
    "tcpKeepAlive",
    "trustCertificateKeyStorePassword",
    "trustCertificateKeyStoreUrl",
    "trustServerCertificate",
    "trustStore",
    "trustStorePassword",
    "useSSL",
    "verifyServerCertificate",
    // Where tables are looked for, and values read.
    "nullCatalogMeansCurrent",
    "nullDatabaseMeansCurrent",
    "tinyInt1isBit",
    "transformedBitIsBoolean",
    "yearIsDateType",
    "zeroDateTimeBehavior",
    // Of the JVM's drivers alone: how they prepare, fetch, batch and talk of characters.
    "allowLocalInfile",
    "allowMultiQueries",
    "allowPublicKeyRetrieval",
    "autoReconnect",
    "cachePrepStmts",
    "cacheServerConfiguration",
    "characterEncoding",
    "clientCertificateKeyStoreType",
    "connectionCollation",
    "defaultFetchSize",
    "elideSetAutoCommits",
    "fallbackToSystemTrustStore",
    "failOverReadOnly",
    "jdbcCompliantTruncation",
    "keyStoreType",
    "maintainTimeStats",
    "maxReconnects",
    "preserveInstants",
    "prepStmtCacheSize",
    "prepStmtCacheSqlLimit",
    "rewriteBatchedStatements",
    "tcpNoDelay",
    "trustCertificateKeyStoreType",
    "trustStoreType",
    "useAffectedRows",
    "useBulkStmts",
    "useCompression",
    "useConfigs",
    "useCursorFetch",
    "useFractionalSeconds",
    "useInformationSchema",
    "useJDBCCompliantTimezoneShift",
    "useLegacyDatetimeCode",
    "useLocalSessionState",
    "useServerPrepStmts",
    "useTimezone",
    "useUnicode",
];

/// A connection with what its statements must keep to.
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    /// Bytes at which a statement of several rows ends.
    pub(crate) max_statement: usize,
    /// Most bytes that the server takes at once (`max_allowed_packet`).
    pub(crate) max_packet: usize,
    /// Database that the connection is in.
    pub(crate) database: String,
    /// Whether the server is MariaDB, whatever the URL calls it.
    pub(crate) mariadb: bool,
    /// Whether names of tables that differ by case are one (`lower_case_table_names`).
    pub(crate) folds_names: bool,
    /// A collation that tells apart all texts, also those that differ by blanks at their end.
    pub(crate) exact_collation: &'static str,
}

/// Connects to the first of the URL's hosts that answers. With `utc` the session's time zone is UTC, without it the
/// server's or the one that the settings force.
pub(crate) async fn connect(settings: &Settings, utc: bool) -> Result<Connection> {
    let plan = Plan::new(settings, utc)?;
    settings.attempt(|| plan.connect()).await
}

/// Everything that the settings say, so that what is wrong with them shows before the first attempt.
struct Plan {
    /// What the URL calls each host, and where that leads.
    hosts: Vec<(String, (String, u16))>,
    options: OptsBuilder,
    tls: Tls,
    session: Vec<String>,
    limit: Option<Duration>,
}

impl Plan {
    fn new(settings: &Settings, utc: bool) -> Result<Self> {
        // Checked although a driver without time limits leaves it to the kernel's keepalive.
        settings.number("socketTimeout")?;
        let url = &settings.url;
        let keepalive = settings.flag("tcpKeepAlive")?.unwrap_or(true);
        let options = OptsBuilder::default()
            .user(settings.user())
            .pass(settings.password())
            .db_name(Some(url.database.as_str()).filter(|name| !name.is_empty()))
            .tcp_keepalive(keepalive.then_some(KEEPALIVE))
            // A socket file of the same host would lead to another server than the URL says.
            .prefer_socket(false)
            .tcp_nodelay(true);
        let names = url.hosts.iter().map(|(name, _)| name.clone());
        let limit = settings.number("connectTimeout")?.unwrap_or(CONNECT_TIMEOUT);
        Ok(Self {
            hosts: names.zip(url.addresses(DEFAULT_PORT, &settings.resolve)).collect(),
            options,
            tls: Tls::of(settings)?,
            session: session(settings, utc)?,
            // 0 means "for ever" to the JVM's drivers.
            limit: Some(limit).filter(|limit| *limit > 0).map(Duration::from_millis),
        })
    }

    async fn connect(&self) -> Result<Connection> {
        let mut worst: Option<Error> = None;
        for (name, (host, port)) in &self.hosts {
            let opening = self.open(name, (host, *port));
            let opened = match self.limit {
                None => opening.await,
                Some(limit) => timeout(limit, opening).await.unwrap_or_else(|_| Err(late(limit))),
            };
            let error = match opened {
                Ok(connection) => return Ok(connection),
                Err(error) => error.context("host", format!("{name}:{port}")),
            };
            tracing::debug!(%error, "a host cannot be used");
            // A refusal is what has to be seen to: the other hosts may be down for long.
            if worst.as_ref().is_none_or(Error::is_retriable) {
                worst = Some(error);
            }
        }
        Err(worst.unwrap_or_else(|| Error::config("connection.url names no host")))
    }

    async fn open(&self, name: &str, host: (&str, u16)) -> Result<Connection> {
        let mut conn = self.log_in(name, host).await?;
        let failed = |e| error("setting up the session", e);
        for statement in &self.session {
            conn.query_drop(statement).await.map_err(failed)?;
        }
        let row: Option<(u64, Option<String>, String, u8)> = conn
            .query_first(
                "SELECT @@max_allowed_packet, DATABASE(), VERSION(), @@lower_case_table_names",
            )
            .await
            .map_err(failed)?;
        let (packet, database, version, lower) = row.unwrap_or((1 << 20, None, String::new(), 0));
        // MySQL has one since 8.0.17, MariaDB another; the last takes texts for equal that differ by blanks at their end.
        let collation: Option<String> = conn
            .query_first(
                "SELECT COLLATION_NAME FROM information_schema.COLLATIONS \
                 WHERE COLLATION_NAME IN ('utf8mb4_0900_bin', 'utf8mb4_nopad_bin') LIMIT 1",
            )
            .await
            .map_err(failed)?;
        let exact_collation = match collation.as_deref() {
            Some("utf8mb4_0900_bin") => "utf8mb4_0900_bin",
            Some(_) => "utf8mb4_nopad_bin",
            None => "utf8mb4_bin",
        };
        // A packet has a header, and the server counts it.
        let max_packet = usize::try_from(packet).unwrap_or(usize::MAX).saturating_sub(1024);
        Ok(Connection {
            conn,
            max_statement: max_packet.min(MAX_STATEMENT),
            max_packet,
            database: database.unwrap_or_default(),
            mariadb: version.to_ascii_lowercase().contains("mariadb"),
            folds_names: lower != 0,
            exact_collation,
        })
    }

    /// Connects with TLS, and without it where the mode leaves that open.
    async fn log_in(&self, name: &str, host: (&str, u16)) -> Result<Conn> {
        let plain = self.options.clone().ip_or_hostname(host.0).tcp_port(host.1);
        let failed = |e| error("connecting", e);
        let secure = match self.tls.mode {
            Mode::Disabled => return Conn::new(plain).await.map_err(failed),
            Mode::Preferred | Mode::Required | Mode::VerifyIdentity => {
                plain.clone().ssl_opts(self.tls.options(name))
            }
            Mode::VerifyCa => {
                let certified = self.tls.certified(host).await;
                let (ip, name) = certified.map_err(|e| e.context("doing", "connecting"))?;
                // The address that was looked at: a name may lead to several servers.
                plain.clone().ip_or_hostname(ip.to_string()).ssl_opts(self.tls.options(&name))
            }
        };
        let error = match Conn::new(secure).await {
            Ok(conn) => return Ok(conn),
            Err(error) => error,
        };
        if self.tls.mode != Mode::Preferred {
            return Err(failed(error));
        }
        if let Some(cause) = cause::<rustls::Error>(&error) {
            tracing::warn!(%cause, host = name, "no TLS with this server; connecting without");
        } else if !matches!(
            error,
            mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)
        ) {
            return Err(failed(error));
        }
        Conn::new(plain).await.map_err(failed)
    }
}

fn late(limit: Duration) -> Error {
    let message = format!("MySQL did not answer within {} ms", limit.as_millis());
    Error::connection(message).context("doing", "connecting")
}

/// The statements that set up the session; ours last, as in Connector/J, because the literals are written for them.
fn session(settings: &Settings, utc: bool) -> Result<Vec<String>> {
    let mut statements = match settings.parameter("sessionVariables") {
        Some(text) => assignments(text)?,
        None => Vec::new(),
    };
    let zone = if utc { Some("+00:00".to_owned()) } else { forced_zone(settings)? };
    let zone = zone.map(|zone| format!("time_zone = '{zone}', ")).unwrap_or_default();
    // Strict, as Connector/J makes it: a value that doesn't fit is an error, never cut. Backslashes escape, whatever
    // the server's default: literals are written for that.
    statements.push(format!(
        "SET NAMES utf8mb4, @ferrovia_zone = @@SESSION.time_zone, {zone}sql_mode = CONCAT_WS(',', \
         REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', ''), 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')"
    ));
    Ok(statements)
}

/// Whether tables are looked for in the URL's database alone, where no catalog is given. Connector/J has two names for it;
/// its default, and that of MariaDB's driver, is all databases.
pub(crate) fn null_means_current(settings: &Settings) -> Result<bool> {
    let database = settings.flag("nullDatabaseMeansCurrent")?;
    Ok(database.or(settings.flag("nullCatalogMeansCurrent")?).unwrap_or(false))
}

/// The time zone that the settings want for the session, as the server takes it.
pub(crate) fn forced_zone(settings: &Settings) -> Result<Option<String>> {
    let variables =
        settings.parameter("sessionVariables").map(zone_variable).transpose()?.flatten();
    if settings.flag("forceConnectionTimeZoneToSession")? != Some(true) {
        return Ok(variables);
    }
    let zone = |name: &'static str| settings.parameter(name).map(|zone| (name, zone.trim()));
    let Some((name, zone)) = zone("connectionTimeZone").or_else(|| zone("serverTimezone")) else {
        return Ok(variables);
    };
    match zone.to_ascii_uppercase().as_str() {
        "SERVER" => return Ok(variables),
        // The server knows zones by name only where its tables of them are filled.
        "UTC" | "GMT" | "Z" => return Ok(Some("+00:00".to_owned())),
        "LOCAL" => return Err(invalid(name, zone, "a zone's name or an offset expected")),
        _ => {}
    }
    if !is_zone(zone) {
        return Err(invalid(name, zone, "a zone's name or an offset expected, such as +02:00"));
    }
    Ok(Some(zone.to_owned()))
}

fn is_zone(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-:".contains(c))
}

/// The zone that `sessionVariables` sets, if it does so in a literal.
fn zone_variable(text: &str) -> Result<Option<String>> {
    let statements = assignments(text)?;
    let zone = statements.iter().rev().find_map(|statement| {
        let (name, value) = statement.split_once(" = ")?;
        name.eq_ignore_ascii_case("SET SESSION time_zone").then(|| value.trim_matches(['\'', '"']))
    });
    let server = |zone: &str| ["SYSTEM", "DEFAULT"].iter().any(|s| zone.eq_ignore_ascii_case(s));
    Ok(zone.filter(|zone| is_zone(zone) && !server(zone)).map(str::to_owned))
}

/// `sessionVariables` as statements: assignments between commas or semicolons outside of quotes and parentheses.
fn assignments(text: &str) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    for assignment in split(text) {
        let assignment = assignment.trim();
        if assignment.is_empty() {
            continue;
        }
        let wrong = |why: &str| Err(invalid("sessionVariables", assignment, why));
        let Some((name, value)) = assignment.split_once('=') else {
            return wrong("name=value expected");
        };
        let (name, value) = (name.trim().trim_end_matches(':'), value.trim());
        let (user, bare) = match name.strip_prefix('@') {
            Some(rest) if !rest.starts_with('@') => (true, rest),
            _ => (false, without_scope(name)),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || "_.$".contains(c);
        if bare.is_empty() || !bare.chars().all(valid) {
            return wrong("the name of a variable of the session expected before =");
        }
        if value.is_empty() {
            return wrong("a value expected after =");
        }
        let scope = if user { "@" } else { "SESSION " };
        statements.push(format!("SET {scope}{bare} = {value}"));
    }
    Ok(statements)
}

/// The name without what says that it is of the session.
fn without_scope(name: &str) -> &str {
    for scope in ["@@session.", "@@local.", "@@", "session ", "local "] {
        if let Some((start, rest)) = name.split_at_checked(scope.len())
            && start.eq_ignore_ascii_case(scope)
        {
            return rest.trim();
        }
    }
    name
}

fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote, mut escaped) = (Vec::new(), 0, 0, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\'' | '"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, ',' | ';') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_variables_are_split_outside_of_quotes() {
        let of = |text| assignments(text).unwrap();
        assert_eq!(
            of("sql_mode='A,B',foo=1;@x=concat('a,',\"b;\"), SESSION z = '\\',' ,@@session.y=2,"),
            [
                "SET SESSION sql_mode = 'A,B'",
                "SET SESSION foo = 1",
                "SET @x = concat('a,',\"b;\")",
                "SET SESSION z = '\\','",
                "SET SESSION y = 2",
            ]
        );
        for bad in ["foo", "foo=", "=1", "GLOBAL x=1", "@@global.x y=1", "a b=1", "x`=1"] {
            let error = assignments(bad).unwrap_err().to_string();
            assert!(error.contains("sessionVariables"), "{error}");
        }
    }

    #[test]
    fn parameters_are_named_once() {
        let mut names: Vec<_> = PARAMETERS.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), PARAMETERS.len());
    }
}
