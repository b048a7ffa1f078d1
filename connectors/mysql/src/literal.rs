//! A value as the text of a statement, for a column of a type. What would not read back equal is refused.

use connect_core::{
    data::{Decimal, Schema, Type, Value},
    error::{Error, Result},
};
use serde_json::{Value as Json, value::RawValue};

use crate::{
    datetime,
    table::{Column, Kind},
};

/// Appends the literal of a value.
///
/// # Errors
/// [`ErrorKind::Data`](connect_core::error::ErrorKind::Data) naming column, type and value.
pub(crate) fn write(
    value: &Value,
    schema: Option<&Schema>,
    column: &Column,
    out: &mut Vec<u8>,
) -> Result<()> {
    let refuse = |why: &str| {
        let mut shown = format!("{value:?}");
        if shown.len() > 200 {
            shown.truncate((0..=200).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0));
            shown.push('…');
        }
        Error::data(format!("value does not fit the column: {why}"))
            .context("column", &column.name)
            .context("type", &column.declared)
            .context("value", shown)
    };
    match value {
        Value::Null => out.extend_from_slice(b"NULL"),
        Value::Boolean(b) => match column.kind {
            Kind::Text => quoted(if *b { "true" } else { "false" }, out),
            Kind::Json => quoted(if *b { "true" } else { "false" }, out),
            Kind::Integer(..) | Kind::Decimal | Kind::Float | Kind::Bit => {
                out.push(b'0' + u8::from(*b))
            }
            _ => return Err(refuse("a boolean")),
        },
        Value::Int8(n) => integer(i64::from(*n), column, out, &refuse)?,
        Value::Int16(n) => integer(i64::from(*n), column, out, &refuse)?,
        Value::Int32(n) => integer(i64::from(*n), column, out, &refuse)?,
        Value::Int64(n) => integer(*n, column, out, &refuse)?,
        Value::Float32(n) => float(f64::from(*n), &n.to_string(), column, out, &refuse)?,
        Value::Float64(n) => float(*n, &format!("{n:e}"), column, out, &refuse)?,
        Value::Decimal(number) => decimal(number, column, out, &refuse)?,
        Value::String(text) => string(text, column, out, &refuse)?,
        Value::Bytes(bytes) => match column.kind {
            Kind::Binary | Kind::Bit => hex(bytes, out),
            Kind::Text | Kind::Json => match std::str::from_utf8(bytes) {
                Ok(text) => quoted(text, out),
                Err(_) => return Err(refuse("bytes that are not UTF-8 text")),
            },
            _ => return Err(refuse("bytes")),
        },
        Value::Date(days) => {
            let mut text = String::with_capacity(19);
            let valid = datetime::date(i64::from(*days), &mut text).is_some();
            match column.kind {
                Kind::Date | Kind::Text | Kind::DateTime if valid => quoted(&text, out),
                Kind::Integer(..) => integer(i64::from(*days), column, out, &refuse)?,
                _ => return Err(refuse("a date")),
            }
        }
        Value::Time(millis) => {
            let mut text = String::with_capacity(15);
            datetime::time(i64::from(*millis) * 1000, &mut text);
            match column.kind {
                Kind::Time | Kind::Text => quoted(&text, out),
                Kind::Integer(..) => integer(i64::from(*millis), column, out, &refuse)?,
                _ => return Err(refuse("a time of day")),
            }
        }
        Value::Timestamp(millis) => match column.kind {
            Kind::DateTime | Kind::Text => {
                let mut text = String::with_capacity(26);
                datetime::datetime(*millis, &mut text).ok_or_else(|| refuse("no such year"))?;
                quoted(&text, out);
            }
            Kind::Integer(..) => integer(*millis, column, out, &refuse)?,
            _ => return Err(refuse("a timestamp")),
        },
        Value::Array(_) | Value::Map(_) | Value::Struct(_) => match column.kind {
            Kind::Json | Kind::Text => {
                let json = json(value, schema).ok_or_else(|| refuse("it has no form in JSON"))?;
                quoted(&json.to_string(), out);
            }
            _ => return Err(refuse("a structure")),
        },
    }
    Ok(())
}

type Refuse<'r> = &'r dyn Fn(&str) -> Error;

fn integer(n: i64, column: &Column, out: &mut Vec<u8>, refuse: Refuse<'_>) -> Result<()> {
    let mut number = itoa::Buffer::new();
    let digits = number.format(n);
    match &column.kind {
        Kind::Integer(min, max) if (*min..=*max).contains(&i128::from(n)) => {
            out.extend_from_slice(digits.as_bytes());
        }
        Kind::Integer(min, max) => return Err(refuse(&format!("out of the range {min} to {max}"))),
        // Beyond 2^53 a double would not read back equal.
        Kind::Float if (n as f64) as i128 != i128::from(n) => {
            return Err(refuse("a floating point number cannot hold it exactly"));
        }
        Kind::Decimal | Kind::Float | Kind::Bit => out.extend_from_slice(digits.as_bytes()),
        Kind::Text | Kind::Json => quoted(digits, out),
        // Schemaless records have Connect's dates and times as the numbers that they are.
        Kind::Date => {
            let mut text = String::with_capacity(10);
            datetime::date(n, &mut text).ok_or_else(|| refuse("days since 1970 expected"))?;
            quoted(&text, out);
        }
        Kind::Time if (0..86_400_000).contains(&n) => {
            let mut text = String::with_capacity(15);
            datetime::time(n * 1000, &mut text);
            quoted(&text, out);
        }
        Kind::DateTime => {
            let mut text = String::with_capacity(26);
            datetime::datetime(n, &mut text)
                .ok_or_else(|| refuse("milliseconds since 1970 expected"))?;
            quoted(&text, out);
        }
        Kind::Time => return Err(refuse("milliseconds since midnight expected")),
        Kind::Binary => return Err(refuse("a number")),
    }
    Ok(())
}

