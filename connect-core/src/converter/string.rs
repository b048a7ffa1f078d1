//! `org.apache.kafka.connect.storage.StringConverter` and `SimpleHeaderConverter`: values as text.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Converter, ConverterClass, ConverterType, SchemaAndValue, charset::Charset};
use crate::{
    CONNECT_VERSION,
    data::{Schema, Type, Value, java, values},
    error::{Error, Result},
};

fn utf8() -> String {
    "UTF-8".to_owned()
}

/// Keys of the string converter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct StringConverterConfig {
    /// How this converter will be used.
    #[serde(rename = "converter.type")]
    #[schemars(extend("x-importance" = "LOW"))]
    pub converter_type: ConverterType,
    /// The name of the Java character set to use for encoding strings as byte arrays.
    #[serde(rename = "converter.encoding", default = "utf8")]
    #[schemars(extend("x-importance" = "HIGH", "x-width" = "MEDIUM", "x-display" = "Encoding"))]
    pub encoding: String,
}

/// `org.apache.kafka.connect.storage.StringConverter`: text as it is; anything else as its `toString()`.
pub struct StringConverter {
    schema: Arc<Schema>,
    charset: Charset,
}

impl Default for StringConverter {
    fn default() -> Self {
        let schema = Arc::new(Schema::new(Type::String).optional(true));
        Self { schema, charset: Charset::Utf8 }
    }
}

impl ConverterClass for StringConverter {
    const NAME: &'static str = "org.apache.kafka.connect.storage.StringConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = StringConverterConfig;

    fn new(config: StringConverterConfig) -> Result<Self> {
        let charset = Charset::named(config.encoding.trim()).ok_or_else(|| {
            Error::config(format!("Unsupported encoding {}", config.encoding))
                .context("supported", "UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE, UTF-16LE")
        })?;
        Ok(Self { charset, ..Self::default() })
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
            Value::String(text) => self.charset.encode(text, out),
            other => {
                let text = java::to_string(schema.map(AsRef::as_ref), other);
                self.charset.encode(&text, out);
            }
        }
        Ok(true)
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let text = message.map(|bytes| Value::String(self.charset.decode(bytes)));
        Ok((Some(Arc::clone(&self.schema)), text.unwrap_or_default()))
    }
}

/// A converter without keys.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct NoConfig {}

/// `org.apache.kafka.connect.storage.SimpleHeaderConverter`: text, from which numbers, booleans, dates, arrays and maps
/// are read again.
pub struct SimpleHeaderConverter;

impl ConverterClass for SimpleHeaderConverter {
    const NAME: &'static str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl Converter for SimpleHeaderConverter {
    fn encode(
        &mut self,
        schema: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool> {
        let text = values::to_text(schema.map(AsRef::as_ref), value);
        out.put_slice(text.as_deref().unwrap_or_default().as_bytes());
        Ok(text.is_some())
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let parsed = message.map(|bytes| values::parse(&String::from_utf8_lossy(bytes)));
        Ok(parsed.unwrap_or_default())
    }
}
