//! Schemas: type, name, version, parameters and default of a value, shared by all records of a batch.

use std::sync::Arc;

use super::{Text, Value};

/// Names of Connect's logical types (`org.apache.kafka.connect.data.{Decimal,Date,Time,Timestamp}`).
pub mod logical {
    /// Arbitrary precision number; parameter `scale`.
    pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
    /// Days since the epoch.
    pub const DATE: &str = "org.apache.kafka.connect.data.Date";
    /// Milliseconds since midnight.
    pub const TIME: &str = "org.apache.kafka.connect.data.Time";
    /// Milliseconds since the epoch.
    pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
    /// Parameter of [`DECIMAL`]: digits after the decimal point.
    pub const SCALE: &str = "scale";
}

/// The physical type, as `org.apache.kafka.connect.data.Schema.Type`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "names say it")]
pub enum Type {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array(Arc<Schema>),
    Map(Arc<Schema>, Arc<Schema>),
    Struct(Vec<Field>),
}

impl Type {
    /// As Java names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Float32 => "FLOAT32",
            Self::Float64 => "FLOAT64",
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Bytes => "BYTES",
            Self::Array(_) => "ARRAY",
            Self::Map(..) => "MAP",
            Self::Struct(_) => "STRUCT",
        }
    }
}

/// A field of a struct; its position is its index.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name, as in the JSON.
    pub name: Text,
    /// Schema of its values.
    pub schema: Arc<Schema>,
}

/// Describes a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Physical type.
    pub ty: Type,
    /// Whether null is allowed.
    pub optional: bool,
    /// Name: a logical type's, or a struct's.
    pub name: Option<Text>,
    /// Version.
    pub version: Option<i32>,
    /// Documentation.
    pub doc: Option<Text>,
    /// Parameters, in order.
    pub parameters: Vec<(Text, Text)>,
    /// Value to use where there is none.
    pub default: Option<Value>,
}

impl Schema {
    /// A required, unnamed schema.
    pub fn new(ty: Type) -> Self {
        Self {
            ty,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }
    /// Sets whether null is allowed.
    #[must_use]
    pub fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }
    /// Sets the name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Text>) -> Self {
        self.name = Some(name.into());
        self
    }
    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
    fn logical(ty: Type, name: &'static str) -> Self {
        Self { version: Some(1), ..Self::new(ty).named(name) }
    }
    /// `Decimal` with this many digits after the point.
    pub fn decimal(scale: i32) -> Self {
        Self::logical(Type::Bytes, logical::DECIMAL).parameter(logical::SCALE, scale.to_string())
    }
    /// `Date`.
    pub fn date() -> Self {
        Self::logical(Type::Int32, logical::DATE)
    }
    /// `Time`.
    pub fn time() -> Self {
        Self::logical(Type::Int32, logical::TIME)
    }
    /// `Timestamp`.
    pub fn timestamp() -> Self {
        Self::logical(Type::Int64, logical::TIMESTAMP)
    }
    /// The name, if it is that of a logical type which has values of its own.
    pub fn logical_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| {
            matches!(*name, logical::DECIMAL | logical::DATE | logical::TIME | logical::TIMESTAMP)
        })
    }
    /// The scale of a `Decimal`; 0 if the parameter is missing or not a number.
    pub fn scale(&self) -> i32 {
        let scale = self.parameters.iter().find(|(name, _)| name == logical::SCALE);
        scale.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }
    /// The fields of a struct, none for any other type.
    pub fn fields(&self) -> &[Field] {
        match &self.ty {
            Type::Struct(fields) => fields,
            _ => &[],
        }
    }
}
