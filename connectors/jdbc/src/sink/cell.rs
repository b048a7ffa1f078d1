//! A value as what a column of a type takes. What would not read back equal is refused: times are cut to the column's
//! digits, as the JVM's drivers do, and single precision is as precise as it is; every other loss is an error.

use std::{borrow::Cow, fmt::Write};

use connect_core::{
    data::{Decimal, Type, Value},
    error::{Error, Result},
};

use super::{
    json::{json, number_text},
    keys::{DateZone, TimestampPrecision},
    plan::Mapped,
    table::{Column, Kind},
};
use crate::{
    datetime::{self, DAY, Years},
    zone::Zone,
};

/// Longest value in a message, in bytes.
const SHOWN: usize = 200;
/// Whole numbers up to this are exact in a double.
const EXACT_DOUBLE: i64 = 1 << 53;
/// And in single precision.
const EXACT_SINGLE: i64 = 1 << 24;

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
    /// What stands behind an instant.
    pub utc: &'static str,
    /// Whether the database reads dates and times in other forms than ISO 8601.
    pub reads_text: bool,
    /// Whether text may hold the character of code 0.
    pub nul: bool,
    /// Whether bits are written as a number, and not as their digits.
    pub bits_are_numbers: bool,
}

/// Why a value does not fit.
type Fit<T = ()> = Result<T, Cow<'static, str>>;

