//! A value as what a column of a type takes. What would not read back equal is refused: times are cut to the column's
//! digits, as the JVM's drivers do, and single precision is as precise as it is; every other loss is an error.

use std::{borrow::Cow, fmt::Write};

use connect_core::{
    data::{Type, Value},
    error::{Error, Result},
};

use super::{
    json::json,
    keys::{DateZone, TimestampPrecision},
    named::{self, Meaning},
    numbers::{self, boolean, decimal, float, integer},
    plan::Mapped,
    table::{Column, Kind, Limit},
    times::{self, date, field_of_timestamps, millis, of_day, time},
};
use crate::{datetime::Years, zone::Zone};

/// Longest value in a message, in bytes.
const SHOWN: usize = 200;

/// What takes a cell: a statement's text, or a parameter.
pub trait Cells {
    /// NULL.
    fn null(&mut self);
    /// A number, in digits.
    fn number(&mut self, digits: &str);
    /// True or false.
    fn boolean(&mut self, value: bool);
    /// Text, or what the database reads from text.
    fn text(&mut self, text: &str);
    /// Bytes.
    fn bytes(&mut self, bytes: &[u8]);
}

/// How values are written that have more than one form.
#[derive(Debug, Clone)]
pub struct Format {
    /// Zone of columns that have none.
    pub zone: Zone,
    /// Which zone dates are of.
    pub dates: DateZone,
    /// Whether dates before 1582-10-15 come in the Julian calendar.
    pub legacy: bool,
    /// Unit of the fields of `timestamp.fields.list`.
    pub unit: TimestampPrecision,
    /// Which years the database has.
    pub years: Years,
    /// The zone that instants are written in.
    pub instants: Zone,
    /// What stands behind an instant.
    pub utc: &'static str,
    /// Whether the database knows dates without end, `infinity` and `-infinity`, and has numbers of that kind and NaN.
    pub infinity: bool,
    /// Whether times may be negative, or longer than a day: up to 838 hours.
    pub long_times: bool,
    /// Whether dates and times in any form are left to the database (`stringtype=unspecified`): what it makes of a zone
    /// or a time that its column does not have is its own.
    pub untyped: bool,
    /// Whether text may hold the character of code 0.
    pub nul: bool,
    /// Whether bits are written as a number, and not as their digits.
    pub bits_are_numbers: bool,
}

/// Why a value does not fit.
pub(super) type Fit<T = ()> = Result<T, Cow<'static, str>>;

pub(super) fn misfit<T>(why: &'static str) -> Fit<T> {
    Err(Cow::Borrowed(why))
}

/// What a value goes into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'t> {
    pub(super) kind: &'t Kind,
    /// The type as the database writes it.
    pub(super) declared: &'t str,
}

/// Writes the value of a field for its column.
///
/// # Errors
/// [`ErrorKind::Data`](connect_core::error::ErrorKind::Data) naming column, type and value.
pub fn cell(
    value: &Value,
    mapped: &Mapped,
    column: &Column,
    format: &Format,
    out: &mut impl Cells,
) -> Result<()> {
    let target = Target { kind: &column.kind, declared: &column.declared };
    let ty = mapped.schema.as_ref().map(|schema| &schema.ty);
    let fit = match (mapped.timestamp, &mapped.meaning) {
        (true, _) => field_of_timestamps(value, &column.kind, format, out),
        (false, Meaning::Plain) => write(value, ty, target, format, out),
        (false, meaning) => write_as(value, (meaning, ty), target, format, out),
    };
    fit.map_err(|why| {
        let error = Error::data(format!("value does not fit the column: {why}"))
            .context("column", &column.name)
            .context("type", &column.declared);
        let name = mapped.schema.as_ref().and_then(|schema| schema.name.as_deref());
        let error = match name {
            Some(name) => error.context("schema", name),
            None => error,
        };
        error.context("value", shown(value))
    })
}

