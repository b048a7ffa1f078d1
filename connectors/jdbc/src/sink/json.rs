//! Structures as JSON documents.

use connect_core::data::{Field, Type, Value};
use serde_json::{Map, Number, Value as Json};

use super::{
    cell::Format,
    numbers::MAX_SCALE,
    times::{gregorian, gregorian_micros, of_day},
};
use crate::datetime::{self, Years};

/// A structure as JSON; none where something in it has no form there.
pub(super) fn json(value: &Value, ty: Option<&Type>, format: &Format) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::from(*b),
        Value::Int8(n) => Json::from(*n),
        Value::Int16(n) => Json::from(*n),
        Value::Int32(n) => Json::from(*n),
        Value::Int64(n) => Json::from(*n),
        Value::Float32(n) => Json::Number(n.to_string().parse().ok()?),
        Value::Float64(n) => Json::Number(Number::from_f64(*n)?),
        Value::String(text) => Json::from(&**text),
        Value::Bytes(bytes) => Json::from(std::str::from_utf8(bytes).ok()?),
        Value::Decimal(number) if number.scale().unsigned_abs() > MAX_SCALE => return None,
        Value::Decimal(number) => Json::from(number.to_string()),
        Value::Date(days) => {
            let mut text = String::new();
            datetime::date(gregorian((*days).into(), format).ok()?, Years::Any, &mut text)?;
            Json::from(text)
        }
        Value::Time(millis) => {
            let mut text = String::new();
            datetime::time(of_day((*millis).into()).ok()?, &mut text);
            Json::from(text)
        }
        Value::Timestamp(millis) => {
            let mut text = String::new();
            let micros = gregorian_micros(millis.checked_mul(1000)?, format).ok()?;
            datetime::datetime(micros, Years::Any, "Z", &mut text)?;
            Json::from(text)
        }
        Value::Array(items) => {
            let inner = match ty {
                Some(Type::Array(inner)) => Some(&inner.ty),
                _ => None,
            };
            Json::Array(items.iter().map(|item| json(item, inner, format)).collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let (keys, inner) = match ty {
                Some(Type::Map(keys, inner)) => (Some(&keys.ty), Some(&inner.ty)),
                _ => (None, None),
            };
            let mut object = Map::new();
            for (key, value) in entries {
                let key = match json(key, keys, format)? {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
                // Of two keys that are one in JSON neither may be lost.
                if object.insert(key, json(value, inner, format)?).is_some() {
                    return None;
                }
            }
            Json::Object(object)
        }
        Value::Struct(values) => {
            // Without its schema the names of its fields are not known.
            let Some(Type::Struct(fields)) = ty else { return None };
            let entry = |(field, value): (&Field, &Value)| {
                Some((field.name.to_string(), json(value, Some(&field.schema.ty), format)?))
            };
            Json::Object(fields.iter().zip(values).map(entry).collect::<Option<_>>()?)
        }
    })
}

/// A double in the shortest digits that read back equal.
pub(super) fn number_text(n: f64) -> String {
    Number::from_f64(n).map_or_else(|| n.to_string(), |number| number.to_string())
}