fn misfit<T>(why: &'static str) -> Fit<T> {
    Err(Cow::Borrowed(why))
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
    let fit = match mapped.timestamp {
        true => field_of_timestamps(value, &column.kind, format, out),
        false => write(value, mapped.schema.as_ref().map(|s| &s.ty), &column.kind, format, out),
    };
    fit.map_err(|why| {
        Error::data(format!("value does not fit the column: {why}"))
            .context("column", &column.name)
            .context("type", &column.declared)
            .context("value", shown(value))
    })
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

fn write(
    value: &Value,
    ty: Option<&Type>,
    kind: &Kind,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    match value {
        Value::Null => out.null(),
        Value::Boolean(b) => boolean(*b, kind, format, out)?,
        Value::Int8(n) => integer(i64::from(*n), kind, format, out)?,
        Value::Int16(n) => integer(i64::from(*n), kind, format, out)?,
        Value::Int32(n) => integer(i64::from(*n), kind, format, out)?,
        Value::Int64(n) => integer(*n, kind, format, out)?,
        Value::Float32(n) => float(f64::from(*n), &n.to_string(), kind, out)?,
        Value::Float64(n) => float(*n, &n.to_string(), kind, out)?,
        Value::Decimal(number) => decimal(number, kind, out)?,
        Value::String(text) => string(text, kind, format, out)?,
        Value::Bytes(bytes) => match (kind, std::str::from_utf8(bytes)) {
            (Kind::Binary(limit), _) => binary(bytes, *limit, out)?,
            (Kind::Bit(length), _) if format.bits_are_numbers => {
                let high = bytes.len().saturating_sub(8);
                if bytes[..high].iter().any(|byte| *byte != 0) {
                    return Err(format!("more than {length} bits").into());
                }
                bits(
                    bytes[high..].iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
                    *length,
                    format,
                    out,
                )?;
            }
            (Kind::Text(limit), Ok(text)) => characters(text, *limit, format, out)?,
            (Kind::Json, Ok(text)) => characters(text, None, format, out)?,
            (Kind::Text(_) | Kind::Json, Err(_)) => return misfit("bytes that are not UTF-8 text"),
            _ => return misfit("bytes"),
        },
        Value::Date(days) => date(*days, kind, format, out)?,
        Value::Time(millis) => match kind {
            Kind::Integer(..) => integer(i64::from(*millis), kind, format, out)?,
            _ => time(i64::from(*millis) * 1000, kind, format, out)?,
        },
        Value::Timestamp(millis) => match kind {
            Kind::Integer(..) => integer(*millis, kind, format, out)?,
            _ => timestamp(millis.saturating_mul(1000), kind, format, out)?,
        },
        Value::Array(items) => match kind {
            Kind::Array(inner) => {
                let item = match ty {
                    Some(Type::Array(item)) => Some(&item.ty),
                    _ => None,
                };
                out.text(&array(items, item, inner, format)?);
            }
            _ => structure(value, ty, kind, out)?,
        },
        Value::Map(_) | Value::Struct(_) => structure(value, ty, kind, out)?,
    }
    Ok(())
}

fn boolean(b: bool, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    match kind {
        Kind::Boolean => out.boolean(b),
        Kind::Text(_) | Kind::Json | Kind::Other => out.text(if b { "true" } else { "false" }),
        Kind::Bit(length) => bits(u64::from(b), *length, format, out)?,
        Kind::Integer(..) | Kind::Decimal(..) | Kind::Float { .. } => {
            out.number(if b { "1" } else { "0" });
        }
        _ => return misfit("a boolean"),
    }
    Ok(())
}

fn integer(n: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let mut number = itoa::Buffer::new();
    let digits = number.format(n);
    match kind {
        Kind::Integer(min, max) if (*min..=*max).contains(&i128::from(n)) => out.number(digits),
        Kind::Integer(min, max) => return Err(format!("out of the range {min} to {max}").into()),
        Kind::Float { single } => {
            let most = if *single { EXACT_SINGLE } else { EXACT_DOUBLE };
            if n.unsigned_abs() > most.unsigned_abs() && (n as f64) as i128 != i128::from(n) {
                return misfit("a floating point number cannot hold it exactly");
            }
            out.number(digits);
        }
        Kind::Decimal(..) => exact(&Decimal::new(n, 0), kind, out)?,
        Kind::Bit(length) => match u64::try_from(n) {
            Ok(n) => bits(n, *length, format, out)?,
            Err(_) => return misfit("a negative number"),
        },
        Kind::Year if n == 0 || (1901..=2155).contains(&n) => out.number(digits),
        Kind::Year => return misfit("no year from 1901 to 2155"),
        Kind::Boolean if matches!(n, 0 | 1) => out.boolean(n == 1),
        Kind::Boolean => return misfit("neither 0 nor 1"),
        Kind::Text(limit) => characters(digits, *limit, format, out)?,
        Kind::Json | Kind::Other => out.text(digits),
        // Schemaless records have Connect's dates and times as the numbers that they are.
        Kind::Date => match i32::try_from(n) {
            Ok(days) => date(days, kind, format, out)?,
            Err(_) => return misfit("days since 1970 expected"),
        },
        Kind::Time(_) if (0..DAY / 1000).contains(&n) => time(n * 1000, kind, format, out)?,
        Kind::Time(_) => return misfit("milliseconds since midnight expected"),
        Kind::DateTime { .. } => match n.checked_mul(1000) {
            Some(micros) => timestamp(micros, kind, format, out)?,
            None => return misfit("milliseconds since 1970 expected"),
        },
        Kind::Binary(_) | Kind::Array(_) | Kind::Uuid => return misfit("a number"),
    }
    Ok(())
}

/// Bits, as a number or as the digits of a binary one, as many as the column has.
fn bits(n: u64, length: u32, format: &Format, out: &mut impl Cells) -> Fit {
    if length < 64 && n >= 1 << length {
        return Err(format!("more than {length} bits").into());
    }
    match format.bits_are_numbers {
        true => out.number(&n.to_string()),
        false => out.text(&format!("{n:0length$b}", length = length as usize)),
    }
    Ok(())
}

fn binary(bytes: &[u8], limit: Option<u32>, out: &mut impl Cells) -> Fit {
    match limit.filter(|limit| bytes.len() > *limit as usize) {
        Some(limit) => Err(format!("longer than {limit} bytes").into()),
        None => {
            out.bytes(bytes);
            Ok(())
        }
    }
}

fn float(n: f64, text: &str, kind: &Kind, out: &mut impl Cells) -> Fit {
    match kind {
        Kind::Text(_) | Kind::Other => out.text(text),
        _ if !n.is_finite() => match kind {
            // The database may know them or not: it says so.
            Kind::Float { .. } => out.text(text),
            Kind::Json => out.text(&format!("\"{text}\"")),
            _ => return misfit("not a finite number"),
        },
        Kind::Float { single } => {
            if *single && (n as f32).is_infinite() {
                return misfit("out of the range of single precision");
            }
            out.number(&format!("{n:e}"));
        }
        Kind::Json => out.text(text),
        Kind::Decimal(..) | Kind::Integer(..) => match text.parse::<Decimal>() {
            Ok(number) => decimal(&number, kind, out)?,
            Err(_) => return misfit("a number with too many digits"),
        },
        _ => return misfit("a number with a fraction"),
    }
    Ok(())
}

fn decimal(number: &Decimal, kind: &Kind, out: &mut impl Cells) -> Fit {
    match kind {
        Kind::Decimal(..) => exact(number, kind, out)?,
        Kind::Float { single } => {
            let double = number.to_f64();
            let back = number_text(double).parse::<Decimal>().ok();
            let back = back.and_then(|back| back.rescaled_exactly(number.scale()));
            if !*single && back.as_ref() != Some(number) {
                return misfit("a floating point number cannot hold it exactly");
            }
            out.number(&format!("{double:e}"));
        }
        Kind::Text(_) | Kind::Json | Kind::Other => out.text(&number.to_string()),
        Kind::Integer(min, max) => {
            let whole = number.rescaled_exactly(0).map(|whole| whole.to_string());
            match whole.as_ref().and_then(|text| text.parse::<i128>().ok()) {
                Some(n) if (min..=max).contains(&&n) => out.number(&n.to_string()),
                _ => return Err(format!("not a whole number from {min} to {max}").into()),
            }
        }
        _ => return misfit("a decimal number"),
    }
    Ok(())
}

/// A number whose digits all fit.
fn exact(number: &Decimal, kind: &Kind, out: &mut impl Cells) -> Fit {
    let Kind::Decimal(precision, scale) = kind else { return misfit("a decimal number") };
    let mut text = number.to_string();
    if let Some(scale) = scale {
        let fitted = i32::try_from(*scale).ok().and_then(|scale| number.rescaled_exactly(scale));
        let fitted = fitted.ok_or_else(|| format!("more than {scale} digits after the point"))?;
        text = fitted.to_string();
    }
    if let Some(precision) = precision {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let zeros = text.trim_start_matches('-').starts_with("0.");
        if digits - usize::from(zeros) > *precision as usize {
            return Err(format!("more than {precision} digits").into());
        }
    }
    out.number(&text);
    Ok(())
}

fn string(text: &str, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let trimmed = text.trim();
    match kind {
        Kind::Text(limit) => characters(text, *limit, format, out)?,
        Kind::Binary(limit) => binary(text.as_bytes(), *limit, out)?,
        Kind::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "on" | "1" => out.boolean(true),
            "false" | "f" | "no" | "off" | "0" => out.boolean(false),
            _ => return misfit("neither true nor false"),
        },
        Kind::Integer(min, max) => match trimmed.parse::<i128>() {
            Ok(n) if (*min..=*max).contains(&n) => out.number(&n.to_string()),
            _ => return Err(format!("not a whole number from {min} to {max}").into()),
        },
        Kind::Bit(length) => {
            let digits = trimmed.len() == *length as usize && trimmed.len() <= 64;
            let binary = u64::from_str_radix(trimmed, 2).ok().filter(|_| digits);
            match binary.or_else(|| trimmed.parse().ok()) {
                Some(n) => bits(n, *length, format, out)?,
                // Longer than any number: the database reads it.
                None if trimmed.bytes().all(|b| matches!(b, b'0' | b'1')) => out.text(trimmed),
                None => return misfit("neither bits nor a whole number"),
            }
        }
        Kind::Year => match trimmed.parse::<i64>() {
            Ok(n) => integer(n, kind, format, out)?,
            Err(_) => return misfit("not a year"),
        },
        Kind::Decimal(..) => match trimmed.parse::<Decimal>() {
            Ok(number) => exact(&number, kind, out)?,
            Err(_) => return misfit("not a decimal number"),
        },
        Kind::Float { single } => match trimmed.parse::<f64>() {
            Ok(n) if n.is_finite() && !(*single && (n as f32).is_infinite()) => {
                out.number(&format!("{n:e}"));
            }
            Ok(n) if !n.is_finite() => out.text(trimmed),
            _ => return misfit("not a number"),
        },
        Kind::Date | Kind::DateTime { .. } => match datetime::parse(trimmed) {
            Some(parsed) => moment(parsed, kind, format, out)?,
            None if format.reads_text => characters(text, None, format, out)?,
            None => return misfit("not an ISO 8601 date or time"),
        },
        Kind::Time(digits) => match datetime::clock_micros(trimmed) {
            Some(micros) => out.text(&clock(micros, *digits)),
            None if format.reads_text => characters(text, None, format, out)?,
            None => return misfit("not a time of day"),
        },
        // Text that is a document is stored as that; any other as a JSON string.
        Kind::Json => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => characters(text, None, format, out)?,
            Err(_) => out.text(&serde_json::Value::from(text).to_string()),
        },
        Kind::Uuid => match uuid(trimmed) {
            Some(uuid) => out.text(&uuid),
            None => return misfit("not a UUID"),
        },
        Kind::Array(_) | Kind::Other => characters(text, None, format, out)?,
    }
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

