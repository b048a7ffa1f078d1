//! Configuration of the binary, from the environment.

use std::net::ToSocketAddrs;

use connect_core::{
    config::{Properties, Resolve, parse},
    error::{Error, Result},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{CassandraOptions, Options};

fn listen() -> String {
    "0.0.0.0:8000".into()
}
fn bootstrap_servers() -> String {
    "kafka:9092".into()
}
fn topic() -> String {
    "carga_topic".into()
}
fn contact_points() -> String {
    "cassandra-db:9042".into()
}
fn keyspace() -> String {
    "my_keyspace".into()
}
fn table() -> String {
    "tabela".into()
}

/// What the environment says.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Config {
    /// Address to serve HTTP on.
    #[serde(rename = "CARGA_LISTEN", default = "listen")]
    listen: String,
    /// Brokers, `host:port,...`.
    #[serde(rename = "KAFKA_BOOTSTRAP_SERVERS", default = "bootstrap_servers")]
    bootstrap_servers: String,
    /// Topic that records are announced in.
    #[serde(rename = "CARGA_TOPIC", default = "topic")]
    topic: String,
    /// Cassandra nodes, `host:port,...`.
    #[serde(rename = "CASSANDRA_CONTACT_POINTS", default = "contact_points")]
    contact_points: String,
    /// Keyspace.
    #[serde(rename = "CASSANDRA_KEYSPACE", default = "keyspace")]
    keyspace: String,
    /// Table, with the text columns id (its primary key) and valor.
    #[serde(rename = "CASSANDRA_TABLE", default = "table")]
    table: String,
    /// Where names lead, `host:port:addr:port,...`.
    #[serde(rename = "RESOLVE", default)]
    resolve: Resolve,
}

impl Config {
    /// Reads the environment and the arguments, which may be `--resolve host:port:addr:port`, repeated; they come before
    /// what `RESOLVE` says.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config), naming every variable or argument that is wrong.
    pub fn read(
        environment: impl IntoIterator<Item = (String, String)>,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self> {
        let set = environment.into_iter().filter(|(_, value)| !value.is_empty());
        let mut config: Self = parse(&set.collect::<Properties>())?;
        let mut resolve = Resolve::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument != "--resolve" {
                return Err(Error::config(format!(
                    "Unknown argument {argument}: expected --resolve host:port:addr:port; all else is said by environment variables"
                )));
            }
            let value = arguments
                .next()
                .ok_or_else(|| Error::config("--resolve needs a value: host:port:addr:port"))?;
            resolve.extend(value.parse()?);
        }
        resolve.extend(std::mem::take(&mut config.resolve));
        config.resolve = resolve;
        let listen = config.listen.to_socket_addrs();
        listen.map_err(|e| {
            let given = &config.listen;
            Error::config(format!(
                "Invalid value {given} for configuration CARGA_LISTEN: expected host:port, such as 0.0.0.0:8000"
            ))
            .with_source(e)
        })?;
        Ok(config)
    }

    /// How to serve.
    pub fn options(&self) -> Options {
        Options { listen: self.listen.clone(), topic: self.topic.clone(), ..Options::default() }
    }
    /// Where the brokers are.
    pub fn bootstrap_servers(&self) -> String {
        self.resolve.rewrite(&self.bootstrap_servers)
    }
    /// Where Cassandra is.
    pub fn cassandra(&self) -> CassandraOptions {
        CassandraOptions {
            contact_points: self.resolve.rewrite(&self.contact_points),
            keyspace: self.keyspace.clone(),
            table: self.table.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[(&str, &str)], arguments: &[&str]) -> Result<Config> {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        Config::read(environment.iter().map(own), arguments.iter().map(|a| (*a).to_owned()))
    }

    #[test]
    fn the_defaults_are_the_users_containers_and_names_lead_elsewhere() {
        let config = read(&[], &[]).unwrap();
        assert_eq!(config.bootstrap_servers(), "kafka:9092");
        assert_eq!(config.options().listen, "0.0.0.0:8000");
        let environment = [
            ("RESOLVE", "kafka:9092:127.0.0.1:1,cassandra-db:9042:127.0.0.1:2"),
            ("CARGA_LISTEN", "127.0.0.1:1"),
            ("CARGA_TOPIC", ""),
        ];
        let config = read(&environment, &["--resolve", "kafka:9092:127.0.0.1:3"]).unwrap();
        assert_eq!(config.bootstrap_servers(), "127.0.0.1:3");
        assert_eq!(config.cassandra().contact_points, "127.0.0.1:2");
        assert_eq!(config.options().topic, "carga_topic");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |env: &[(&str, &str)], args: &[&str]| read(env, args).unwrap_err().to_string();
        assert!(error(&[], &["--port", "1"]).contains("--port"));
        assert!(error(&[], &["--resolve"]).contains("host:port:addr:port"));
        assert!(error(&[("CARGA_LISTEN", "nowhere")], &[]).contains("CARGA_LISTEN"));
        assert!(error(&[("RESOLVE", "x")], &[]).contains("host:port:addr:port"));
    }
}
