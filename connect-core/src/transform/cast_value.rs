//! How `Cast` makes a value of one type from a value of another.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::shape::type_name;
use crate::{
    data::{Schema, Text, Type, Value, java, values},
    error::{Error, Result},
};

/// A type to cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
}

const TARGETS: &str = "INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING";

impl Target {
    /// Reads its name in any case. The error is the JVM's message.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let name = name.trim();
        Ok(match name.to_uppercase().as_str() {
            "INT8" => Self::Int8,
            "INT16" => Self::Int16,
            "INT32" => Self::Int32,
            "INT64" => Self::Int64,
            "FLOAT32" => Self::Float32,
            "FLOAT64" => Self::Float64,
            "BOOLEAN" => Self::Boolean,
            "STRING" => Self::String,
            other @ ("BYTES" | "ARRAY" | "MAP" | "STRUCT") => {
                return Err(format!(
                    "Cast transformation does not support casting to {other}; supported types are [{TARGETS}]"
                ));
            }
            // Sic: the JVM gives the parts of its message to a constructor that takes a key and a value.
            other => {
                return Err(format!(
                    "Invalid value java.lang.IllegalArgumentException: No enum constant \
                     org.apache.kafka.connect.data.Schema.Type.{other} for configuration Invalid type found in casting \
                     spec: {name}"
                ));
            }
        })
    }
    /// As the type of a schema.
    pub(super) fn ty(self) -> Type {
        match self {
            Self::Int8 => Type::Int8,
            Self::Int16 => Type::Int16,
            Self::Int32 => Type::Int32,
            Self::Int64 => Type::Int64,
            Self::Float32 => Type::Float32,
            Self::Float64 => Type::Float64,
            Self::Boolean => Type::Boolean,
            Self::String => Type::String,
        }
    }
}

/// The value as a value of another type; null stays null.
pub(super) fn cast(schema: Option<&Schema>, value: Value, target: Target) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    supported(schema, &value)?;
    if target == Target::String {
        return Ok(Value::String(to_text(value)));
    }
    let value = match value {
        Value::Date(n) | Value::Time(n) => Value::Int32(n),
        Value::Timestamp(n) => Value::Int64(n),
        other => other,
    };
    let cast = match target {
        Target::Int8 => to_i32(&value, |text| text.parse::<i8>().ok().map(i64::from))
            .map(|n| Value::Int8(n as i8)),
        Target::Int16 => to_i32(&value, |text| text.parse::<i16>().ok().map(i64::from))
            .map(|n| Value::Int16(n as i16)),
        Target::Int32 => to_i32(&value, |text| text.parse::<i32>().ok().map(i64::from))
            .map(|n| Value::Int32(n as i32)),
        Target::Int64 => to_i64(&value).map(Value::Int64),
        Target::Float32 => to_f32(&value).map(Value::Float32),
        Target::Float64 => to_f64(&value).map(Value::Float64),
        Target::Boolean | Target::String => to_bool(&value).map(Value::Boolean),
    };
    cast.ok_or_else(|| match &value {
        Value::String(text) => {
            Error::data(format!("Value ({text}) was out of range for requested data type"))
        }
        other => {
            Error::data(format!("Unexpected type in Cast transformation: {}", java::class(other)))
        }
    })
}

fn supported(schema: Option<&Schema>, value: &Value) -> Result<()> {
    let from = match (schema.map(|schema| &schema.ty), value) {
        (Some(ty @ (Type::Array(_) | Type::Map(..) | Type::Struct(_))), _) => type_name(ty),
        (Some(_), _) => return Ok(()),
        (None, Value::Array(_)) => "ARRAY",
        (None, Value::Map(_)) => "MAP",
        (None, Value::Struct(_)) => "STRUCT",
        (None, Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_)) => {
            return Err(Error::data(format!(
                "Cast transformation was passed a value of type {} which is not supported by Connect's data API",
                java::class(value)
            )));
        }
        (None, _) => return Ok(()),
    };
    Err(Error::data(format!(
        "Cast transformation does not support casting from {from}; supported types are \
         [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]"
    )))
}

fn to_text(value: Value) -> Text {
    match value {
        Value::String(text) => text,
        Value::Bytes(bytes) => BASE64.encode(bytes).into(),
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            values::to_text(None, &value).unwrap_or_default().into()
        }
        other => java::to_string(None, &other).into(),
    }
}

/// `Number.intValue`, of which smaller types are cut; text must fit. None for what is no number.
fn to_i32(value: &Value, parse: impl Fn(&str) -> Option<i64>) -> Option<i64> {
    match value {
        Value::Float32(n) => Some(i64::from(*n as i32)),
        Value::Float64(n) => Some(i64::from(*n as i32)),
        Value::String(text) => parse(text),
        other => to_i64(other),
    }
}

/// `Number.longValue`; none for what is no number.
fn to_i64(value: &Value) -> Option<i64> {
    Some(match value {
        Value::Int8(n) => i64::from(*n),
        Value::Int16(n) => i64::from(*n),
        Value::Int32(n) => i64::from(*n),
        Value::Int64(n) => *n,
        // Both languages cut and saturate, and make 0 of NaN.
        Value::Float32(n) => *n as i64,
        Value::Float64(n) => *n as i64,
        Value::Decimal(n) => n.wrapping_i64(),
        Value::Boolean(n) => i64::from(*n),
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    })
}

fn to_f32(value: &Value) -> Option<f32> {
    Some(match value {
        Value::Float32(n) => *n,
        Value::Float64(n) => *n as f32,
        Value::Decimal(n) => n.to_java_string().parse().ok()?,
        Value::String(text) => java_float(text)?.parse().ok()?,
        other => to_i64(other)? as f32,
    })
}

fn to_f64(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Float32(n) => f64::from(*n),
        Value::Float64(n) => *n,
        Value::Decimal(n) => n.to_java_string().parse().ok()?,
        Value::String(text) => java_float(text)?.parse().ok()?,
        other => to_i64(other)? as f64,
    })
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::String(text) => Some(text.eq_ignore_ascii_case("true")),
        other => to_i64(other).map(|n| n != 0),
    }
}

/// The number in a text that `Double.parseDouble` reads, in a form that Rust reads too. Hexadecimal ones are not read.
fn java_float(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(text);
    }
    // Rust reads more names of infinity than Java; a number begins with a digit or a point.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    Some(text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text))
}
