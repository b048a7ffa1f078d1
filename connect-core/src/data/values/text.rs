//! `Values.convertToString`.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use crate::data::{
    Schema, Type, Value,
    calendar::{self, DAY},
    java,
};

/// The text of a value, from which [`parse`](super::parse) reads it again as far as text can say it; none for null.
/// The schema names the fields of a struct.
pub fn to_text(schema: Option<&Schema>, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let mut out = String::new();
    append(schema, value, false, &mut out);
    Some(out)
}

fn append(schema: Option<&Schema>, value: &Value, embedded: bool, out: &mut String) {
    match value {
        Value::String(text) if embedded => quoted(text, out),
        Value::Bytes(bytes) if embedded => quoted(&BASE64.encode(bytes), out),
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            temporal(java::millis(value).unwrap_or_default(), out);
        }
        Value::Array(items) => {
            let inner = match schema.map(|schema| &schema.ty) {
                Some(Type::Array(inner)) => Some(&**inner),
                _ => None,
            };
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                append(inner, item, true, out);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let (keys, values) = match schema.map(|schema| &schema.ty) {
                Some(Type::Map(keys, values)) => (Some(&**keys), Some(&**values)),
                _ => (None, None),
            };
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                append(keys, key, true, out);
                out.push(':');
                append(values, value, true, out);
            }
            out.push('}');
        }
        Value::Struct(values) => {
            let fields = schema.map(Schema::fields).unwrap_or_default();
            out.push('{');
            for (i, (field, value)) in fields.iter().zip(values).enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                quoted(&field.name, out);
                out.push(':');
                append(Some(&field.schema), value, true, out);
            }
            out.push('}');
        }
        scalar => java::append(schema, scalar, out),
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// What is before the second day of the epoch is a time, what is at midnight a date, anything else both.
fn temporal(millis: i64, out: &mut String) {
    let time = millis.rem_euclid(DAY);
    let (seconds, millisecond) = (time / 1000, time % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let civil = calendar::civil(millis.div_euclid(DAY));
    let date = format!("{:04}-{:02}-{:02}", civil.year, civil.month, civil.day);
    let time = format!("{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z");
    if millis < DAY {
        out.push_str(&time);
    } else if millis % DAY == 0 {
        out.push_str(&date);
    } else {
        out.push_str(&date);
        out.push('T');
        out.push_str(&time);
    }
}
