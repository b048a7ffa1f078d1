//! `ValueToKey`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    shape::{PerSchema, entry, fields_of, renew, require_map, require_struct_of, struct_of},
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Field, Schema, Text, Value},
    error::{Error, Result},
    record::Record,
};

/// Keys of [`ValueToKey`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ValueToKeyConfig {
    /// Field names on the record value to extract as the record key.
    #[serde(deserialize_with = "keys::list")]
    #[schemars(extend("x-importance" = "HIGH"))]
    fields: Vec<String>,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Makes a key of fields of the value (`org.apache.kafka.connect.transforms.ValueToKey`).
pub(super) struct ValueToKey {
    fields: Vec<Text>,
    replace_null: bool,
    key_schemas: PerSchema<KeySchema>,
}

/// A key's schema, and where the value has its fields.
struct KeySchema {
    schema: Arc<Schema>,
    sources: Vec<usize>,
}

const PURPOSE: &str = "copying fields from value to key";

impl Transformation for ValueToKey {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.ValueToKey";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = ValueToKeyConfig;

    fn validate(config: &ValueToKeyConfig) -> Vec<Invalid> {
        keys::distinct("fields", &config.fields, false).into_iter().collect()
    }
    fn new(config: ValueToKeyConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        Ok(Self {
            fields: config.fields.into_iter().map(Text::from).collect(),
            replace_null: config.replace_null_with_default,
            key_schemas: PerSchema::new(),
        })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let names = &self.fields;
        let Some(schema) = &record.value_schema else {
            let entries = require_map(&mut record.value, PURPOSE)?;
            let copy = |name: &Text| {
                let value = entry(entries, name).cloned().unwrap_or_default();
                (Value::String(name.clone()), value)
            };
            record.key = Value::Map(names.iter().map(copy).collect());
            record.key_schema = None;
            return Ok(Fate::Keep);
        };
        let (fields, values) = require_struct_of(schema, &mut record.value, PURPOSE)?;
        let key = self.key_schemas.get(schema, |schema| key_schema(schema, names))?;
        let copies = key.sources.iter().map(|source| {
            let mut value = values[*source].clone();
            renew(&fields[*source], &mut value, self.replace_null).map(|()| value)
        });
        record.key = Value::Struct(copies.collect::<Result<_>>()?);
        record.key_schema = Some(Arc::clone(&key.schema));
        Ok(Fate::Keep)
    }
}

fn key_schema(schema: &Schema, names: &[Text]) -> Result<KeySchema> {
    let fields = fields_of(schema)?;
    let sources = names.iter().map(|name| {
        let at = fields.iter().position(|field| field.name == *name);
        at.ok_or_else(|| Error::data(format!("Field does not exist: {name}")))
    });
    let sources = sources.collect::<Result<Vec<_>>>()?;
    let copies: Vec<Field> = sources.iter().map(|at| fields[*at].clone()).collect();
    Ok(KeySchema { schema: Arc::new(Schema::new(struct_of(copies)?)), sources })
}
