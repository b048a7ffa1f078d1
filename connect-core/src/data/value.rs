//! Values: primitives, logical types, and positional structs whose names stand in the shared schema.

use bytes::Bytes;

use super::{Decimal, Text};

/// A value of Connect's data model.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Null: an optional value that is absent; as a record's value, a tombstone.
    #[default]
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// INT8.
    Int8(i8),
    /// INT16.
    Int16(i16),
    /// INT32.
    Int32(i32),
    /// INT64; also every integer of a schemaless value.
    Int64(i64),
    /// FLOAT32.
    Float32(f32),
    /// FLOAT64; also every fraction of a schemaless value.
    Float64(f64),
    /// STRING.
    String(Text),
    /// BYTES.
    Bytes(Bytes),
    /// `Decimal`.
    Decimal(Box<Decimal>),
    /// `Date`: days since the epoch.
    Date(i32),
    /// `Time`: milliseconds since midnight.
    Time(i32),
    /// `Timestamp`: milliseconds since the epoch.
    Timestamp(i64),
    /// ARRAY.
    Array(Vec<Value>),
    /// MAP, in order; a schemaless object is a map with STRING keys.
    Map(Vec<(Value, Value)>),
    /// STRUCT: the values of the schema's fields, by position.
    Struct(Vec<Value>),
}

impl Value {
    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
    /// The text of a STRING.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
    /// The entry of a schemaless object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(entries) => {
                entries.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }
    /// Name of the kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "BOOLEAN",
            Self::Int8(_) => "INT8",
            Self::Int16(_) => "INT16",
            Self::Int32(_) => "INT32",
            Self::Int64(_) => "INT64",
            Self::Float32(_) => "FLOAT32",
            Self::Float64(_) => "FLOAT64",
            Self::String(_) => "STRING",
            Self::Bytes(_) => "BYTES",
            Self::Decimal(_) => "Decimal",
            Self::Date(_) => "Date",
            Self::Time(_) => "Time",
            Self::Timestamp(_) => "Timestamp",
            Self::Array(_) => "ARRAY",
            Self::Map(_) => "MAP",
            Self::Struct(_) => "STRUCT",
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::String(Text::from_static(text))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}
impl From<Decimal> for Value {
    fn from(number: Decimal) -> Self {
        Self::Decimal(Box::new(number))
    }
}
