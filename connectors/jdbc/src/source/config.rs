//! The source's configuration: its keys, and what they mean together.

use std::{borrow::Cow, ops::Deref};

use connect_core::config::{Properties, Secret, parse};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::keys::{NumericMapping, SourceKeys};
use crate::{
    connection::Settings,
    is_aiven,
    names::{Quote, Quoting},
};

/// The configuration: the keys, and what stands beside them.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    keys: SourceKeys,
    /// Where and how to connect.
    pub connection: Settings,
    /// Whether the class is Aiven's.
    pub aiven: bool,
    /// Whether records are transformed: what gives them a topic.
    pub transforms: bool,
}

impl Deref for SourceConfig {
    type Target = SourceKeys;
    fn deref(&self) -> &SourceKeys {
        &self.keys
    }
}

impl<'de> Deserialize<'de> for SourceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let properties = Properties::deserialize(deserializer)?;
        let keys: SourceKeys = parse(&properties).map_err(D::Error::custom)?;
        let connection = Settings::new(
            keys.url.clone(),
            (keys.user.clone(), keys.password.clone()),
            keys.resolve.clone(),
            (keys.connection_attempts, keys.connection_backoff.get()),
            &properties,
        );
        let transforms = properties.get("transforms").is_some_and(|names| !names.trim().is_empty());
        Ok(Self { keys, connection, aiven: is_aiven(&properties), transforms })
    }
}

impl JsonSchema for SourceConfig {
    fn schema_name() -> Cow<'static, str> {
        SourceKeys::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        SourceKeys::json_schema(generator)
    }
}

impl SourceConfig {
    /// The query to copy; none where tables are copied.
    pub fn query(&self) -> Option<&str> {
        let masked = self.query_masked.as_ref().map(Secret::expose).unwrap_or_default();
        [self.query.trim(), masked.trim()].into_iter().find(|query| !query.is_empty())
    }
    /// The channel that tells of what was committed; none where it is not listened for.
    pub fn channel(&self) -> Option<&str> {
        Some(self.notify_channel.trim()).filter(|channel| !channel.is_empty())
    }
    /// Most rows in a batch: Aiven's default is another.
    pub fn max_rows(&self) -> usize {
        self.batch_max_rows.unwrap_or(if self.aiven { 100 } else { 3000 }) as usize
    }
    /// What NUMERIC becomes; `numeric.precision.mapping` is the older name.
    pub fn numeric(&self) -> NumericMapping {
        match self.numeric_mapping {
            Some(mapping) => mapping,
            None if self.numeric_precision_mapping => NumericMapping::PrecisionOnly,
            None => NumericMapping::None,
        }
    }
    /// How identifiers stand in statements; Aiven's key is another.
    pub fn quoting(&self, quote: Quote) -> Quoting {
        match self.aiven {
            true if !self.aiven_quote => quote.never(),
            true => quote.always(),
            false => self.quote_identifiers.with(quote),
        }
    }
    /// Milliseconds to start after where there is no offset: -1 is now.
    pub fn initial_timestamp(&self) -> Option<i64> {
        if self.aiven { self.aiven_timestamp_initial } else { self.timestamp_initial }
    }
    /// Value to start after where there is no offset.
    pub fn initial_incrementing(&self) -> i64 {
        if self.aiven { self.incrementing_initial } else { -1 }
    }
}
