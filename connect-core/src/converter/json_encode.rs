//! Values as JSON text, written as Jackson writes it for the JVM's converter.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::{BufMut, BytesMut};

use crate::{
    data::{Schema, Type, Value},
    error::{Error, Result},
};

/// Writes values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    /// `decimal.format=NUMERIC`.
    pub(super) numeric_decimals: bool,
    /// `replace.null.with.default`.
    pub(super) replace_null_with_default: bool,
}

impl Encoder {
    /// Numbers as numbers, nulls as nulls.
    pub(super) fn plain() -> Self {
        Self { numeric_decimals: true, replace_null_with_default: false }
    }

    /// Appends a value; with a schema it must be of its type, null included.
    pub(super) fn value(
        &self,
        schema: Option<&Schema>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<()> {
        if let (Value::Null, Some(schema)) = (value, schema) {
            match &schema.default {
                Some(default) if self.replace_null_with_default => {
                    return self.value(Some(schema), default, out);
                }
                None if !schema.optional => {
                    return Err(Error::data(
                        "Conversion error: null value for field that is required and has no default value",
                    ));
                }
                _ => {}
            }
        }
        match value {
            Value::Null => out.put_slice(b"null"),
            Value::Boolean(true) => out.put_slice(b"true"),
            Value::Boolean(false) => out.put_slice(b"false"),
            Value::Int8(n) => integer(i64::from(*n), out),
            Value::Int16(n) => integer(i64::from(*n), out),
            Value::Int32(n) | Value::Date(n) | Value::Time(n) => integer(i64::from(*n), out),
            Value::Int64(n) | Value::Timestamp(n) => integer(*n, out),
            Value::Float32(n) => float(f64::from(*n), &format!("{n:e}"), out),
            Value::Float64(n) => float(*n, &format!("{n:e}"), out),
            Value::String(text) => Self::text(text, out),
            Value::Bytes(bytes) => base64(bytes, out),
            Value::Decimal(number) if self.numeric_decimals => {
                // The buffer grows as needed: writing cannot fail.
                let _ = write!(out, "{number}");
            }
            Value::Decimal(number) => base64(&number.to_bytes(), out),
            Value::Array(items) => {
                let inner = match schema.map(|schema| &schema.ty) {
                    Some(Type::Array(inner)) => Some(&**inner),
                    _ => None,
                };
                self.list(items.iter().map(|item| (inner, item)), out)?;
            }
            Value::Map(entries) => self.map(schema, entries, out)?,
            Value::Struct(values) => {
                let fields = schema.map(Schema::fields).unwrap_or_default();
                if fields.len() != values.len() {
                    return Err(Error::data("Struct does not match its schema")
                        .context("fields", fields.len())
                        .context("values", values.len()));
                }
                out.put_u8(b'{');
                for (i, (field, value)) in fields.iter().zip(values).enumerate() {
                    if i > 0 {
                        out.put_u8(b',');
                    }
                    Self::text(&field.name, out);
                    out.put_u8(b':');
                    self.value(Some(&field.schema), value, out)
                        .map_err(|e| e.context("field", &field.name))?;
                }
                out.put_u8(b'}');
            }
        }
        Ok(())
    }

    fn list<'v>(
        &self,
        items: impl Iterator<Item = (Option<&'v Schema>, &'v Value)>,
        out: &mut BytesMut,
    ) -> Result<()> {
        out.put_u8(b'[');
        for (i, (schema, item)) in items.enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            self.value(schema, item, out)?;
        }
        out.put_u8(b']');
        Ok(())
    }

    /// An object if the keys are strings, else a list of pairs.
    fn map(
        &self,
        schema: Option<&Schema>,
        entries: &[(Value, Value)],
        out: &mut BytesMut,
    ) -> Result<()> {
        let (keys, values) = match schema.map(|schema| &schema.ty) {
            Some(Type::Map(keys, values)) => (Some(&**keys), Some(&**values)),
            _ => (None, None),
        };
        let object = match keys {
            Some(keys) => keys.ty == Type::String && !keys.optional,
            None => entries.iter().all(|(key, _)| key.as_str().is_some()),
        };
        if object {
            out.put_u8(b'{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.put_u8(b',');
                }
                Self::text(key.as_str().unwrap_or_default(), out);
                out.put_u8(b':');
                self.value(values, value, out)?;
            }
            out.put_u8(b'}');
            return Ok(());
        }
        out.put_u8(b'[');
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            self.list([(keys, key), (values, value)].into_iter(), out)?;
        }
        out.put_u8(b']');
        Ok(())
    }

    /// Appends a JSON string with Jackson's escapes: only what must be, control characters in upper-case hex.
    pub(super) fn text(text: &str, out: &mut BytesMut) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let bytes = text.as_bytes();
        out.reserve(bytes.len() + 2);
        out.put_u8(b'"');
        let mut start = 0;
        for (i, byte) in bytes.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            out.put_slice(&bytes[start..i]);
            start = i + 1;
            let escaped = match byte {
                b'"' | b'\\' => *byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                _ => {
                    let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                    out.put_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                    continue;
                }
            };
            out.put_slice(&[b'\\', escaped]);
        }
        out.put_slice(&bytes[start..]);
        out.put_u8(b'"');
    }
}

fn integer(n: i64, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn base64(bytes: &[u8], out: &mut BytesMut) {
    out.put_u8(b'"');
    out.put_slice(BASE64.encode(bytes).as_bytes());
    out.put_u8(b'"');
}

/// Appends a number in the form of `Double.toString`: plain between 10^-3 and 10^7, else `d.dE±n`; what is not
/// finite is a JSON string. `scientific` holds its shortest digits as Rust's `{:e}` writes them.
fn float(n: f64, scientific: &str, out: &mut BytesMut) {
    if !n.is_finite() {
        let name = if n.is_nan() {
            "\"NaN\""
        } else if n > 0.0 {
            "\"Infinity\""
        } else {
            "\"-Infinity\""
        };
        out.put_slice(name.as_bytes());
        return;
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits = mantissa.replace('.', "");
    let text = if n == 0.0 {
        "0.0".to_owned()
    } else if (-3..7).contains(&exponent) {
        if exponent < 0 {
            format!("0.{}{digits}", "0".repeat((-exponent - 1) as usize))
        } else {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<width$}", width = whole + 1);
            format!("{}.{}", &padded[..whole], &padded[whole..])
        }
    } else {
        let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
        format!("{}.{fraction}E{exponent}", &digits[..1])
    };
    out.put_slice(sign.as_bytes());
    out.put_slice(text.as_bytes());
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
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let mut out = BytesMut::new();
            Encoder::plain().value(None, &Value::Float64(number), &mut out).unwrap();
            assert_eq!(std::str::from_utf8(&out).unwrap(), text);
        }
        let mut out = BytesMut::new();
        Encoder::plain().value(None, &Value::Float32(0.1), &mut out).unwrap();
        assert_eq!(&out[..], b"0.1");
    }
}
