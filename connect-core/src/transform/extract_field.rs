//! `ExtractField`.

use std::{marker::PhantomData, mem, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation,
    field_path::{self, FieldSyntaxVersion},
    keys,
    part::{Part, name_of_part},
    shape::{PerSchema, class_name, require_map, require_struct_of},
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Schema, Text, Type, Value},
    error::{Error, Result},
    record::Record,
};

/// Keys of [`ExtractField`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ExtractFieldConfig {
    /// Field name to extract.
    #[serde(deserialize_with = "keys::trimmed")]
    field: String,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
    /// Defines the version of the syntax to access fields. If set to V1, then the field paths are limited to access
    /// the elements at the root level of the struct or map. If set to V2, the syntax will support accessing nested
    /// elements. To access nested elements, dotted notation is used. If dots are already included in the field name,
    /// then backtick pairs can be used to wrap field names containing dots.
    #[serde(rename = "field.syntax.version", default)]
    #[schemars(extend("x-importance" = "HIGH", "x-any-case" = true, "x-default" = "V1"))]
    field_syntax_version: FieldSyntaxVersion,
}

/// Puts a field in the place of the struct or map that has it (`org.apache.kafka.connect.transforms.ExtractField`).
pub(super) struct ExtractField<P> {
    path: Vec<Text>,
    config: ExtractFieldConfig,
    found: PerSchema<Found>,
    part: PhantomData<P>,
}

/// Where a schema has the field.
struct Found {
    positions: Vec<usize>,
    schema: Arc<Schema>,
}

const PURPOSE: &str = "field extraction";
const NESTED: &str = "nested field access";

fn path(config: &ExtractFieldConfig) -> Result<Vec<Text>, Invalid> {
    field_path::parse(&config.field, config.field_syntax_version)
        .map_err(|why| Invalid::new("field", why))
}

impl<P: Part> Transformation for ExtractField<P> {
    const NAME: &'static str = name_of_part!(P, "ExtractField");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = ExtractFieldConfig;

    fn validate(config: &ExtractFieldConfig) -> Vec<Invalid> {
        path(config).err().into_iter().collect()
    }
    fn new(config: ExtractFieldConfig) -> Result<Self> {
        let path = path(&config).map_err(|invalid| Error::config(invalid.message()))?;
        Ok(Self { path, config, found: PerSchema::new(), part: PhantomData })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        let Some(known) = schema else {
            if !value.is_null() {
                *value = self.of_map(value)?;
            }
            return Ok(Fate::Keep);
        };
        if !matches!(value, Value::Null | Value::Struct(_)) {
            return Err(Error::data(format!(
                "Only Struct objects supported for [{PURPOSE}], found: {}",
                class_name(value)
            )));
        }
        let Self { path, config, found, .. } = self;
        let found = found.get(known, |schema| find(schema, path, &config.field))?;
        if !value.is_null() {
            *value = of_struct(known, value, found, config.replace_null_with_default)?;
        }
        *schema = Some(Arc::clone(&found.schema));
        Ok(Fate::Keep)
    }
}

impl<P> ExtractField<P> {
    fn of_map(&self, value: &mut Value) -> Result<Value> {
        let mut value = mem::take(value);
        for (depth, step) in self.path.iter().enumerate() {
            if value.is_null() {
                break;
            }
            let entries = require_map(&mut value, if depth == 0 { PURPOSE } else { NESTED })?;
            let at = entries.iter().position(|(key, _)| key.as_str() == Some(step));
            value = at.map(|at| entries.swap_remove(at).1).unwrap_or_default();
        }
        Ok(value)
    }
}

fn find(schema: &Arc<Schema>, path: &[Text], field: &str) -> Result<Found> {
    let (mut schema, mut positions) = (schema, Vec::with_capacity(path.len()));
    for step in path {
        let Type::Struct(fields) = &schema.ty else {
            return Err(Error::data("Cannot look up fields on non-struct type"));
        };
        let at = fields.iter().position(|field| field.name == *step);
        let at = at.ok_or_else(|| Error::data(format!("Unknown field: {field}")))?;
        positions.push(at);
        schema = &fields[at].schema;
    }
    Ok(Found { positions, schema: Arc::clone(schema) })
}

fn of_struct(
    schema: &Arc<Schema>,
    value: &mut Value,
    found: &Found,
    replace_null: bool,
) -> Result<Value> {
    let (mut schema, mut value) = (schema, mem::take(value));
    for (depth, at) in found.positions.iter().enumerate() {
        let purpose = if depth == 0 { PURPOSE } else { NESTED };
        let (fields, values) = require_struct_of(schema, &mut value, purpose)?;
        let (next, field) = (mem::take(&mut values[*at]), &fields[*at]);
        schema = &field.schema;
        // On the way to the field, defaults are always looked into.
        let last = depth + 1 == found.positions.len();
        value = match &schema.default {
            Some(default) if next.is_null() && (replace_null || !last) => default.clone(),
            _ => next,
        };
        if value.is_null() {
            break;
        }
    }
    Ok(value)
}