/// Writes a value whose schema has a name that means something.
fn write_as(
    value: &Value,
    (meaning, ty): (&Meaning, Option<&Type>),
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    known(value)?;
    named::write(value, meaning, ty, target, format, out)
}

/// Refuses what Debezium writes for a value that it does not know.
fn known(value: &Value) -> Fit {
    match named::is_placeholder(value) {
        true => misfit(
            "Debezium's __debezium_unavailable_value stands for a value that did not change and was not logged; \
             REPLICA IDENTITY FULL logs it, a transformation can leave the field out",
        ),
        false => Ok(()),
    }
}

/// A value for messages.
pub fn shown(value: &Value) -> String {
    let mut shown = format!("{value:?}");
    if shown.len() > SHOWN {
        shown.truncate((0..=SHOWN).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or(0));
        shown.push('…');
    }
    shown
}

/// Writes a value that is what its type says.
pub(super) fn plain(
    value: &Value,
    ty: Option<&Type>,
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    write(value, ty, target, format, out)
}

fn write(
    value: &Value,
    ty: Option<&Type>,
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let kind = target.kind;
    match value {
        Value::Null => out.null(),
        Value::Boolean(b) => boolean(*b, kind, format, out)?,
        // Eight bits as a byte, whose first is the sign.
        Value::Int8(n) if matches!(kind, Kind::Bit(8)) => {
            bits(u64::from(*n as u8), 8, format, out)?
        }
        Value::Int8(n) => integer(i64::from(*n), kind, format, out)?,
        Value::Int64(0) if ty.is_none() && matches!(kind, Kind::Year) => {
            return misfit("0 without a schema, which is the year 0 or the day 1970-01-01");
        }
        Value::Int16(n) => integer(i64::from(*n), kind, format, out)?,
        Value::Int32(n) => integer(i64::from(*n), kind, format, out)?,
        Value::Int64(n) => integer(*n, kind, format, out)?,
        Value::Float32(n) => float(f64::from(*n), &n.to_string(), kind, format, out)?,
        Value::Float64(n) => float(*n, &n.to_string(), kind, format, out)?,
        Value::Decimal(number) => decimal(number, kind, format, out)?,
        Value::String(text) => {
            known(value)?;
            // Without a schema the bytes of a source come as text, in base64.
            if ty.is_none() && maybe_bytes(text, kind) {
                return misfit("text without a schema, which may be bytes in base64");
            }
            string(text, kind, format, out)?;
        }
        Value::Bytes(bytes) => {
            known(value)?;
            self::bytes(bytes, kind, format, out)?;
        }
        Value::Date(days) => date(*days, kind, format, out)?,
        Value::Time(millis) => match kind {
            Kind::Integer(..) => integer(i64::from(*millis), kind, format, out)?,
            _ => time(of_day((*millis).into())?, kind, format, out)?,
        },
        Value::Timestamp(n) => match kind {
            Kind::Integer(..) => integer(*n, kind, format, out)?,
            _ => millis(*n, kind, format, out)?,
        },
        Value::Array(items) => {
            known(value)?;
            match kind {
                Kind::Array(inner) => {
                    let item = match ty {
                        Some(Type::Array(item)) => Some(&item.ty),
                        _ => None,
                    };
                    let target = Target { kind: inner, ..target };
                    out.text(&array(items, (&Meaning::Plain, item), target, format)?);
                }
                _ => structure(value, ty, kind, format, out)?,
            }
        }
        Value::Map(_) | Value::Struct(_) => {
            known(value)?;
            structure(value, ty, kind, format, out)?;
        }
    }
    Ok(())
}

/// The text form of a value, where the column takes text; it says what else the value is.
pub(super) fn form(
    text: &str,
    kind: &Kind,
    format: &Format,
    out: &mut impl Cells,
    what: &'static str,
) -> Fit {
    match kind {
        Kind::Text(limit) => characters(text, *limit, format, out)?,
        Kind::Labels(labels) => label(text, labels, out)?,
        Kind::Json => out.text(&format!("\"{text}\"")),
        Kind::Other => out.text(text),
        _ => return misfit(what),
    }
    Ok(())
}

