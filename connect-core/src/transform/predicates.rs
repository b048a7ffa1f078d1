//! `org.apache.kafka.connect.transforms.predicates`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Predicate, java_regex::JavaRegex, keys};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    error::{Error, Result},
    record::Record,
};

/// True for records with at least one header with the configured name
/// (`org.apache.kafka.connect.transforms.predicates.HasHeaderKey`).
pub(super) struct HasHeaderKey(String);

/// Keys of [`HasHeaderKey`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct HasHeaderKeyConfig {
    /// The header name.
    #[serde(deserialize_with = "keys::trimmed")]
    #[schemars(length(min = 1))]
    name: String,
}

impl Predicate for HasHeaderKey {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.predicates.HasHeaderKey";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = HasHeaderKeyConfig;

    fn new(config: HasHeaderKeyConfig) -> Result<Self> {
        Ok(Self(config.name))
    }
    fn test(&self, record: &Record) -> bool {
        record.headers.iter().any(|header| header.name == *self.0)
    }
}

/// True for records whose value is null (`org.apache.kafka.connect.transforms.predicates.RecordIsTombstone`).
pub(super) struct RecordIsTombstone;

/// Nothing to configure.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RecordIsTombstoneConfig {}

impl Predicate for RecordIsTombstone {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = RecordIsTombstoneConfig;

    fn new(_: RecordIsTombstoneConfig) -> Result<Self> {
        Ok(Self)
    }
    fn test(&self, record: &Record) -> bool {
        record.value.is_null()
    }
}

/// True for records whose topic matches as a whole (`org.apache.kafka.connect.transforms.predicates.TopicNameMatches`).
pub(super) struct TopicNameMatches(JavaRegex);

/// Keys of [`TopicNameMatches`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TopicNameMatchesConfig {
    /// A Java regular expression for matching against the name of a record's topic.
    #[serde(deserialize_with = "keys::trimmed")]
    #[schemars(length(min = 1))]
    pattern: String,
}

impl Predicate for TopicNameMatches {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = TopicNameMatchesConfig;

    fn validate(config: &TopicNameMatchesConfig) -> Vec<Invalid> {
        JavaRegex::of_key("pattern", &config.pattern).err().into_iter().collect()
    }
    fn new(config: TopicNameMatchesConfig) -> Result<Self> {
        let regex = JavaRegex::of_key("pattern", &config.pattern);
        Ok(Self(regex.map_err(|invalid| Error::config(invalid.message()))?))
    }
    fn test(&self, record: &Record) -> bool {
        // A pattern that gives up says nothing; the trait has no place for it.
        record.topic.as_ref().is_some_and(|topic| self.0.matches(topic).unwrap_or(false))
    }
}
