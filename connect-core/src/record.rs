//! A record on its way from a source to the log or from the log to a sink.

use std::sync::Arc;

use crate::data::{Schema, Text, Type, Value};

/// A header: a name and a value with its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Name; several headers may share one.
    pub name: Text,
    /// Schema of the value; none for a schemaless one.
    pub schema: Option<Arc<Schema>>,
    /// Value.
    pub value: Value,
}

/// One record. The schemas are shared by all records that have the same shape; none means schemaless.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// Topic; none on a source record that goes to its batch's topic.
    pub topic: Option<Text>,
    /// Topic partition; none lets the producer choose by key.
    pub partition: Option<i32>,
    /// Schema of the key.
    pub key_schema: Option<Arc<Schema>>,
    /// Key, or null.
    pub key: Value,
    /// Schema of the value.
    pub value_schema: Option<Arc<Schema>>,
    /// Value; null is a tombstone.
    pub value: Value,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since the epoch; none lets the log decide.
    pub timestamp: Option<i64>,
}

impl Record {
    /// A record without key whose value has this schema.
    pub fn new(schema: Arc<Schema>, value: Value) -> Self {
        Self { value_schema: Some(schema), value, ..Self::default() }
    }
    /// A record without key whose value is text with the schema STRING.
    pub fn text(text: impl AsRef<str>) -> Self {
        let schema = Arc::new(Schema::new(Type::String));
        Self::new(schema, Value::String(text.as_ref().into()))
    }
}
