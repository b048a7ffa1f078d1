//! Converters: values to the bytes of a message and back (`org.apache.kafka.connect.storage.Converter`).

mod charset;
mod json;
mod json_decode;
mod json_encode;
mod json_schema;
mod plain;
mod string;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub use json::{DecimalFormat, JsonConverter, JsonConverterConfig};
pub use plain::{
    BooleanConverter, ByteArrayConverter, DoubleConverter, FloatConverter, IntegerConverter,
    LongConverter, PlainConfig, ShortConverter,
};
pub use string::{NoConfig, SimpleHeaderConverter, StringConverter, StringConverterConfig};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    config::{ConfigSpec, Invalid},
    data::{Schema, Value},
    error::Result,
    registry::Registry,
};

/// A value with its schema; none means schemaless.
pub type SchemaAndValue = (Option<Arc<Schema>>, Value);

/// Encodes and decodes. One task owns it: it may keep caches.
pub trait Converter: Send {
    /// Appends the encoded value to `out`; false means that the message has none (null), and nothing is appended.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::error::ErrorKind::Data) if the value does not fit the schema.
    fn encode(
        &mut self,
        schema: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool>;

    /// Decodes; text without escapes is a slice of `message`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::error::ErrorKind::Data) if the message is not of this format.
    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue>;
}

/// What of a record a converter is for: `converter.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names say it")]
pub enum ConverterType {
    Key,
    Value,
    Header,
}

/// A converter as configurations name it.
pub trait ConverterClass: Converter + Sized + 'static {
    /// Its class, as people write it in `value.converter`.
    const NAME: &'static str;
    /// Version shown by REST.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Configuration, see [`crate::config`]; its keys stand below a prefix such as `value.converter.`. Besides them
    /// it is given `converter.type`: key, value or header.
    type Config: ConfigSpec;

    /// Checks what no single key shows; called when a configuration is submitted, before it is stored.
    fn validate(_: &Self::Config) -> Vec<Invalid> {
        Vec::new()
    }
    /// Builds it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a configuration that cannot work.
    fn new(config: Self::Config) -> Result<Self>;
}

/// The converters of Apache Kafka.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .converter::<BooleanConverter>()
        .converter::<ByteArrayConverter>()
        .converter::<DoubleConverter>()
        .converter::<FloatConverter>()
        .converter::<IntegerConverter>()
        .converter::<JsonConverter>()
        .converter::<LongConverter>()
        .converter::<ShortConverter>()
        .converter::<StringConverter>()
        .header_converter::<SimpleHeaderConverter>()
}
