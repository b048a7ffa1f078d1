//! Configuration: one struct with `Deserialize + JsonSchema` is the parser, the validator, the documentation and
//! Connect's `ConfigDef` (invariant 7).

mod def;
mod properties;
mod resolve;
mod types;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use def::{ConfigKey, ConfigType, config_def, java_trim};
pub use resolve::Resolve;
pub use types::{Millis, Secret};

use crate::error::{Error, Result};

/// A configuration as Connect keeps it: flat, string to string.
pub type Properties = BTreeMap<String, String>;

/// What a connector's `Config` must be. Blanket-implemented, never by hand.
pub trait ConfigSpec: DeserializeOwned + JsonSchema + Send + Sync + 'static {}
impl<T: DeserializeOwned + JsonSchema + Send + Sync + 'static> ConfigSpec for T {}

/// What is wrong with a key, in the words of `org.apache.kafka.common.config.ConfigException`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The key.
    pub key: String,
    /// The key as the message names it.
    named: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Missing,
    Value { value: String, why: String },
    List(String),
    Other(String),
}

impl Invalid {
    fn of(key: impl Into<String>, problem: Problem) -> Self {
        let key = key.into();
        Self { named: key.clone(), key, problem }
    }
    /// A message of one's own.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(key, Problem::Other(message.into()))
    }
    /// `Invalid value V for configuration K: why`.
    pub fn value(key: &str, value: &str, why: &str) -> Self {
        Self::of(key, Problem::Value { value: value.to_owned(), why: why.to_owned() })
    }
    /// `Configuration 'K' why`, which is how a list is refused.
    pub fn list(key: &str, why: &str) -> Self {
        Self::of(key, Problem::List(why.to_owned()))
    }
    /// `Missing required configuration "K" which has no default value.`
    pub fn missing(key: &str) -> Self {
        Self::of(key, Problem::Missing)
    }
    /// The same of a key that stands below a prefix. Connect names it in full for a transformation, and without the
    /// prefix for a converter.
    #[must_use]
    pub fn below(mut self, prefix: &str, named_in_full: bool) -> Self {
        self.key.insert_str(0, prefix);
        if named_in_full {
            self.named.insert_str(0, prefix);
        }
        self
    }
    /// The message.
    pub fn message(&self) -> String {
        let key = &self.named;
        match &self.problem {
            Problem::Missing => {
                format!("Missing required configuration \"{key}\" which has no default value.")
            }
            Problem::Value { value, why } => {
                format!("Invalid value {value} for configuration {key}: {why}")
            }
            Problem::List(why) => format!("Configuration '{key}' {why}"),
            Problem::Other(message) => message.clone(),
        }
    }
}

/// Checks every key by itself: presence, type, range, choices.
pub fn validate(keys: &[ConfigKey], properties: &Properties) -> Vec<Invalid> {
    keys.iter().filter_map(|key| key.check(properties.get(&key.name))).collect()
}

/// Parses `T`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming every key that is missing or malformed.
pub fn parse<T: ConfigSpec>(properties: &Properties) -> Result<T> {
    let invalid = validate(&def::shared::<T>(), properties);
    if !invalid.is_empty() {
        let all: Vec<_> = invalid.iter().map(Invalid::message).collect();
        return Err(Error::config(all.join("\n")));
    }
    properties::deserialize(properties)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Bulk,
        #[serde(rename = "timestamp+incrementing")]
        TimestampIncrementing,
    }

    fn thousand() -> u32 {
        1000
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Jdbc {
        /// Connection URL.
        #[serde(rename = "connection.url")]
        #[schemars(extend("x-importance" = "HIGH", "x-group" = "Database"))]
        url: String,
        /// Password.
        #[serde(rename = "connection.password")]
        password: Option<Secret>,
        /// How to find new rows.
        mode: Mode,
        /// Other mode.
        other: Option<Mode>,
        /// Poll interval.
        #[serde(rename = "poll.interval.ms", default)]
        poll: Millis<5000>,
        /// Rows.
        #[serde(rename = "batch.max.rows", default = "thousand")]
        #[schemars(range(min = 1))]
        rows: u32,
        /// Tables to copy.
        #[serde(rename = "table.whitelist", default)]
        tables: Vec<String>,
        /// A flag.
        #[serde(default)]
        flag: bool,
    }

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn strings_become_types() {
        let config: Jdbc = parse(&properties(&[
            ("name", "src"),
            ("connection.url", "jdbc:postgresql://db/x"),
            ("connection.password", "s3cret"),
            ("mode", "timestamp+incrementing"),
            ("other", "BULK"),
            ("poll.interval.ms", " 250 "),
            ("table.whitelist", "public.a , public.b"),
            ("flag", "TRUE"),
        ]))
        .unwrap();
        assert_eq!((config.mode, config.other), (Mode::TimestampIncrementing, Some(Mode::Bulk)));
        assert_eq!(config.poll.get().as_millis(), 250);
        assert_eq!(config.tables, ["public.a", "public.b"]);
        assert_eq!(config.rows, 1000);
        assert!(config.flag);
        assert_eq!(config.url, "jdbc:postgresql://db/x");
        let password = config.password.unwrap();
        assert_eq!((password.expose(), format!("{password:?}")), ("s3cret", "[hidden]".into()));
    }

    #[test]
    fn every_bad_key_is_named_at_once_in_connects_words() {
        let error = parse::<Jdbc>(&properties(&[
            ("mode", "all"),
            ("poll.interval.ms", "soon"),
            ("batch.max.rows", "0"),
            ("flag", "maybe"),
        ]))
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Missing required configuration \"connection.url\" which has no default value.\n\
             Invalid value all for configuration mode: String must be one of: bulk, timestamp+incrementing\n\
             Invalid value soon for configuration poll.interval.ms: Not a number of type LONG\n\
             Invalid value 0 for configuration batch.max.rows: Value must be at least 1\n\
             Invalid value maybe for configuration flag: Expected value to be either true or false"
        );
    }

    #[test]
    fn definitions_come_from_the_struct() {
        let keys = config_def::<Jdbc>();
        let shown: Vec<_> = keys
            .iter()
            .map(|k| (k.name.as_str(), k.ty, k.required, k.default.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            shown,
            [
                ("connection.url", ConfigType::String, true, "-"),
                ("connection.password", ConfigType::Password, false, "-"),
                ("mode", ConfigType::String, true, "-"),
                ("other", ConfigType::String, false, "-"),
                ("poll.interval.ms", ConfigType::Long, false, "5000"),
                ("batch.max.rows", ConfigType::Int, false, "1000"),
                ("table.whitelist", ConfigType::List, false, ""),
                ("flag", ConfigType::Boolean, false, "false"),
            ]
        );
        assert_eq!(keys[0].importance, "HIGH");
        assert_eq!(keys[0].group.as_deref(), Some("Database"));
        assert!(keys.iter().all(|key| key.documentation.ends_with('.')));
    }
}