fn characters(text: &str, limit: Option<u32>, format: &Format, out: &mut impl Cells) -> Fit {
    if let Some(limit) = limit.filter(|limit| text.len() > *limit as usize)
        && text.chars().count() > limit as usize
    {
        return Err(format!("longer than {limit} characters").into());
    }
    if !format.nul && text.as_bytes().contains(&0) {
        return misfit("text with the character of code 0");
    }
    out.text(text);
    Ok(())
}

/// A date, perhaps with time, that was text.
fn moment(parsed: datetime::Parsed, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let mut text = String::with_capacity(32);
    let written = match kind {
        Kind::Date if parsed.micros.rem_euclid(DAY) != 0 => return misfit("a date with a time"),
        Kind::Date => datetime::date(parsed.micros.div_euclid(DAY), format.years, &mut text),
        Kind::DateTime { instant, digits } => {
            let micros = match (parsed.with_zone, instant) {
                (true, true) | (false, false) => parsed.micros,
                (true, false) => format.zone.local(parsed.micros),
                (false, true) => format.zone.instant(parsed.micros),
            };
            let zone = if *instant { format.utc } else { "" };
            datetime::datetime(cut(micros, *digits), format.years, zone, &mut text)
        }
        _ => return misfit("a date"),
    };
    match written {
        Some(()) => out.text(&text),
        None => return misfit("no such year"),
    }
    Ok(())
}

