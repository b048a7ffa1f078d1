//! `MaskField`.

use std::marker::PhantomData;

use num_traits::ToPrimitive;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{PerSchema, entry, put, renew, require_map, require_struct_of},
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Decimal, Schema, Text, Value, java},
    error::{Error, Result},
    record::Record,
};

/// Keys of [`MaskField`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct MaskFieldConfig {
    /// Names of fields to mask.
    #[serde(deserialize_with = "keys::list")]
    #[schemars(extend("x-importance" = "HIGH"))]
    fields: Vec<String>,
    /// Custom value replacement, that will be applied to all 'fields' values (numeric or non-empty string values
    /// only).
    #[serde(default, deserialize_with = "keys::given")]
    #[schemars(length(min = 1), extend("x-importance" = "LOW"))]
    replacement: Option<String>,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Replaces fields by what is null for their type, or by a value (`org.apache.kafka.connect.transforms.MaskField`).
pub(super) struct MaskField<P> {
    fields: Vec<Text>,
    replacement: Option<Text>,
    replace_null: bool,
    /// Which fields of a schema are masked.
    masked: PerSchema<Vec<bool>>,
    part: PhantomData<P>,
}

const PURPOSE: &str = "mask fields";

impl<P: Part> Transformation for MaskField<P> {
    const NAME: &'static str = name_of_part!(P, "MaskField");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = MaskFieldConfig;

    fn validate(config: &MaskFieldConfig) -> Vec<Invalid> {
        keys::distinct("fields", &config.fields, false).into_iter().collect()
    }
    fn new(config: MaskFieldConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        Ok(Self {
            fields: config.fields.into_iter().map(Text::from).collect(),
            replacement: config.replacement.map(Text::from),
            replace_null: config.replace_null_with_default,
            masked: PerSchema::new(),
            part: PhantomData,
        })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        let (names, replacement) = (&self.fields, self.replacement.as_ref());
        let Some(schema) = schema else {
            let entries = require_map(value, PURPOSE)?;
            for name in names {
                match entry(entries, name) {
                    Some(value) => mask(None, value, replacement)?,
                    // As in the JVM, a field that was missing is null afterwards.
                    None => put(entries, name, Value::Null),
                }
            }
            return Ok(Fate::Keep);
        };
        let (fields, values) = require_struct_of(schema, value, PURPOSE)?;
        let masked = self.masked.get(schema, |schema| {
            Ok(schema.fields().iter().map(|field| names.contains(&field.name)).collect())
        })?;
        for ((field, value), masked) in fields.iter().zip(values).zip(masked) {
            renew(field, value, self.replace_null)?;
            if *masked {
                mask(Some(&field.schema), value, replacement)?;
            }
        }
        Ok(Fate::Keep)
    }
}

fn mask(schema: Option<&Schema>, value: &mut Value, replacement: Option<&Text>) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    *value = match replacement {
        Some(replacement) => replaced(schema, value, replacement)?,
        None => nothing(schema, value)?,
    };
    Ok(())
}

/// What stands for nothing in the place of a value.
fn nothing(schema: Option<&Schema>, value: &Value) -> Result<Value> {
    Ok(match value {
        Value::Boolean(_) => Value::Boolean(false),
        Value::Int8(_) => Value::Int8(0),
        Value::Int16(_) => Value::Int16(0),
        Value::Int32(_) => Value::Int32(0),
        Value::Int64(_) => Value::Int64(0),
        Value::Float32(_) => Value::Float32(0.0),
        Value::Float64(_) => Value::Float64(0.0),
        // Zero of the schema's scale; the JVM's has none, and cannot be converted if the schema's has some.
        Value::Decimal(_) => Decimal::new(0, schema.map_or(0, Schema::scale)).into(),
        Value::Date(_) => Value::Date(0),
        Value::Time(_) => Value::Time(0),
        Value::Timestamp(_) => Value::Timestamp(0),
        Value::String(_) => Value::String(Text::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Map(_) => Value::Map(Vec::new()),
        Value::Null | Value::Bytes(_) | Value::Struct(_) => {
            return Err(Error::data(format!("Cannot mask value of type: {}", java::class(value))));
        }
    })
}

/// The replacement, as a value of the same class (`Values.convertToX` of a string).
fn replaced(schema: Option<&Schema>, value: &Value, replacement: &Text) -> Result<Value> {
    let number = || {
        Decimal::of_java(replacement).ok_or_else(|| {
            Error::data(format!(
                "Unable to convert {replacement} (class java.lang.String) to a number"
            ))
        })
    };
    let integer = || number().map(|number| number.wrapping_i64());
    let float = || number().map(|number| number.to_java_string().parse().unwrap_or(f64::NAN));
    Ok(match value {
        // Java cuts off what does not fit.
        Value::Int8(_) => Value::Int8(integer()? as i8),
        Value::Int16(_) => Value::Int16(integer()? as i16),
        Value::Int32(_) => Value::Int32(integer()? as i32),
        Value::Int64(_) => Value::Int64(integer()?),
        Value::Float32(_) => Value::Float32(float()?.to_f32().unwrap_or(f32::NAN)),
        Value::Float64(_) => Value::Float64(float()?),
        Value::String(_) => Value::String(replacement.clone()),
        Value::Decimal(_) => {
            let number = Decimal::of_java(replacement).ok_or_else(|| {
                Error::data(format!(
                    "Unable to convert {replacement} (class java.lang.String) to number"
                ))
            })?;
            match schema {
                Some(schema) => of_scale(number, schema.scale())?.into(),
                None => number.into(),
            }
        }
        other => {
            return Err(Error::data(format!(
                "Cannot mask value of type {} with custom replacement.",
                java::class(other)
            )));
        }
    })
}

/// The number with the scale that the schema asks for; the JVM leaves it, and it cannot be converted.
fn of_scale(number: Decimal, scale: i32) -> Result<Decimal> {
    let refused =
        || Error::data(format!("{} is no decimal of scale {scale}", number.to_java_string()));
    // No power of ten is built for an exponent that nobody means.
    if number.scale().abs_diff(scale) > 1000 {
        return Err(refused());
    }
    let rescaled = number.clone().rescaled(scale);
    if rescaled.clone().rescaled(number.scale()) == number { Ok(rescaled) } else { Err(refused()) }
}
