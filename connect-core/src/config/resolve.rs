//! `host:port:addr:port` overrides of where a host name leads, as curl's `--resolve` and `--connect-to`: a
//! configuration written for a container network runs anywhere unchanged.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::error::{Error, Result};

/// Overrides, tried in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolve(Vec<Override>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    from: (String, u16),
    to: (String, u16),
}

impl Resolve {
    /// Where `host:port` leads; itself, if nothing says otherwise.
    pub fn lookup(&self, host: &str, port: u16) -> (String, u16) {
        let found = self.0.iter().find(|o| o.from.0.eq_ignore_ascii_case(host) && o.from.1 == port);
        found.map_or_else(|| (host.to_owned(), port), |o| o.to.clone())
    }
    /// Applies [`lookup`](Self::lookup) to each `host:port` of a comma-separated list; what isn't of that form
    /// stays as it is.
    pub fn rewrite(&self, addresses: &str) -> String {
        let rewritten = addresses.split(',').map(|address| {
            let address = address.trim();
            let parts = address.rsplit_once(':').and_then(|(h, p)| Some((h, p.parse().ok()?)));
            match parts {
                Some((host, port)) => {
                    let (host, port) = self.lookup(host, port);
                    format!("{host}:{port}")
                }
                None => address.to_owned(),
            }
        });
        rewritten.collect::<Vec<_>>().join(",")
    }
    /// Adds the overrides of another list after these.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl FromStr for Resolve {
    type Err = Error;
    /// Parses a comma-separated list; an address in brackets may be IPv6.
    fn from_str(text: &str) -> Result<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(parse).collect::<Result<_>>().map(Self)
    }
}

fn parse(entry: &str) -> Result<Override> {
    let bad = || {
        Error::config(format!(
            "Invalid value {entry} for resolve: expected host:port:addr:port, such as \
             postgres-db:5432:127.0.0.1:5433"
        ))
    };
    let (rest, to_port) = entry.rsplit_once(':').ok_or_else(bad)?;
    let (host, rest) = rest.split_once(':').ok_or_else(bad)?;
    let (port, to_host) = rest.split_once(':').ok_or_else(bad)?;
    let to_host = to_host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || to_host.is_empty() {
        return Err(bad());
    }
    let port = port.parse().map_err(|_| bad())?;
    let to_port = to_port.parse().map_err(|_| bad())?;
    Ok(Override { from: (host.to_owned(), port), to: (to_host.to_owned(), to_port) })
}

impl fmt::Display for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, o) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}:{}:{}", o.from.0, o.from.1, o.to.0, o.to.1)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Resolve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Resolve {
    fn schema_name() -> Cow<'static, str> {
        "Resolve".into()
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
    fn overrides_one_host_and_port() {
        let resolve: Resolve = "db:5432:127.0.0.1:6000, kafka:9092:[::1]:9".parse().unwrap();
        assert_eq!(resolve.lookup("DB", 5432), ("127.0.0.1".into(), 6000));
        assert_eq!(resolve.lookup("db", 5433), ("db".into(), 5433));
        assert_eq!(resolve.rewrite("kafka:9092,other:1"), "::1:9,other:1");
        assert_eq!(resolve.to_string().parse::<Resolve>().unwrap(), resolve);
    }

    #[test]
    fn says_what_would_be_right() {
        for bad in ["db", "db:5432", "db:x:1.2.3.4:5", "db:1:1.2.3.4", ":1:a:2"] {
            let error = bad.parse::<Resolve>().unwrap_err().to_string();
            assert!(error.contains(bad) && error.contains("host:port:addr:port"), "{error}");
        }
    }
}
