//! `TimestampRouter`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Fate, Transformation, keys, simple_date_format::SimpleDateFormat};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    error::{Error, Result},
    record::Record,
};

fn topic_format() -> String {
    "${topic}-${timestamp}".to_owned()
}
fn timestamp_format() -> String {
    "yyyyMMdd".to_owned()
}

/// Keys of [`TimestampRouter`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TimestampRouterConfig {
    /// Format string which can contain <code>${topic}</code> and <code>${timestamp}</code> as placeholders for the
    /// topic and timestamp, respectively.
    #[serde(rename = "topic.format", default = "topic_format", deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    topic: String,
    /// Format string for the timestamp that is compatible with <code>java.text.SimpleDateFormat</code>.
    #[serde(
        rename = "timestamp.format",
        default = "timestamp_format",
        deserialize_with = "keys::trimmed"
    )]
    #[schemars(extend("x-importance" = "HIGH"))]
    timestamp: String,
}

/// Makes a topic of the topic and the timestamp (`org.apache.kafka.connect.transforms.TimestampRouter`).
pub(super) struct TimestampRouter {
    topic: String,
    timestamp: SimpleDateFormat,
}

fn format(config: &TimestampRouterConfig) -> Result<SimpleDateFormat, Invalid> {
    SimpleDateFormat::new(&config.timestamp)
        .map_err(|why| Invalid::value("timestamp.format", &config.timestamp, &why))
}

impl Transformation for TimestampRouter {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.TimestampRouter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = TimestampRouterConfig;

    fn validate(config: &TimestampRouterConfig) -> Vec<Invalid> {
        format(config).err().into_iter().collect()
    }
    fn new(config: TimestampRouterConfig) -> Result<Self> {
        let timestamp = format(&config).map_err(|invalid| Error::config(invalid.message()))?;
        Ok(Self { topic: config.topic, timestamp })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let Some(millis) = record.timestamp else {
            return Err(Error::data("Timestamp missing on record"));
        };
        let topic = record.topic.as_deref().unwrap_or_default();
        let named = self.topic.replace("${topic}", topic);
        record.topic = Some(named.replace("${timestamp}", &self.timestamp.format(millis)).into());
        Ok(Fate::Keep)
    }
}
