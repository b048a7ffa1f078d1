//! Text as Java's `toString()` makes it: what `StringConverter` and the file sink write.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::{
    Schema, Type, Value,
    calendar::{self, DAY},
};

/// `Object.toString()` of a value: `{a=1, b=x}`, `[1, 2]`, `Struct{a=1,b=x}`, `Thu Jan 01 00:00:00 UTC 1970`.
///
/// Bytes are base64, as nothing can be done with Java's `[B@` and the address of an array.
pub fn to_string(schema: Option<&Schema>, value: &Value) -> String {
    let mut out = String::new();
    append(schema, value, &mut out);
    out
}

/// Appends [`to_string`].
pub fn append(schema: Option<&Schema>, value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Boolean(true) => out.push_str("true"),
        Value::Boolean(false) => out.push_str("false"),
        Value::Int8(n) => integer(i64::from(*n), out),
        Value::Int16(n) => integer(i64::from(*n), out),
        Value::Int32(n) => integer(i64::from(*n), out),
        Value::Int64(n) => integer(*n, out),
        Value::Float32(n) => out.push_str(&float32(*n)),
        Value::Float64(n) => out.push_str(&float64(*n)),
        Value::String(text) => out.push_str(text),
        Value::Bytes(bytes) => BASE64.encode_string(bytes, out),
        Value::Decimal(number) => out.push_str(&number.to_java_string()),
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            date(millis(value).unwrap_or_default(), out);
        }
        Value::Array(items) => {
            let inner = match schema.map(|schema| &schema.ty) {
                Some(Type::Array(inner)) => Some(&**inner),
                _ => None,
            };
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                append(inner, item, out);
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
                out.push_str(if i == 0 { "" } else { ", " });
                append(keys, key, out);
                out.push('=');
                append(values, value, out);
            }
            out.push('}');
        }
        Value::Struct(values) => {
            let fields = schema.map(Schema::fields).unwrap_or_default();
            out.push_str("Struct{");
            let start = out.len();
            for (field, value) in fields.iter().zip(values).filter(|(_, value)| !value.is_null()) {
                out.push_str(if out.len() == start { "" } else { "," });
                out.push_str(&field.name);
                out.push('=');
                append(Some(&field.schema), value, out);
            }
            out.push('}');
        }
    }
}

/// The class of a value, as the messages of Java's exceptions name it.
pub(crate) fn class(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "class java.lang.Boolean",
        Value::Int8(_) => "class java.lang.Byte",
        Value::Int16(_) => "class java.lang.Short",
        Value::Int32(_) => "class java.lang.Integer",
        Value::Int64(_) => "class java.lang.Long",
        Value::Float32(_) => "class java.lang.Float",
        Value::Float64(_) => "class java.lang.Double",
        Value::String(_) => "class java.lang.String",
        Value::Bytes(_) => "class [B",
        Value::Decimal(_) => "class java.math.BigDecimal",
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => "class java.util.Date",
        Value::Array(_) => "class java.util.ArrayList",
        Value::Map(_) => "class java.util.HashMap",
        Value::Struct(_) => "class org.apache.kafka.connect.data.Struct",
    }
}

/// The milliseconds of the `java.util.Date` that a logical value is to the JVM.
pub(crate) fn millis(value: &Value) -> Option<i64> {
    match value {
        Value::Date(days) => Some(i64::from(*days) * DAY),
        Value::Time(millis) => Some(i64::from(*millis)),
        Value::Timestamp(millis) => Some(*millis),
        _ => None,
    }
}

fn integer(n: i64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(n));
}

/// `java.util.Date.toString()` in UTC.
fn date(millis: i64, out: &mut String) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = millis.div_euclid(DAY);
    let civil = calendar::civil(days);
    let seconds = millis.rem_euclid(DAY) / 1000;
    // Before year 1 Java prints the year of its era, and not the era.
    let year = if civil.year > 0 { civil.year } else { 1 - civil.year };
    let (weekday, month) = (DAYS[days.rem_euclid(7) as usize], MONTHS[civil.month as usize - 1]);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let day = civil.day;
    // A string grows as needed: writing cannot fail.
    let _ = write!(out, "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}");
}

macro_rules! float {
    ($name:ident, $type:ty, $doc:literal) => {
        #[doc = $doc]
        pub(crate) fn $name(n: $type) -> String {
            if !n.is_finite() {
                return not_finite(f64::from(n)).to_owned();
            }
            if n == 0.0 || (1e-3..1e7).contains(&n.abs()) {
                let mut text = n.to_string();
                text.push_str(if text.contains('.') { "" } else { ".0" });
                return text;
            }
            let two = || Some(format!("{n:.1e}")).filter(|text| text.parse() == Ok(n));
            scientific(&digits(format!("{n:e}"), two))
        }
    };
}
float!(float32, f32, "`Float.toString`.");
float!(float64, f64, "`Double.toString`: plain from 10^-3 to 10^7, else `d.dE±n`.");

fn not_finite(n: f64) -> &'static str {
    if n.is_nan() {
        "NaN"
    } else if n > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// The shortest digits that mean the number. Where one digit is enough, Java takes the nearest of two if they are
/// nearer: 4.9E-324.
fn digits(shortest: String, two: impl FnOnce() -> Option<String>) -> String {
    if shortest.contains('.') { shortest } else { two().unwrap_or(shortest) }
}

/// Rust's `d.ddde±n` as Java writes it.
fn scientific(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{point}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_java_prints_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (1234567.0, "1234567.0"),
            (12345678.0, "1.2345678E7"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (1e10, "1.0E10"),
            (-123.456, "-123.456"),
            (f64::from_bits(1), "4.9E-324"),
            (f64::from_bits(2), "9.9E-324"),
            (1e23, "1.0E23"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float64(number), text);
        }
        assert_eq!((float32(0.1), float32(f32::from_bits(1))), ("0.1".into(), "1.4E-45".into()));
    }
}