fn date(days: i32, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let mut days = i64::from(days);
    let number = days;
    // As `java.sql.Date` with the zone's calendar: midnight UTC, seen from there.
    if format.dates == DateZone::DbTimezone && !format.zone.is_utc() {
        days = format.zone.local(days * DAY).div_euclid(DAY);
    }
    if format.legacy {
        days = datetime::from_legacy(days);
    }
    let mut text = String::with_capacity(32);
    let written = match kind {
        Kind::Integer(..) => return integer(number, kind, format, out),
        Kind::Year => match datetime::first_of_year(days) {
            Some(year) => return integer(year, kind, format, out),
            None => return misfit("not the first day of a year"),
        },
        Kind::DateTime { instant, .. } => {
            let zone = if *instant { format.utc } else { "" };
            datetime::datetime(days * DAY, format.years, zone, &mut text)
        }
        Kind::Date | Kind::Text(_) | Kind::Other => datetime::date(days, format.years, &mut text),
        Kind::Json => datetime::date(days, format.years, &mut text).map(|()| quote(&mut text)),
        _ => return misfit("a date"),
    };
    match written {
        Some(()) => out.text(&text),
        None => return misfit("no such year"),
    }
    Ok(())
}

fn quote(text: &mut String) {
    text.insert(0, '"');
    text.push('"');
}