fn float(n: f64, text: &str, column: &Column, out: &mut Vec<u8>, refuse: Refuse<'_>) -> Result<()> {
    if !n.is_finite() {
        return match column.kind {
            Kind::Text => {
                quoted(&n.to_string(), out);
                Ok(())
            }
            _ => Err(refuse("not a finite number")),
        };
    }
    match column.kind {
        Kind::Float | Kind::Decimal => out.extend_from_slice(text.as_bytes()),
        Kind::Text => quoted(&n.to_string(), out),
        Kind::Json => quoted(&n.to_string(), out),
        Kind::Integer(..) if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 => {
            integer(n as i64, column, out, refuse)?;
        }
        _ => return Err(refuse("a number with a fraction")),
    }
    Ok(())
}

fn decimal(number: &Decimal, column: &Column, out: &mut Vec<u8>, refuse: Refuse<'_>) -> Result<()> {
    match column.kind {
        Kind::Decimal | Kind::Float => out.extend_from_slice(number.to_string().as_bytes()),
        Kind::Text | Kind::Json => quoted(&number.to_string(), out),
        Kind::Integer(min, max) => {
            let whole = number.clone().rescaled(0);
            let exact = whole.clone().rescaled(number.scale()) == *number;
            let text = whole.to_string();
            match text.parse::<i128>() {
                Ok(n) if exact && (min..=max).contains(&n) => {
                    out.extend_from_slice(text.as_bytes())
                }
                _ => return Err(refuse(&format!("not a whole number from {min} to {max}"))),
            }
        }
        _ => return Err(refuse("a decimal number")),
    }
    Ok(())
}

fn string(text: &str, column: &Column, out: &mut Vec<u8>, refuse: Refuse<'_>) -> Result<()> {
    match &column.kind {
        Kind::Text => quoted(text, out),
        Kind::Binary => hex(text.as_bytes(), out),
        Kind::Integer(min, max) => match text.trim().parse::<i128>() {
            Ok(n) if (*min..=*max).contains(&n) => out.extend_from_slice(n.to_string().as_bytes()),
            _ => return Err(refuse(&format!("not a whole number from {min} to {max}"))),
        },
        Kind::Bit => match text.trim().parse::<u64>() {
            Ok(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Err(_) => return Err(refuse("not a whole number")),
        },
        Kind::Decimal => match text.trim().parse::<Decimal>() {
            Ok(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Err(_) => return Err(refuse("not a decimal number")),
        },
        Kind::Float => match text.trim().parse::<f64>() {
            Ok(n) if n.is_finite() => out.extend_from_slice(format!("{n:e}").as_bytes()),
            _ => return Err(refuse("not a number")),
        },
        Kind::Date | Kind::DateTime => {
            let with_time = column.kind == Kind::DateTime;
            let normal = datetime::normalise(text, with_time);
            quoted(&normal.ok_or_else(|| refuse("not an ISO 8601 date or time"))?, out);
        }
        Kind::Time => {
            let micros = datetime::clock_micros(text.trim());
            let mut normal = String::with_capacity(15);
            datetime::time(micros.ok_or_else(|| refuse("not a time of day"))?, &mut normal);
            quoted(&normal, out);
        }
        // Text that is a document is stored as that; any other as a JSON string.
        Kind::Json if serde_json::from_str::<&RawValue>(text).is_ok() => quoted(text, out),
        Kind::Json => quoted(&Json::from(text).to_string(), out),
    }
    Ok(())
}

/// A structure as JSON; none where a number has no form in it.
fn json(value: &Value, schema: Option<&Schema>) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::from(*b),
        Value::Int8(n) => Json::from(*n),
        Value::Int16(n) => Json::from(*n),
        Value::Int32(n) | Value::Date(n) | Value::Time(n) => Json::from(*n),
        Value::Int64(n) | Value::Timestamp(n) => Json::from(*n),
        Value::Float32(n) => Json::Number(serde_json::Number::from_f64(f64::from(*n))?),
        Value::Float64(n) => Json::Number(serde_json::Number::from_f64(*n)?),
        Value::String(text) => Json::from(&**text),
        Value::Bytes(bytes) => Json::from(std::str::from_utf8(bytes).ok()?),
        Value::Decimal(number) => Json::from(number.to_string()),
        Value::Array(items) => {
            let inner = match schema.map(|schema| &schema.ty) {
                Some(Type::Array(inner)) => Some(&**inner),
                _ => None,
            };
            Json::Array(items.iter().map(|item| json(item, inner)).collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let inner = match schema.map(|schema| &schema.ty) {
                Some(Type::Map(_, inner)) => Some(&**inner),
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
            let fields = schema.map(Schema::fields).unwrap_or_default();
            let entry = |(field, value): (&connect_core::data::Field, &Value)| {
                Some((field.name.to_string(), json(value, Some(&field.schema))?))
            };
            Json::Object(fields.iter().zip(values).map(entry).collect::<Option<_>>()?)
        }
    })
}

/// Appends a string literal. The session's mode makes the backslash an escape, and its character set is UTF-8.
pub(crate) fn quoted(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'\'');
    let mut start = 0;
    for (i, byte) in bytes.iter().enumerate() {
        let escaped = match byte {
            b'\'' | b'\\' => *byte,
            0 => b'0',
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..i]);
        out.extend_from_slice(&[b'\\', escaped]);
        start = i + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'\'');
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2 + 3);
    out.extend_from_slice(b"x'");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
    out.push(b'\'');
}
