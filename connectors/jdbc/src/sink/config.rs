//! The sink's configuration: its keys, and what they mean together.

use std::{borrow::Cow, ops::Deref};

use connect_core::config::{Properties, parse};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::keys::SinkKeys;
use crate::{
    connection::Settings,
    is_aiven,
    names::{Quote, Quoting},
};

/// The configuration: the keys, and what stands beside them.
#[derive(Debug, Clone)]
pub struct SinkConfig {
    keys: SinkKeys,
    /// Where and how to connect.
    pub connection: Settings,
    /// Name of the connector; empty where it has none.
    pub name: String,
    /// Whether the class is Aiven's.
    pub aiven: bool,
    /// The topics that the connector reads, where it names them.
    pub topics: Vec<String>,
}

impl Deref for SinkConfig {
    type Target = SinkKeys;
    fn deref(&self) -> &SinkKeys {
        &self.keys
    }
}

impl<'de> Deserialize<'de> for SinkConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let properties = Properties::deserialize(deserializer)?;
        let keys: SinkKeys = parse(&properties).map_err(D::Error::custom)?;
        let connection = Settings::new(
            keys.url.clone(),
            (keys.user.clone(), keys.password.clone()),
            keys.resolve.clone(),
            (keys.connection_attempts, keys.connection_backoff.get()),
            &properties,
        );
        let name = properties.get("name").cloned().unwrap_or_default();
        let topics = properties.get("topics").map(String::as_str).unwrap_or_default();
        let topics = topics.split(',').map(|topic| topic.trim().to_owned());
        let topics = topics.filter(|topic| !topic.is_empty()).collect();
        Ok(Self { keys, connection, name, aiven: is_aiven(&properties), topics })
    }
}

impl JsonSchema for SinkConfig {
    fn schema_name() -> Cow<'static, str> {
        SinkKeys::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SinkKeys::json_schema(generator)
    }
}

impl SinkConfig {
    /// How identifiers stand in statements; Aiven's key is another.
    pub fn quoting(&self, quote: Quote) -> Quoting {
        match self.aiven {
            true if !self.aiven_quote => quote.never(),
            true => quote.always(),
            false => self.quote_identifiers.with(quote),
        }
    }
    /// Whether tables of this kind count as existing. Aiven has no key for it.
    pub fn takes(&self, kind: &str) -> bool {
        match self.aiven {
            true => matches!(kind, "TABLE" | "PARTITIONED TABLE"),
            false => self.table_types.iter().any(|taken| taken.eq_ignore_ascii_case(kind)),
        }
    }
}
