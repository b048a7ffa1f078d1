//! Converters of a single type: `org.apache.kafka.connect.converters`. Numbers are big-endian, as Kafka's serializers
//! write them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Converter, ConverterClass, ConverterType, SchemaAndValue};
use crate::{
    CONNECT_VERSION,
    data::{Schema, Type, Value, java},
    error::{Error, Result},
};

/// Keys of a converter that has none of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct PlainConfig {
    /// How this converter will be used.
    #[serde(rename = "converter.type")]
    #[schemars(extend("x-importance" = "LOW"))]
    pub converter_type: ConverterType,
}

fn optional(ty: Type) -> Arc<Schema> {
    Arc::new(Schema::new(ty).optional(true))
}

macro_rules! number {
    ($class:ident, $name:literal, $variant:ident, $type:ty, $put:ident, $type_name:literal, $deserializer:literal) => {
        #[doc = concat!("`org.apache.kafka.connect.converters.", $name, "`.")]
        pub struct $class(Arc<Schema>);

        impl ConverterClass for $class {
            const NAME: &'static str = concat!("org.apache.kafka.connect.converters.", $name);
            const VERSION: &'static str = CONNECT_VERSION;
            type Config = PlainConfig;

            fn new(_: PlainConfig) -> Result<Self> {
                Ok(Self(optional(Type::$variant)))
            }
        }

        impl Converter for $class {
            fn encode(
                &mut self,
                _: Option<&Arc<Schema>>,
                value: &Value,
                out: &mut BytesMut,
            ) -> Result<bool> {
                match value {
                    Value::Null => return Ok(false),
                    Value::$variant(n) => out.$put(*n),
                    other => {
                        let class = java::class(other);
                        let to = concat!("Failed to serialize to ", $type_name);
                        return Err(Error::data(format!("{to} (was {class}): ")));
                    }
                }
                Ok(true)
            }

            fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
                let value = match message {
                    None => Value::Null,
                    Some(bytes) => {
                        let bytes = bytes[..].try_into().map_err(|_| {
                            let size = size_of::<$type>();
                            let from = concat!("Size of data received by ", $deserializer);
                            Error::data(concat!("Failed to deserialize ", $type_name, ": "))
                                .with_source(Error::data(format!("{from} is not {size}")))
                        })?;
                        Value::$variant(<$type>::from_be_bytes(bytes))
                    }
                };
                Ok((Some(Arc::clone(&self.0)), value))
            }
        }
    };
}
number!(ShortConverter, "ShortConverter", Int16, i16, put_i16, "short", "ShortDeserializer");
number!(
    IntegerConverter,
    "IntegerConverter",
    Int32,
    i32,
    put_i32,
    "integer",
    "IntegerDeserializer"
);
number!(LongConverter, "LongConverter", Int64, i64, put_i64, "long", "LongDeserializer");
number!(FloatConverter, "FloatConverter", Float32, f32, put_f32, "float", "Deserializer");
number!(DoubleConverter, "DoubleConverter", Float64, f64, put_f64, "double", "Deserializer");

/// A schema of another type is refused even for null.
fn require(schema: Option<&Arc<Schema>>, ty: &Type, converter: &str) -> Result<()> {
    match schema {
        Some(schema) if schema.ty != *ty => {
            let found = schema.ty.name();
            Err(Error::data(format!("Invalid schema type for {converter}: {found}")))
        }
        _ => Ok(()),
    }
}

fn incompatible(converter: &str, value: &Value) -> Error {
    let class = java::class(value);
    Error::data(format!("{converter} is not compatible with objects of type {class}"))
}

/// `org.apache.kafka.connect.converters.BooleanConverter`: a byte, 1 or 0.
pub struct BooleanConverter(Arc<Schema>);

impl ConverterClass for BooleanConverter {
    const NAME: &'static str = "org.apache.kafka.connect.converters.BooleanConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = PlainConfig;

    fn new(_: PlainConfig) -> Result<Self> {
        Ok(Self(optional(Type::Boolean)))
    }
}

impl Converter for BooleanConverter {
    fn encode(
        &mut self,
        schema: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool> {
        require(schema, &Type::Boolean, "BooleanConverter")?;
        match value {
            Value::Null => return Ok(false),
            Value::Boolean(value) => out.put_u8(u8::from(*value)),
            other => return Err(incompatible("BooleanConverter", other)),
        }
        Ok(true)
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let failed = |why: String| {
            Error::data("Failed to deserialize boolean: ").with_source(Error::data(why))
        };
        let value = match message.map(|bytes| &bytes[..]) {
            None => Value::Null,
            Some([0]) => Value::Boolean(false),
            Some([1]) => Value::Boolean(true),
            Some([byte]) => {
                let byte = *byte as i8;
                let why = format!("Unexpected byte received by BooleanDeserializer: {byte}");
                return Err(failed(why));
            }
            Some(_) => {
                return Err(failed("Size of data received by BooleanDeserializer is not 1".into()));
            }
        };
        Ok((Some(Arc::clone(&self.0)), value))
    }
}

/// `org.apache.kafka.connect.converters.ByteArrayConverter`: bytes as they are.
pub struct ByteArrayConverter(Arc<Schema>);

impl ConverterClass for ByteArrayConverter {
    const NAME: &'static str = "org.apache.kafka.connect.converters.ByteArrayConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = PlainConfig;

    fn new(_: PlainConfig) -> Result<Self> {
        Ok(Self(optional(Type::Bytes)))
    }
}

impl Converter for ByteArrayConverter {
    fn encode(
        &mut self,
        schema: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool> {
        require(schema, &Type::Bytes, "ByteArrayConverter")?;
        match value {
            Value::Null => return Ok(false),
            Value::Bytes(bytes) => out.put_slice(bytes),
            other => return Err(incompatible("ByteArrayConverter", other)),
        }
        Ok(true)
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let value = message.map_or(Value::Null, |bytes| Value::Bytes(bytes.clone()));
        Ok((Some(Arc::clone(&self.0)), value))
    }
}