/// Bits, as a number or as the digits of a binary one, as many as the column has.
pub(super) fn bits(n: u64, length: u32, format: &Format, out: &mut impl Cells) -> Fit {
    if length < 64 && n >= 1 << length {
        return Err(format!("more than {length} bits").into());
    }
    match format.bits_are_numbers {
        true => out.number(&n.to_string()),
        false => out.text(&format!("{n:0length$b}", length = length as usize)),
    }
    Ok(())
}

pub(super) fn binary(bytes: &[u8], limit: Option<u32>, out: &mut impl Cells) -> Fit {
    match limit.filter(|limit| bytes.len() > *limit as usize) {
        Some(limit) => Err(format!("longer than {limit} bytes").into()),
        None => {
            out.bytes(bytes);
            Ok(())
        }
    }
}

fn bytes(bytes: &[u8], kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    match (kind, std::str::from_utf8(bytes)) {
        (Kind::Binary(limit), _) => binary(bytes, *limit, out),
        (Kind::Bit(length), _) if format.bits_are_numbers => {
            let (high, low) = bytes.split_at(bytes.len().saturating_sub(8));
            if high.iter().any(|byte| *byte != 0) {
                return Err(format!("more than {length} bits").into());
            }
            let n = low.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
            bits(n, *length, format, out)
        }
        (Kind::Text(limit), Ok(text)) => characters(text, *limit, format, out),
        (Kind::Json, Ok(text)) => characters(text, None, format, out),
        (Kind::Text(_) | Kind::Json, Err(_)) => misfit("bytes that are not UTF-8 text"),
        _ => misfit("bytes"),
    }
}

pub(super) fn string(text: &str, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let trimmed = text.trim();
    match kind {
        Kind::Text(limit) => characters(text, *limit, format, out)?,
        Kind::Binary(limit) => binary(text.as_bytes(), *limit, out)?,
        Kind::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "on" | "1" => out.boolean(true),
            "false" | "f" | "no" | "off" | "0" => out.boolean(false),
            _ => return misfit("neither true nor false"),
        },
        Kind::Integer(..) | Kind::Decimal(..) | Kind::Float { .. } | Kind::Year => {
            numbers::parsed(trimmed, kind, format, out)?;
        }
        Kind::Bit(length) => {
            let digits = is_bits(trimmed) && trimmed.len() == *length as usize;
            let binary = u64::from_str_radix(trimmed, 2).ok().filter(|_| digits);
            match binary.or_else(|| trimmed.parse().ok()) {
                Some(n) => bits(n, *length, format, out)?,
                // Longer than any number.
                None if digits => out.text(trimmed),
                None => return misfit("neither so many bits nor a whole number"),
            }
        }
        Kind::VarBit(limit) => match limit.filter(|limit| text.len() > *limit as usize) {
            Some(limit) => return Err(format!("more than {limit} bits").into()),
            None if is_bits(text) => out.text(text),
            None => return misfit("not bits"),
        },
        Kind::Date | Kind::DateTime { .. } | Kind::Time { .. } => {
            times::parsed(trimmed, kind, format, out)?;
        }
        // Text that is a document is stored as that; any other as a JSON string.
        Kind::Json => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => characters(text, None, format, out)?,
            Err(_) => out.text(&serde_json::Value::from(text).to_string()),
        },
        Kind::Uuid => match uuid(trimmed) {
            Some(uuid) => out.text(&uuid),
            None => return misfit("not a UUID"),
        },
        Kind::Labels(labels) => label(text, labels, out)?,
        Kind::Array(_) | Kind::Formatted | Kind::Other => characters(text, None, format, out)?,
    }
    Ok(())
}

/// Whether a text may be bytes in base64, for a column that takes some: bits beyond eight are bytes to MySQL's source.
fn maybe_bytes(text: &str, kind: &Kind) -> bool {
    let bytes = match kind {
        Kind::Binary(_) => true,
        Kind::Bit(length) => *length > 8 && text.len() != *length as usize,
        _ => false,
    };
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    bytes
        && !text.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && text.bytes().rev().skip(padding).all(digit)
}

