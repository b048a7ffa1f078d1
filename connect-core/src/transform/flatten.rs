//! `Flatten`.

use std::{marker::PhantomData, mem, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{
        Entries, PerSchema, basics_of, check_null, default_of, fields_of, put, require_map,
        require_struct, struct_of, type_name,
    },
};
use crate::{
    CONNECT_VERSION,
    data::{Field, Schema, Text, Type, Value, java},
    error::{Error, Result},
    record::Record,
};

fn dot() -> String {
    ".".to_owned()
}

/// Keys of [`Flatten`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct FlattenConfig {
    /// Delimiter to insert between field names from the input record when generating field names for the output
    /// record
    #[serde(default = "dot", deserialize_with = "keys::trimmed")]
    delimiter: String,
}

/// Brings nested structs or maps to one level, joining the names; arrays stay as they are
/// (`org.apache.kafka.connect.transforms.Flatten`).
pub(super) struct Flatten<P> {
    config: FlattenConfig,
    flat: PerSchema<Arc<Schema>>,
    part: PhantomData<P>,
}

const PURPOSE: &str = "flattening";

impl<P: Part> Transformation for Flatten<P> {
    const NAME: &'static str = name_of_part!(P, "Flatten");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = FlattenConfig;

    fn new(config: FlattenConfig) -> Result<Self> {
        Ok(Self { config, flat: PerSchema::new(), part: PhantomData })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        if value.is_null() {
            return Ok(Fate::Keep);
        }
        let Self { config, flat, .. } = self;
        let Some(known) = schema else {
            let entries = mem::take(require_map(value, PURPOSE)?);
            let mut flat = Vec::with_capacity(entries.len());
            flatten_map(entries, "", &config.delimiter, &mut flat)?;
            *value = Value::Map(flat);
            return Ok(Fate::Keep);
        };
        let values = mem::take(require_struct(value, PURPOSE)?);
        let flat = flat.get(known, |schema| {
            let mut fields = Vec::new();
            let default = schema.default.as_ref();
            flatten_schema(schema, "", &config.delimiter, schema.optional, default, &mut fields)?;
            Ok(Arc::new(basics_of(schema, struct_of(fields)?)))
        })?;
        let mut flat_values = Vec::with_capacity(flat.fields().len());
        flatten_struct(known, Some(values), flat.fields(), &mut flat_values)?;
        *value = Value::Struct(flat_values);
        *schema = Some(Arc::clone(flat));
        Ok(Fate::Keep)
    }
}

fn joined(prefix: &str, delimiter: &str, name: &str) -> Text {
    if prefix.is_empty() { name.into() } else { format!("{prefix}{delimiter}{name}").into() }
}

fn flatten_map(entries: Entries, prefix: &str, delimiter: &str, flat: &mut Entries) -> Result<()> {
    for (key, value) in entries {
        let name = joined(prefix, delimiter, key.as_str().unwrap_or_default());
        match value {
            Value::Map(inner) => flatten_map(inner, &name, delimiter, flat)?,
            Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
                return Err(Error::data(format!(
                    "Flatten transformation was passed a value of type {} which is not supported by Connect's data \
                     API",
                    java::class(&value)
                )));
            }
            Value::Struct(_) => {
                return Err(Error::data(format!(
                    "Flatten transformation does not support {} for record without schemas (for field {name}).",
                    java::class(&value)
                )));
            }
            value => put(flat, &name, value),
        }
    }
    Ok(())
}

/// Adds the fields of a struct, which are optional if any struct around them is, and have the defaults of these.
fn flatten_schema(
    schema: &Schema,
    prefix: &str,
    delimiter: &str,
    optional: bool,
    default: Option<&Value>,
    flat: &mut Vec<Field>,
) -> Result<()> {
    for (at, field) in fields_of(schema)?.iter().enumerate() {
        let name = joined(prefix, delimiter, &field.name);
        let optional = optional || field.schema.optional;
        let around = match default {
            Some(Value::Struct(values)) => values.get(at).filter(|value| !value.is_null()),
            _ => None,
        };
        let default = field.schema.default.as_ref().or(around);
        match &field.schema.ty {
            Type::Struct(_) => {
                flatten_schema(&field.schema, &name, delimiter, optional, default, flat)?;
            }
            Type::Map(..) => {
                return Err(Error::data(format!(
                    "Flatten transformation does not support {} for record with schemas (for field {name}).",
                    type_name(&field.schema.ty)
                )));
            }
            ty => {
                let basics = basics_of(&field.schema, ty.clone());
                let schema = Schema { optional, default: default.cloned(), ..basics };
                flat.push(Field { name, schema: Arc::new(schema) });
            }
        }
    }
    Ok(())
}

/// Moves the values of a struct behind those of `flat`; of a struct that is null, all are null.
fn flatten_struct(
    schema: &Schema,
    values: Option<Vec<Value>>,
    flat: &[Field],
    flat_values: &mut Vec<Value>,
) -> Result<()> {
    let fields = fields_of(schema)?;
    if values.as_ref().is_some_and(|values| values.len() != fields.len()) {
        return Err(Error::data("Struct does not match its schema"));
    }
    let missing = values.is_none();
    let mut values = values.unwrap_or_default().into_iter();
    for field in fields {
        let value = values.next().unwrap_or_default();
        if let Type::Struct(_) = field.schema.ty {
            let inner = match value {
                Value::Struct(inner) => Some(inner),
                _ => None,
            };
            flatten_struct(&field.schema, inner, flat, flat_values)?;
            continue;
        }
        let value = if value.is_null() && !missing { default_of(field, true) } else { value };
        if !missing && let Some(flat) = flat.get(flat_values.len()) {
            check_null(flat, &value)?;
        }
        flat_values.push(value);
    }
    Ok(())
}
