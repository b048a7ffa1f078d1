//! `RegexRouter`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation,
    java_regex::{JavaRegex, Replacement},
    keys,
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    error::{Error, Result},
    record::Record,
};

/// Changes the topic if it matches as a whole (`org.apache.kafka.connect.transforms.RegexRouter`).
pub(super) struct RegexRouter {
    regex: JavaRegex,
    replacement: Replacement,
}

/// Keys of [`RegexRouter`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RegexRouterConfig {
    /// Regular expression to use for matching.
    #[serde(deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    regex: String,
    /// Replacement string.
    #[serde(deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    replacement: String,
}

impl Transformation for RegexRouter {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.RegexRouter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = RegexRouterConfig;

    fn validate(config: &RegexRouterConfig) -> Vec<Invalid> {
        JavaRegex::of_key("regex", &config.regex).err().into_iter().collect()
    }
    fn new(config: RegexRouterConfig) -> Result<Self> {
        let regex = JavaRegex::of_key("regex", &config.regex)
            .map_err(|invalid| Error::config(invalid.message()))?;
        let replacement = regex.replacement(&config.replacement);
        Ok(Self { regex, replacement })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let topic = record.topic.as_deref().unwrap_or_default();
        if self.regex.matches(topic)? {
            record.topic = Some(self.regex.replace_first(topic, &self.replacement)?.into());
        }
        Ok(Fate::Keep)
    }
}
