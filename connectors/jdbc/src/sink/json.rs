//! Structures as JSON documents.

use connect_core::data::{Field, Type, Value};
use serde_json::{Number, Value as Json};

use crate::datetime::{self, Years};

/// A structure as JSON; none where a number has no form in it.
pub(super) fn json(value: &Value, ty: Option<&Type>) -> Option<Json> {
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
        Value::Decimal(number) => Json::from(number.to_string()),
        Value::Date(days) => {
            let mut text = String::new();
            datetime::date(i64::from(*days), Years::Any, &mut text)?;
            Json::from(text)
        }
        Value::Time(millis) => {
            let mut text = String::new();
            datetime::time(i64::from(*millis) * 1000, &mut text);
            Json::from(text)
        }
        Value::Timestamp(millis) => {
            let mut text = String::new();
            datetime::datetime(millis.checked_mul(1000)?, Years::Any, "Z", &mut text)?;
            Json::from(text)
        }
        Value::Array(items) => {
            let inner = match ty {
                Some(Type::Array(inner)) => Some(&inner.ty),
                _ => None,
            };
            Json::Array(items.iter().map(|item| json(item, inner)).collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let inner = match ty {
                Some(Type::Map(_, inner)) => Some(&inner.ty),
                _ => None,
            };
            let entry = |(key, value): &(Value, Value)| {
                let key = match key {
                    Value::String(text) => text.to_string(),
                    other => json(other, None)?.to_string(),
                };
                Some((key, json(value, inner)?))
            };
            Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        Value::Struct(values) => {
            let fields = match ty {
                Some(Type::Struct(fields)) => fields.as_slice(),
                _ => &[],
            };
            let entry = |(field, value): (&Field, &Value)| {
                Some((field.name.to_string(), json(value, Some(&field.schema.ty))?))
            };
            Json::Object(fields.iter().zip(values).map(entry).collect::<Option<_>>()?)
        }
    })
}

/// A double in the shortest digits that read back equal.
pub(super) fn number_text(n: f64) -> String {
    Number::from_f64(n).map_or_else(|| n.to_string(), |number| number.to_string())
}