fn is_bits(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0' | b'1'))
}

/// A label, or several: digits that are none would be taken for the number of one.
fn label(text: &str, labels: &[String], out: &mut impl Cells) -> Fit {
    let number = text.trim().parse::<i128>().is_ok();
    if number && !labels.iter().any(|label| label == text.trim_end()) {
        return misfit("not a label");
    }
    out.text(text);
    Ok(())
}

/// A UUID in the form that has one text for each.
fn uuid(text: &str) -> Option<String> {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let mut digits: String = inner.chars().filter(|c| *c != '-').collect();
    digits.make_ascii_lowercase();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for at in [20, 16, 12, 8] {
        digits.insert(at, '-');
    }
    Some(digits)
}

fn characters(text: &str, limit: Option<Limit>, format: &Format, out: &mut impl Cells) -> Fit {
    match limit.filter(|limit| !limit.takes(text)) {
        Some(Limit::Characters(most)) => {
            return Err(format!("longer than {most} characters").into());
        }
        Some(Limit::Bytes(most)) => return Err(format!("longer than {most} bytes").into()),
        None => {}
    }
    if !format.nul && text.as_bytes().contains(&0) {
        return misfit("text with the character of code 0");
    }
    out.text(text);
    Ok(())
}

fn structure(
    value: &Value,
    ty: Option<&Type>,
    kind: &Kind,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let limit = match kind {
        Kind::Json => None,
        Kind::Text(limit) => *limit,
        _ => return misfit("a structure"),
    };
    match json(value, ty, format) {
        Some(json) => characters(&json.to_string(), limit, format, out),
        None => misfit(
            "it has no form in JSON: bytes that are not UTF-8, a key twice, or a number without digits",
        ),
    }
}

/// `{1,2,"a\"b",NULL}`: PostgreSQL's text of an array.
pub(super) fn array(
    items: &[Value],
    (meaning, ty): (&Meaning, Option<&Type>),
    target: Target<'_>,
    format: &Format,
) -> Fit<String> {
    let mut elements = Elements(String::from("{"));
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            elements.0.push(',');
        }
        match (item, meaning) {
            // A list that is one value.
            (item, Meaning::Vector) => {
                write_as(item, (meaning, ty), target, format, &mut elements)?;
            }
            // An array in an array is another dimension of the same type, which has a length.
            (Value::Array(items), _) if items.is_empty() && !matches!(target.kind, Kind::Json) => {
                return misfit("an empty list in a list");
            }
            (Value::Array(items), meaning) if !matches!(target.kind, Kind::Json) => {
                let ty = match ty {
                    Some(Type::Array(item)) => Some(&item.ty),
                    _ => None,
                };
                let meaning = match meaning {
                    Meaning::List(item) => item,
                    meaning => meaning,
                };
                elements.0.push_str(&array(items, (meaning, ty), target, format)?);
            }
            (item, Meaning::Plain) => write(item, ty, target, format, &mut elements)?,
            (item, _) => write_as(item, (meaning, ty), target, format, &mut elements)?,
        }
    }
    elements.0.push('}');
    Ok(elements.0)
}

struct Elements(String);

impl Cells for Elements {
    fn null(&mut self) {
        self.0.push_str("NULL");
    }
    fn number(&mut self, digits: &str) {
        self.0.push_str(digits);
    }
    fn boolean(&mut self, value: bool) {
        self.0.push(if value { 't' } else { 'f' });
    }
    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                self.0.push('\\');
            }
            self.0.push(c);
        }
        self.0.push('"');
    }
    fn bytes(&mut self, bytes: &[u8]) {
        let mut hex = String::with_capacity(2 + bytes.len() * 2);
        hex.push_str("\\x");
        for byte in bytes {
            // A String grows as needed: writing cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        self.text(&hex);
    }
}
