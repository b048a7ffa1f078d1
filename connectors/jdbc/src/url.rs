//! `jdbc:postgresql://host:port,host:port/database?key=value&...` and the like.

use std::{borrow::Cow, fmt};

use connect_core::{
    config::{Resolve, Secret},
    error::{Error, Result},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// Sub-protocols of the databases that there are connectors for.
const PROTOCOLS: [&str; 3] = ["postgresql", "mysql", "mariadb"];

/// A parsed `jdbc:` URL. A password in it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct JdbcUrl {
    /// `postgresql`, `mysql` or `mariadb`, in lower case.
    pub protocol: String,
    /// Hosts with their ports, at least one; the port is none where the URL has none.
    pub hosts: Vec<(String, Option<u16>)>,
    /// Database; empty if the URL has none.
    pub database: String,
    /// User in front of the host or among the parameters.
    pub user: Option<String>,
    /// Password in front of the host or among the parameters.
    pub password: Option<Secret>,
    /// The other parameters, in order.
    pub parameters: Vec<(String, String)>,
}

impl JdbcUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) with what is wrong, without the URL itself: it
    /// may hold a password.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::config(format!(
                "Invalid value for configuration connection.url: Not a valid JDBC URL: {why}; expected \
                 jdbc:postgresql://host:port/database or jdbc:mysql://host:port/database"
            ))
        };
        let rest =
            url.trim().strip_prefix("jdbc:").ok_or_else(|| bad("it does not start with jdbc:"))?;
        let (protocol, rest) = rest.split_once(':').ok_or_else(|| bad("it has no sub-protocol"))?;
        let protocol = protocol.to_ascii_lowercase();
        if !PROTOCOLS.contains(&&*protocol) {
            return Err(unsupported(&protocol));
        }
        let rest = rest.strip_prefix("//").ok_or_else(|| bad("it has no //host"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (mut user, mut password) = (None, None);
        if let Some(credentials) = credentials {
            let (name, secret) = credentials.split_once(':').unwrap_or((credentials, ""));
            user = Some(decode(name));
            password = Some(decode(secret)).filter(|p| !p.is_empty()).map(Secret::from);
        }
        let mut parameters = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (decode(key), decode(value)) {
                (key, value) if key == "user" => user = Some(value),
                (key, value) if key == "password" => password = Some(value.into()),
                other => parameters.push(other),
            }
        }
        let host = |host: &str| -> Result<(String, Option<u16>)> {
            // An IPv6 address stands in brackets.
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
                _ => (host, None),
            };
            let port = port.map(|p| p.parse().map_err(|_| bad(&format!("{p} is not a port"))));
            let name = name.trim_start_matches('[').trim_end_matches(']');
            Ok((if name.is_empty() { "localhost" } else { name }.to_owned(), port.transpose()?))
        };
        Ok(Self {
            protocol,
            hosts: hosts.split(',').map(|h| host(h.trim())).collect::<Result<_>>()?,
            database: decode(database),
            user,
            password,
            parameters,
        })
    }

    /// The hosts with their ports, where `resolve` leads.
    pub fn addresses(&self, default_port: u16, resolve: &Resolve) -> Vec<(String, u16)> {
        let address = |(host, port): &(String, Option<u16>)| {
            resolve.lookup(host, port.unwrap_or(default_port))
        };
        self.hosts.iter().map(address).collect()
    }

    /// The last value of a parameter; names are compared without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The error of a URL of another database. What is no name may be part of a password, and is not shown.
fn unsupported(protocol: &str) -> Error {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_".contains(c);
    let shown = match protocol.len() <= 20 && protocol.chars().all(plain) {
        true => format!("jdbc:{protocol}: is the URL of a database that there is no connector for"),
        false => "it is not the URL of a database that there is a connector for".to_owned(),
    };
    Error::config(format!(
        "Invalid value for configuration connection.url: {shown}; the databases are PostgreSQL (jdbc:postgresql:), MySQL \
         (jdbc:mysql:) and MariaDB (jdbc:mariadb:)"
    ))
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl fmt::Debug for JdbcUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jdbc:{}://{:?}/{}", self.protocol, self.hosts, self.database)
    }
}

impl<'de> Deserialize<'de> for JdbcUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for JdbcUrl {
    fn schema_name() -> Cow<'static, str> {
        "JdbcUrl".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_urls() {
        let url = JdbcUrl::parse("jdbc:postgresql://postgres-db:5432/mydb").unwrap();
        assert_eq!(url.protocol, "postgresql");
        assert_eq!(
            (url.hosts, url.database),
            (vec![("postgres-db".into(), Some(5432))], "mydb".into())
        );
        let url = JdbcUrl::parse("jdbc:mysql://mysql-db:3306/mysql-db-sync").unwrap();
        let resolve = "mysql-db:3306:127.0.0.1:33".parse().unwrap();
        assert_eq!(url.addresses(3306, &resolve), [("127.0.0.1".into(), 33)]);
    }

    #[test]
    fn parameters_credentials_and_several_hosts() {
        let url = JdbcUrl::parse(
            "jdbc:postgresql://u:p%40@a,[::1]:6000/db?ssl=true&password=s%2F&currentSchema=x",
        )
        .unwrap();
        assert_eq!(url.hosts, [("a".into(), None), ("::1".into(), Some(6000))]);
        assert_eq!(url.user.as_deref(), Some("u"));
        assert_eq!(url.password.as_ref().unwrap().expose(), "s/");
        assert_eq!(url.parameter("CURRENTSCHEMA"), Some("x"));
        assert!(!format!("{url:?}").contains("s/"));
    }

    #[test]
    fn errors_say_what_would_be_right_and_hide_the_url() {
        for bad in [
            "",
            "postgres://u:secret@h/d",
            "jdbc:postgresql",
            "jdbc:mysql:h/secret",
            "jdbc:mysql://h:secret/d",
        ] {
            let error = JdbcUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains("Not a valid JDBC URL"), "{error}");
            assert!(!error.contains("u:secret"), "{error}");
        }
    }

    #[test]
    fn other_databases_are_refused_by_name() {
        for (url, name) in [
            ("jdbc:oracle:thin:u/secret@//h:1521/d", "jdbc:oracle:"),
            ("jdbc:sqlserver://h:1433;databaseName=d;password=secret", "jdbc:sqlserver:"),
            ("jdbc:sqlite:/secret/file.db", "jdbc:sqlite:"),
            ("jdbc:postgres://u:secret@h/d", "jdbc:postgres:"),
            ("jdbc:pass secret:x", "it is not the URL"),
        ] {
            let error = JdbcUrl::parse(url).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("jdbc:mariadb:"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
