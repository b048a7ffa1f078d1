//! Configuration, by environment variables and `--resolve`.

use anyhow::{Context, Result};
use connect_core::config::{Resolve, Secret};

/// How the service is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `/health` answers (`SYNC_LISTEN`).
    pub listen: String,
    /// The brokers (`KAFKA_BOOTSTRAP_SERVERS`).
    pub bootstrap_servers: String,
    /// Consumer group (`KAFKA_GROUP_ID`).
    pub group: String,
    /// Topic to read (`SYNC_TOPIC`).
    pub topic: String,
    /// Where messages go that can never be written (`SYNC_DLQ_TOPIC`).
    pub dlq_topic: String,
    /// Table to write, bare or `schema.table` (`SYNC_TABLE`).
    pub table: String,
    /// The database.
    pub postgres: PostgresConfig,
    /// Where host names lead (`RESOLVE`, `--resolve`).
    pub resolve: Resolve,
}

/// Where the database is: libpq's own variables.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `PGHOST`.
    pub host: String,
    /// `PGPORT`.
    pub port: u16,
    /// `PGUSER`.
    pub user: String,
    /// `PGPASSWORD`.
    pub password: Option<Secret>,
    /// `PGDATABASE`.
    pub database: String,
}

impl Config {
    /// Reads the variables; `resolve` holds further overrides, which count first.
    ///
    /// # Errors
    /// If one has a value that it cannot have.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>, resolve: &[String]) -> Result<Self> {
        let text = |name: &str, default: &str| {
            variable(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let port = text("PGPORT", "5432");
        let topic = text("SYNC_TOPIC", "carga_topic");
        let mut overrides: Resolve = resolve.join(",").parse()?;
        overrides.extend(text("RESOLVE", "").parse()?);
        Ok(Self {
            listen: text("SYNC_LISTEN", "0.0.0.0:3000"),
            bootstrap_servers: text("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"),
            group: text("KAFKA_GROUP_ID", "sync-group"),
            dlq_topic: text("SYNC_DLQ_TOPIC", &format!("{topic}.dlq")),
            topic,
            table: text("SYNC_TABLE", "tabela"),
            postgres: PostgresConfig {
                host: text("PGHOST", "postgres-db"),
                port: port.parse().with_context(|| format!("PGPORT={port} is not a port"))?,
                user: text("PGUSER", "user"),
                password: variable("PGPASSWORD").map(Secret::from),
                database: text("PGDATABASE", "mydb"),
            },
            resolve: overrides,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_users_system_and_the_password_is_hidden() {
        let password = |name: &str| (name == "PGPASSWORD").then(|| "s3cret".to_owned());
        let config = Config::from_env(password, &["a:1:b:2".into()]).unwrap();
        assert_eq!((&*config.topic, &*config.dlq_topic), ("carga_topic", "carga_topic.dlq"));
        assert_eq!(config.resolve.lookup("a", 1), ("b".into(), 2));
        assert!(!format!("{config:?}").contains("s3cret"));
        let bad = |name: &str| (name == "PGPORT").then(|| "x".to_owned());
        assert!(Config::from_env(bad, &[]).unwrap_err().to_string().contains("PGPORT=x"));
    }
}
