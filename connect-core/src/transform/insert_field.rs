//! `InsertField`.

use std::{marker::PhantomData, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{
        PerSchema, basics_of, check_null, fields_of, put, renew_all, require_map,
        require_struct_of, struct_of,
    },
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Field, Schema, Text, Type, Value},
    error::{Error, Result},
    record::Record,
};

/// Keys of [`InsertField`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct InsertFieldConfig {
    /// Field name for Kafka topic. Suffix with <code>!</code> to make this a required field, or <code>?</code> to
    /// keep it optional (the default).
    #[serde(rename = "topic.field", default, deserialize_with = "keys::given")]
    topic: Option<String>,
    /// Field name for Kafka partition. Suffix with <code>!</code> to make this a required field, or <code>?</code>
    /// to keep it optional (the default).
    #[serde(rename = "partition.field", default, deserialize_with = "keys::given")]
    partition: Option<String>,
    /// Field name for Kafka offset - only applicable to sink connectors.<br/>Suffix with <code>!</code> to make this
    /// a required field, or <code>?</code> to keep it optional (the default).
    #[serde(rename = "offset.field", default, deserialize_with = "keys::given")]
    offset: Option<String>,
    /// Field name for record timestamp. Suffix with <code>!</code> to make this a required field, or <code>?</code>
    /// to keep it optional (the default).
    #[serde(rename = "timestamp.field", default, deserialize_with = "keys::given")]
    timestamp: Option<String>,
    /// Field name for static data field. Suffix with <code>!</code> to make this a required field, or <code>?</code>
    /// to keep it optional (the default).
    #[serde(rename = "static.field", default, deserialize_with = "keys::given")]
    static_field: Option<String>,
    /// Static field value, if field name configured.
    #[serde(rename = "static.value", default, deserialize_with = "keys::given")]
    static_value: Option<String>,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Adds fields: what is known of the record, and a constant (`org.apache.kafka.connect.transforms.InsertField`).
pub(super) struct InsertField<P> {
    insertions: Vec<Insertion>,
    replace_null: bool,
    extended: PerSchema<Arc<Schema>>,
    part: PhantomData<P>,
}

/// A field to add.
struct Insertion {
    name: Text,
    what: What,
    schema: Arc<Schema>,
}

enum What {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static(Text),
}

impl Insertion {
    fn new(spec: &str, what: What) -> Self {
        let (name, optional) = match (spec.strip_suffix('?'), spec.strip_suffix('!')) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => (spec, true),
        };
        let schema = match what {
            What::Topic | What::Static(_) => Schema::new(Type::String),
            What::Partition => Schema::new(Type::Int32),
            What::Offset => Schema::new(Type::Int64),
            What::Timestamp => Schema::timestamp(),
        };
        Self { name: name.into(), what, schema: Arc::new(schema.optional(optional)) }
    }
}

const PURPOSE: &str = "field insertion";

/// What is known of a record, apart from key and value.
struct Known {
    topic: Option<Text>,
    partition: Option<i32>,
    timestamp: Option<i64>,
    offset: Option<i64>,
}

impl Known {
    /// None for what the record does not have.
    fn value(&self, what: &What, schemaless: bool) -> Result<Option<Value>> {
        Ok(match what {
            What::Topic => Some(self.topic.clone().map_or(Value::Null, Value::String)),
            What::Partition => self.partition.map(Value::Int32),
            What::Offset => match self.offset {
                Some(offset) => Some(Value::Int64(offset)),
                None => {
                    return Err(Error::data(format!(
                        "Only SinkRecord supported for [{PURPOSE}], found: \
                         org.apache.kafka.connect.source.SourceRecord"
                    )));
                }
            },
            What::Timestamp if schemaless => self.timestamp.map(Value::Int64),
            What::Timestamp => self.timestamp.map(Value::Timestamp),
            What::Static(text) => Some(Value::String(text.clone())),
        })
    }
}

impl<P: Part> Transformation for InsertField<P> {
    const NAME: &'static str = name_of_part!(P, "InsertField");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = InsertFieldConfig;

    fn validate(config: &InsertFieldConfig) -> Vec<Invalid> {
        let c = config;
        let fields = [&c.topic, &c.partition, &c.offset, &c.timestamp, &c.static_field];
        if fields.iter().all(|field| field.is_none()) {
            return vec![Invalid::new("topic.field", "No field insertion configured")];
        }
        match (&c.static_field, &c.static_value) {
            (Some(field), None) => {
                let why = format!("No value specified for static field: {field}");
                vec![Invalid::value("static.value", "null", &why)]
            }
            _ => Vec::new(),
        }
    }
    fn new(config: InsertFieldConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        let value: Text = config.static_value.unwrap_or_default().into();
        let insertions = [
            (config.topic, What::Topic),
            (config.partition, What::Partition),
            (config.offset, What::Offset),
            (config.timestamp, What::Timestamp),
            (config.static_field, What::Static(value)),
        ];
        let insertions = insertions.into_iter();
        Ok(Self {
            insertions: insertions.filter_map(|(s, w)| Some(Insertion::new(&s?, w))).collect(),
            replace_null: config.replace_null_with_default,
            extended: PerSchema::new(),
            part: PhantomData,
        })
    }
    fn apply(&mut self, record: &mut Record, offset: Option<i64>) -> Result<Fate> {
        let known = Known {
            topic: record.topic.clone(),
            partition: record.partition,
            timestamp: record.timestamp,
            offset,
        };
        let (schema, value) = P::of(record);
        if value.is_null() {
            return Ok(Fate::Keep);
        }
        let insertions = &self.insertions;
        let Some(old) = schema else {
            let entries = require_map(value, PURPOSE)?;
            for insertion in insertions {
                if let Some(value) = known.value(&insertion.what, true)? {
                    put(entries, &insertion.name, value);
                }
            }
            return Ok(Fate::Keep);
        };
        let (fields, values) = require_struct_of(old, value, PURPOSE)?;
        let extended = self.extended.get(old, |schema| {
            let mut fields = fields_of(schema)?.to_vec();
            fields.extend(insertions.iter().map(|insertion| Field {
                name: insertion.name.clone(),
                schema: Arc::clone(&insertion.schema),
            }));
            Ok(Arc::new(basics_of(schema, struct_of(fields)?)))
        })?;
        renew_all(fields, values, self.replace_null)?;
        values.reserve_exact(insertions.len());
        for (insertion, field) in insertions.iter().zip(&extended.fields()[fields.len()..]) {
            // What is not set is not checked.
            let value = known.value(&insertion.what, false)?;
            value.iter().try_for_each(|value| check_null(field, value))?;
            values.push(value.unwrap_or_default());
        }
        *schema = Some(Arc::clone(extended));
        Ok(Fate::Keep)
    }
}
