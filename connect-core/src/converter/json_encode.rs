//! Values as JSON text, written as Jackson writes it for the JVM's converter.

use std::fmt::Write;

use base64::{display::Base64Display, engine::general_purpose::STANDARD as BASE64};
use bytes::{BufMut, BytesMut};

use crate::{
    data::{Decimal, Schema, Type, Value, java, logical},
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
    /// Appends a value; with a schema it must be of its type, null included.
    pub(super) fn value(
        &self,
        schema: Option<&Schema>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<()> {
        if let Some(schema) = schema {
            if value.is_null() {
                return self.null(schema, out);
            }
            if !fits(schema, value) {
                return Err(misfit(schema, value));
            }
            if let Value::Time(millis) = value
                && !(0..=logical::DAY_MILLIS).contains(&i64::from(*millis))
            {
                return Err(Error::data(
                    "Kafka Connect Time type should not have any date fields set to non-zero values.",
                ));
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
            Value::Float32(n) if n.is_finite() => out.put_slice(java::float32(*n).as_bytes()),
            Value::Float64(n) if n.is_finite() => out.put_slice(java::float64(*n).as_bytes()),
            Value::Float32(n) => Self::text(&java::float32(*n), out),
            Value::Float64(n) => Self::text(&java::float64(*n), out),
            Value::String(text) => Self::text(text, out),
            Value::Bytes(bytes) => base64(bytes, out),
            Value::Decimal(number) => self.decimal(schema, number, out)?,
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

    fn null(&self, schema: &Schema, out: &mut BytesMut) -> Result<()> {
        match &schema.default {
            Some(default) if self.replace_null_with_default => {
                self.value(Some(schema), default, out)
            }
            _ if schema.optional => {
                out.put_slice(b"null");
                Ok(())
            }
            _ => Err(Error::data(
                "Conversion error: null value for field that is required and has no default value",
            )),
        }
    }

    fn decimal(&self, schema: Option<&Schema>, number: &Decimal, out: &mut BytesMut) -> Result<()> {
        // Without schema, nobody could read the bytes.
        let Some(schema) = schema.filter(|_| !self.numeric_decimals) else {
            out.put_slice(number.to_java_string().as_bytes());
            return Ok(());
        };
        let (scale, found) = (schema.scale(), number.scale());
        let bytes = if scale == found {
            number.to_bytes()
        } else {
            let rescaled = number.rescaled_exactly(scale).ok_or_else(|| {
                Error::data(format!(
                    "Decimal value has mismatching scale for given Decimal schema. Schema has scale {scale}, value \
                     has scale {found}."
                ))
            })?;
            rescaled.to_bytes()
        };
        base64(&bytes, out);
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
            Some(keys) => keys.ty == Type::String,
            None => entries.iter().all(|(key, _)| key.as_str().is_some()),
        };
        if object {
            out.put_u8(b'{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.put_u8(b',');
                }
                match (key, keys) {
                    (Value::String(key), _) => Self::text(key, out),
                    // As the text of JSON's null.
                    (Value::Null, Some(keys)) if keys.optional => out.put_slice(b"\"null\""),
                    (Value::Null, Some(keys)) => self.null(keys, out)?,
                    (key, _) => return Err(misfit_type(&Type::String, key)),
                }
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

    /// Appends a JSON string with Jackson's escapes: what must be, control characters in upper-case hex, and what is
    /// beyond the basic plane as a pair of surrogates.
    pub(super) fn text(text: &str, out: &mut BytesMut) {
        let bytes = text.as_bytes();
        out.reserve(bytes.len() + 2);
        out.put_u8(b'"');
        let mut start = 0;
        while let Some(special) = first_special(&bytes[start..]) {
            let at = start + special;
            out.put_slice(&bytes[start..at]);
            let escaped = match bytes[at] {
                byte @ (b'"' | b'\\') => byte,
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                _ => {
                    // The first byte of a character of four, or a control character.
                    let c = text[at..].chars().next().unwrap_or_default();
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| unicode(*unit, out));
                    start = at + c.len_utf8();
                    continue;
                }
            };
            out.put_slice(&[b'\\', escaped]);
            start = at + 1;
        }
        out.put_slice(&bytes[start..]);
        out.put_u8(b'"');
    }
}

/// Where the first byte is that needs an escape. As a rule there is none, which is seen faster of many at once.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let special = |byte: &u8| !matches!(byte, 0x20..0xf0) || matches!(byte, b'"' | b'\\');
    let mut before = 0;
    for part in bytes.chunks(32) {
        if part.iter().fold(false, |any, byte| any | special(byte)) {
            return Some(before + part.iter().position(special)?);
        }
        before += part.len();
    }
    None
}

fn unicode(unit: u16, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |shift: u16| HEX[usize::from(unit >> shift & 15)];
    out.put_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

fn integer(n: i64, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn base64(bytes: &[u8], out: &mut BytesMut) {
    // It grows as needed: writing cannot fail.
    let _ = write!(out, "\"{}\"", Base64Display::new(bytes, &BASE64));
}

/// Whether a value that is not null is what its schema says.
fn fits(schema: &Schema, value: &Value) -> bool {
    let plain = || schema.logical_name().is_none();
    match (&schema.ty, value) {
        (Type::Int8, Value::Int8(_))
        | (Type::Int16, Value::Int16(_))
        | (Type::Float32, Value::Float32(_))
        | (Type::Float64, Value::Float64(_))
        | (Type::Boolean, Value::Boolean(_))
        | (Type::String, Value::String(_))
        | (Type::Array(_), Value::Array(_))
        | (Type::Map(..), Value::Map(_))
        | (Type::Struct(_), Value::Struct(_)) => true,
        (Type::Int32, Value::Int32(_))
        | (Type::Int64, Value::Int64(_))
        | (Type::Bytes, Value::Bytes(_)) => plain(),
        (Type::Bytes, Value::Decimal(_)) => schema.logical_name() == Some(logical::DECIMAL),
        (Type::Int32, Value::Date(_)) => schema.logical_name() == Some(logical::DATE),
        (Type::Int32, Value::Time(_)) => schema.logical_name() == Some(logical::TIME),
        (Type::Int64, Value::Timestamp(_)) => schema.logical_name() == Some(logical::TIMESTAMP),
        _ => false,
    }
}

fn misfit(schema: &Schema, value: &Value) -> Error {
    let class = java::class(value);
    match schema.logical_name() {
        Some(logical::DECIMAL) => {
            Error::data(format!("Invalid type for Decimal, expected BigDecimal but was {class}"))
        }
        Some(name) => {
            let name = name.rsplit('.').next().unwrap_or(name);
            Error::data(format!("Invalid type for {name}, expected Date but was {class}"))
        }
        None if schema.ty == Type::Bytes => {
            Error::data(format!("Invalid type for bytes type: {class}"))
        }
        None => misfit_type(&schema.ty, value),
    }
}

fn misfit_type(ty: &Type, value: &Value) -> Error {
    Error::data(format!("Invalid type for {}: {}", ty.name(), java::class(value)))
}
