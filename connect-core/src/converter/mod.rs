//! Converters: values to the bytes of a message and back (`org.apache.kafka.connect.storage.Converter`).

mod json;
mod json_decode;
mod json_encode;
mod json_schema;
mod plain;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

pub use json::{JsonConverter, JsonConverterConfig};
pub use plain::{ByteArrayConverter, StringConverter};

use crate::{
    config::{self, Properties},
    data::{Schema, Value},
    error::{Error, Result},
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

/// Class names of the converters, as configurations write them.
pub const CLASSES: &[&str] = &[
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.storage.StringConverter",
];

/// Whether `class` names a converter: its full name, or the part after the last dot.
pub fn find(class: &str) -> Option<&'static str> {
    CLASSES.iter().copied().find(|known| *known == class || known.rsplit('.').next() == Some(class))
}

/// Builds the converter of this class with its own properties (the prefix, such as `value.converter.`, removed).
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for an unknown class or a bad property.
pub fn open(class: &str, properties: &Properties) -> Result<Box<dyn Converter>> {
    match find(class).and_then(|known| known.rsplit('.').next()) {
        Some("JsonConverter") => Ok(Box::new(JsonConverter::new(config::parse(properties)?))),
        Some("StringConverter") => Ok(Box::new(StringConverter::default())),
        Some("ByteArrayConverter") => Ok(Box::new(ByteArrayConverter::default())),
        _ => Err(Error::config(format!(
            "Class {class} could not be found; the converters are: {}",
            CLASSES.join(", ")
        ))),
    }
}