fn time(micros: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    // As `java.sql.Time`: a time of the day 1970-01-01.
    let local = format.zone.local(micros).rem_euclid(DAY);
    match kind {
        Kind::Time(digits) => out.text(&clock(local, *digits)),
        Kind::Text(_) | Kind::Other => out.text(&clock(local, 6)),
        Kind::Json => {
            let mut text = clock(local, 6);
            quote(&mut text);
            out.text(&text);
        }
        _ => return misfit("a time of day"),
    }
    Ok(())
}

fn timestamp(micros: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let micros = if format.legacy { datetime::from_legacy_micros(micros) } else { micros };
    let (instant, digits) = match kind {
        Kind::DateTime { instant, digits } => (*instant, *digits),
        Kind::Text(_) | Kind::Json | Kind::Other => (false, 6),
        _ => return misfit("a timestamp"),
    };
    let (micros, zone) = match instant {
        true => (micros, format.utc),
        false => (format.zone.local(micros), ""),
    };
    let mut text = String::with_capacity(32);
    if datetime::datetime(cut(micros, digits), format.years, zone, &mut text).is_none() {
        return misfit("no such year");
    }
    if *kind == Kind::Json {
        quote(&mut text);
    }
    out.text(&text);
    Ok(())
}

/// A field of `timestamp.fields.list`: micro- or nanoseconds, as a number or its digits.
fn field_of_timestamps(value: &Value, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let number = match value {
        Value::Null => {
            out.null();
            return Ok(());
        }
        Value::Int64(n) => Some(*n),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(number) = number else { return misfit("microseconds or nanoseconds expected") };
    let micros = match format.unit {
        TimestampPrecision::Microseconds => number,
        TimestampPrecision::Nanoseconds => number.div_euclid(1000),
    };
    timestamp(micros, kind, format, out)
}

/// Cuts what is finer than so many digits of a second.
fn cut(micros: i64, digits: u32) -> i64 {
    let unit = 10_i64.pow(6 - digits.min(6));
    micros.div_euclid(unit) * unit
}

fn clock(micros: i64, digits: u32) -> String {
    let mut text = String::with_capacity(15);
    datetime::time(cut(micros, digits), &mut text);
    text
}

fn structure(value: &Value, ty: Option<&Type>, kind: &Kind, out: &mut impl Cells) -> Fit {
    match kind {
        Kind::Json | Kind::Text(_) => match json(value, ty) {
            Some(json) => out.text(&json.to_string()),
            None => return misfit("it has no form in JSON"),
        },
        _ => return misfit("a structure"),
    }
    Ok(())
}

/// `{1,2,"a\"b",NULL}`: PostgreSQL's text of an array.
fn array(items: &[Value], ty: Option<&Type>, inner: &Kind, format: &Format) -> Fit<String> {
    let mut elements = Elements(String::from("{"));
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            elements.0.push(',');
        }
        match item {
            // An array in an array is another dimension of the same type.
            Value::Array(items) if !matches!(inner, Kind::Json) => {
                let ty = match ty {
                    Some(Type::Array(item)) => Some(&item.ty),
                    _ => None,
                };
                elements.0.push_str(&array(items, ty, inner, format)?);
            }
            item => write(item, ty, inner, format, &mut elements)?,
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
