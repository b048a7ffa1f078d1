//! When a JSON document means the same as the value that was put.

use connect_core::data::{Type, Value};
use serde_json::Value as Json;

use super::meaning::{Reads, clock, equal, integer, moment, moment_of, number, number_of, texts};

pub(super) fn json(
    value: &Value,
    ty: Option<&Type>,
    stored: &str,
    reads: Reads<'_>,
) -> Result<bool, String> {
    let found = || serde_json::from_str::<Json>(stored).map_err(|e| e.to_string());
    let string = |text: &str| Ok(found()?.as_str() == Some(text));
    let document = match value {
        Value::String(text) => Some(&**text),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    match (value, document) {
        // A document as it is, or as the database writes it; any other text as a string.
        (_, Some(text)) if text == stored => Ok(true),
        (_, Some(text)) if number(text).is_some() && number(text) == number(stored) => Ok(true),
        (Value::String(text), _) => {
            Ok(string(text)? || reads(text, false).is_ok_and(|t| t.as_deref() == Some(stored)))
        }
        (_, Some(text)) => Ok(reads(text, false)?.as_deref() == Some(stored)),
        (Value::Bytes(_), _) => Ok(false),
        (Value::Float32(n), _) if !n.is_finite() => string(&n.to_string()),
        (Value::Float64(n), _) if !n.is_finite() => string(&n.to_string()),
        (Value::Boolean(b), _) => Ok(found()? == Json::Bool(*b)),
        (Value::Date(_) | Value::Time(_) | Value::Timestamp(_), _) => {
            Ok(found()?.as_str().is_some_and(|text| texts(value, ty, text)))
        }
        (Value::Float64(n), _) => Ok(stored.parse::<f64>().is_ok_and(|m| equal(*n, m))),
        (Value::Array(_) | Value::Map(_) | Value::Struct(_), _) => Ok(texts(value, ty, stored)),
        _ => Ok(number_of(value) == number(stored)),
    }
}

/// A structure as JSON; dates and times as a list of what they are, to be compared with their text.
pub(super) fn structure(value: &Value, ty: Option<&Type>) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::from(*b),
        Value::Float32(n) => {
            Json::from(n.to_string().parse::<f64>().ok().filter(|n| n.is_finite())?)
        }
        Value::Float64(n) => Json::from(Some(*n).filter(|n| n.is_finite())?),
        Value::String(text) => Json::from(&**text),
        Value::Bytes(bytes) => Json::from(std::str::from_utf8(bytes).ok()?),
        Value::Decimal(n) => Json::from(n.to_string()),
        Value::Time(n) => Json::from(format!("{MOMENT}{}", i128::from(*n) * 1000)),
        Value::Date(_) | Value::Timestamp(_) => {
            Json::from(format!("{MOMENT}{}", moment_of(value, 1)?))
        }
        Value::Array(items) => {
            let inner = match ty {
                Some(Type::Array(inner)) => Some(&inner.ty),
                _ => None,
            };
            Json::Array(items.iter().map(|item| structure(item, inner)).collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let inner = match ty {
                Some(Type::Map(_, inner)) => Some(&inner.ty),
                _ => None,
            };
            let entry = |(key, value): &(Value, Value)| {
                let key = match structure(key, None)? {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
                Some((key, structure(value, inner)?))
            };
            Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        Value::Struct(values) => {
            let Some(Type::Struct(fields)) = ty else { return None };
            let entry = |(field, value): (&connect_core::data::Field, &Value)| {
                Some((field.name.to_string(), structure(value, Some(&field.schema.ty))?))
            };
            Json::Object(fields.iter().zip(values).map(entry).collect::<Option<_>>()?)
        }
        _ => Json::from(integer(value)?),
    })
}

/// Before the microseconds of what stands as a date or time in JSON.
const MOMENT: &str = "moment:";

fn same_text(a: &str, b: &str) -> bool {
    match a.strip_prefix(MOMENT).and_then(|micros| micros.parse().ok()) {
        Some(micros) => moment(b, true).or_else(|| clock(b)) == Some(micros),
        None => a == b,
    }
}

pub(super) fn same_json(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Json::String(a), Json::String(b)) => same_text(a, b),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            let found = |(key, value): (&String, &Json)| {
                b.iter().any(|(k, v)| same_text(key, k) && same_json(value, v))
            };
            a.len() == b.len() && a.iter().all(found)
        }
        _ => a == b,
    }
}
