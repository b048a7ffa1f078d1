//! Converters without structure: text and bytes.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Converter, ConverterClass, SchemaAndValue, json_encode};
use crate::{
    CONNECT_VERSION,
    data::{Schema, Text, Type, Value},
    error::{Error, Result},
};

/// Keys of a converter that has none of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct PlainConfig {}

/// `org.apache.kafka.connect.storage.StringConverter`: text as UTF-8; anything else as its `toString()`.
pub struct StringConverter(Arc<Schema>);

impl Default for StringConverter {
    fn default() -> Self {
        Self(Arc::new(Schema::new(Type::String).optional(true)))
    }
}

impl ConverterClass for StringConverter {
    const NAME: &'static str = "org.apache.kafka.connect.storage.StringConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = PlainConfig;

    fn new(_: PlainConfig) -> Result<Self> {
        Ok(Self::default())
    }
}

impl Converter for StringConverter {
    fn encode(
        &mut self,
        schema: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool> {
        match value {
            Value::Null => return Ok(false),
            Value::String(text) => out.put_slice(text.as_bytes()),
            other => json_encode::Encoder::plain().value(schema.map(AsRef::as_ref), other, out)?,
        }
        Ok(true)
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let value = match message {
            None => Value::Null,
            Some(bytes) => Value::String(
                Text::try_from(bytes.clone())
                    .map_err(|e| Error::data("Failed to deserialize to a string").with_source(e))?,
            ),
        };
        Ok((Some(Arc::clone(&self.0)), value))
    }
}

/// `org.apache.kafka.connect.converters.ByteArrayConverter`: bytes as they are.
pub struct ByteArrayConverter(Arc<Schema>);

impl Default for ByteArrayConverter {
    fn default() -> Self {
        Self(Arc::new(Schema::new(Type::Bytes).optional(true)))
    }
}

impl ConverterClass for ByteArrayConverter {
    const NAME: &'static str = "org.apache.kafka.connect.converters.ByteArrayConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = PlainConfig;

    fn new(_: PlainConfig) -> Result<Self> {
        Ok(Self::default())
    }
}

impl Converter for ByteArrayConverter {
    fn encode(
        &mut self,
        _: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool> {
        match value {
            Value::Null => Ok(false),
            Value::Bytes(bytes) => {
                out.put_slice(bytes);
                Ok(true)
            }
            other => Err(Error::data(format!(
                "ByteArrayConverter is not compatible with objects of type {}",
                other.kind()
            ))),
        }
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let value = message.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone()));
        Ok((Some(Arc::clone(&self.0)), value))
    }
}
