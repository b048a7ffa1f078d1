//! When what stands in a column means the same as the value that was put. Times are cut to the column's digits, numbers
//! in single precision are compared in it, `char(n)` ignores trailing blanks and `binary(n)` trailing zeros, JSON is
//! compared as JSON, and text holds the form that is documented: digits, ISO 8601, UTF-8, JSON.

use connect_core::data::{Decimal, Type, Value};
use serde_json::Value as Json;

use super::{
    Case,
    documents::{json, same_json, structure},
};

const DAY: i128 = 86_400_000_000;

/// How a column's values are compared. Each is read as text.
#[allow(dead_code, reason = "no database has them all")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Means {
    /// Digits of a number: each counts.
    Number,
    /// Double precision, in the shortest digits.
    Double,
    /// Single precision, shown as a double.
    Single,
    /// Text.
    Text,
    /// Text that is filled up with blanks, or compared without them and without regard to case.
    Padded,
    /// Hexadecimal.
    Bytes,
    /// The same, filled up with zeros.
    PaddedBytes,
    /// Binary digits.
    Bits,
    /// `true` or `false`.
    Boolean,
    /// ISO 8601.
    Date,
    /// ISO 8601, with so many digits.
    Time(u32),
    /// ISO 8601, with so many digits; of an instant in UTC.
    DateTime(u32),
    /// A year.
    Year,
    /// JSON.
    Json,
    /// A UUID.
    Uuid,
    /// As the database reads the value's text.
    Read,
    /// Labels, in any order.
    Set,
    /// The list as JSON, each item as text.
    List(&'static Means),
}

/// What the database makes of a text, as the whole column or as an item of its list.
pub(super) type Reads<'r> = &'r mut dyn FnMut(&str, bool) -> Result<Option<String>, String>;

impl Means {
    /// Whether a value and what was stored mean the same; the error says why not.
    pub(crate) fn same(
        self,
        case: &Case,
        stored: Option<&str>,
        reads: Reads<'_>,
    ) -> Result<(), String> {
        let ty = case.schema.as_ref().map(|schema| &schema.ty);
        self.compare(&case.value, ty, stored, reads)
    }

    fn compare(
        self,
        value: &Value,
        ty: Option<&Type>,
        stored: Option<&str>,
        reads: Reads<'_>,
    ) -> Result<(), String> {
        let stored = match (value, stored) {
            (Value::Null, None) => return Ok(()),
            (Value::Null, Some(_)) | (_, None) => return Err("null is nothing else".into()),
            (_, Some(stored)) => stored,
        };
        let same = match self {
            // PostgreSQL's numbers that are none.
            Self::Number if stored.contains(['N', 'I']) => {
                not_finite(value).is_some_and(|n| equal(n, stored.parse().unwrap_or(0.0)))
            }
            Self::Number => number_of(value) == Some(number(stored).ok_or("no number")?),
            Self::Double => double(value, stored),
            Self::Single => single(value, stored),
            Self::Text => texts(value, ty, stored),
            Self::Padded => match value {
                Value::String(text) => {
                    text.trim_end_matches(' ').to_lowercase()
                        == stored.trim_end_matches(' ').to_lowercase()
                }
                _ => texts(value, ty, stored),
            },
            Self::Bytes => raw(value).is_some_and(|raw| hex(raw) == stored.to_lowercase()),
            Self::PaddedBytes => raw(value).is_some_and(|raw| {
                let (raw, stored) = (hex(raw), stored.to_lowercase());
                stored.strip_prefix(&raw).is_some_and(|rest| rest.bytes().all(|b| b == b'0'))
            }),
            Self::Bits => bits(value, stored),
            Self::Boolean => {
                let known = match value {
                    Value::Boolean(b) => Some(*b),
                    Value::String(text) => match text.trim().to_lowercase().as_str() {
                        "true" | "t" | "yes" | "on" | "1" => Some(true),
                        "false" | "f" | "no" | "off" | "0" => Some(false),
                        _ => None,
                    },
                    _ => number_of(value).map(|n| n == number("1").expect("one")),
                };
                known == Some(stored == "true")
            }
            Self::Date if endless(value, true).is_some() => endless(value, true) == Some(stored),
            Self::DateTime(_) if endless(value, false).is_some() => {
                endless(value, false) == Some(stored)
            }
            // A date that no calendar has is what it is.
            Self::Date | Self::DateTime(_) if value.as_str() == Some(stored) => true,
            Self::Date => {
                moment_of(value, DAY / 1000) == moment(stored, is_java(value)).or(Some(i128::MIN))
                    || reread(value, stored, reads)?
            }
            Self::Time(digits) => {
                let micros = match value {
                    Value::Time(millis) => Some(i128::from(*millis) * 1000),
                    Value::String(text) => zoned_clock(text.trim()).or(long(text.trim())),
                    _ => integer(value).map(|n| i128::from(n) * 1000),
                };
                let found = zoned_clock(stored).or(long(stored));
                micros.map(|micros| micros.signum() * cut(micros.abs(), digits)) == found
            }
            Self::DateTime(digits) => {
                let found = moment(stored, is_java(value));
                moment_of(value, 1).map(|micros| cut(micros, digits)) == found.or(Some(i128::MIN))
                    || reread(value, stored, reads)?
            }
            Self::Year => match value {
                Value::Date(_) => {
                    moment_of(value, DAY / 1000) == moment(&format!("{stored}-01-01"), true)
                }
                _ => number_of(value) == number(stored),
            },
            Self::Json => json(value, ty, stored, reads)?,
            Self::Uuid => {
                let digits = |text: &str| text.to_lowercase().replace(['-', '{', '}', ' '], "");
                value.as_str().is_some_and(|text| digits(text) == digits(stored))
            }
            Self::Set => text_of(value).is_some_and(|text| {
                let sorted = |text: &str| {
                    let mut labels: Vec<String> = text.split(',').map(str::to_lowercase).collect();
                    labels.sort();
                    labels.dedup();
                    labels
                };
                sorted(text.trim_end_matches(' ')) == sorted(stored)
            }),
            Self::Read => match text_of(value) {
                Some(text) => reads(&text, false)?.as_deref() == Some(stored),
                None => texts(value, ty, stored),
            },
            Self::List(inner) => match value {
                Value::Array(items) => {
                    let found: Json = serde_json::from_str(stored).map_err(|e| e.to_string())?;
                    list(*inner, items, ty, &found, reads)?
                }
                _ => reread(value, stored, reads)?,
            },
        };
        same.then_some(()).ok_or_else(|| "it is not the same".to_owned())
    }
}

fn list(
    inner: Means,
    items: &[Value],
    ty: Option<&Type>,
    found: &Json,
    reads: Reads<'_>,
) -> Result<bool, String> {
    let Some(found) = found.as_array().filter(|found| found.len() == items.len()) else {
        return Ok(false);
    };
    let ty = match ty {
        Some(Type::Array(item)) => Some(&item.ty),
        _ => None,
    };
    for (item, found) in items.iter().zip(found) {
        match (item, found) {
            (Value::Array(items), Json::Array(_)) => {
                if !list(inner, items, ty, found, reads)? {
                    return Ok(false);
                }
            }
            (_, Json::String(text)) => inner.compare(item, ty, Some(text), reads)?,
            (_, Json::Null) => inner.compare(item, ty, None, reads)?,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Whether the database makes the same of the text, if it is one.
fn reread(value: &Value, stored: &str, reads: Reads<'_>) -> Result<bool, String> {
    match value {
        Value::String(text) => Ok(reads(text, true)?.as_deref() == Some(stored)),
        _ => Ok(false),
    }
}

/// A number: whether it is negative, its digits without zeros around them, and the power of ten behind them.
type Number = (bool, String, i64);

pub(super) fn number(text: &str) -> Option<Number> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kept = digits.trim_end_matches('0');
    let exponent = exponent - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    match kept.is_empty() {
        true => Some((false, String::new(), 0)),
        false => Some((negative, kept.to_owned(), exponent)),
    }
}

fn decimal(decimal: &Decimal) -> Option<Number> {
    let unscaled = Decimal::from_bytes(&decimal.to_bytes(), 0).to_string();
    number(&format!("{unscaled}e{}", -i64::from(decimal.scale())))
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int8(n) => Some(i64::from(*n)),
        Value::Int16(n) => Some(i64::from(*n)),
        Value::Int32(n) | Value::Date(n) | Value::Time(n) => Some(i64::from(*n)),
        Value::Int64(n) | Value::Timestamp(n) => Some(*n),
        _ => None,
    }
}

pub(super) fn number_of(value: &Value) -> Option<Number> {
    match value {
        Value::Boolean(b) => number(if *b { "1" } else { "0" }),
        Value::Float32(n) => number(&n.to_string()),
        Value::Float64(n) => number(&n.to_string()),
        Value::Decimal(n) => decimal(n),
        Value::String(text) => number(text.trim()),
        _ => integer(value).and_then(|n| number(&n.to_string())),
    }
}

/// NaN or infinity.
fn not_finite(value: &Value) -> Option<f64> {
    match value {
        Value::Float32(n) => Some(f64::from(*n)),
        Value::Float64(n) => Some(*n),
        _ => special(value),
    }
    .filter(|n| !n.is_finite())
}

/// What the first and the last of Connect's days stand for, and two instants beyond all that there are; integers are
/// either.
fn endless(value: &Value, days: bool) -> Option<&'static str> {
    let (past, future) = match value {
        Value::Date(_) => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Value::Timestamp(_) => (-9_223_372_036_832_400_000, 9_223_372_036_825_200_000),
        _ if days => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (-9_223_372_036_832_400_000, 9_223_372_036_825_200_000),
    };
    match integer(value)? {
        n if n == past => Some("-infinity"),
        n if n == future => Some("infinity"),
        _ => None,
    }
}

/// Whether they are equal, or both not a number.
pub(super) fn equal(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

fn special(value: &Value) -> Option<f64> {
    let text = value.as_str()?.trim();
    text.parse::<f64>().ok().filter(|_| text.contains(['n', 'N']))
}

fn double(value: &Value, stored: &str) -> bool {
    let Ok(found) = stored.parse::<f64>() else { return false };
    match value {
        Value::Float32(n) => equal(f64::from(*n), found),
        Value::Float64(n) => equal(*n, found),
        Value::Decimal(_) | Value::String(_) => match special(value) {
            Some(special) => equal(special, found),
            None => number_of(value) == number(&found.to_string()),
        },
        _ => whole(value, found),
    }
}

/// Whether a whole number or a boolean is exactly this.
fn whole(value: &Value, found: f64) -> bool {
    let n = match value {
        Value::Boolean(b) => Some(i64::from(*b)),
        _ => integer(value),
    };
    n.map(i128::from) == Some(found as i128) && found.fract() == 0.0
}

fn single(value: &Value, stored: &str) -> bool {
    let Ok(found) = stored.parse::<f64>() else { return false };
    let near = |n: f64| equal(f64::from(n as f32), found);
    match value {
        Value::Float32(n) => equal(f64::from(*n), found),
        Value::Float64(n) => near(*n) && n.is_finite() == found.is_finite(),
        Value::Decimal(n) => {
            n.to_string().parse::<f32>().is_ok_and(|n| equal(n.into(), found) || near(n.into()))
                && found.is_finite()
        }
        Value::String(text) => match special(value) {
            Some(special) => equal(special, found),
            None => text.trim().parse::<f64>().is_ok_and(near) && found.is_finite(),
        },
        _ => whole(value, found),
    }
}

/// The form that is documented, of what is no structure and no time.
fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Boolean(b) => b.to_string(),
        Value::Float32(n) => n.to_string(),
        Value::Float64(n) => n.to_string(),
        Value::Decimal(n) => n.to_string(),
        Value::String(text) => text.to_string(),
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => {
            integer(value)?.to_string()
        }
        _ => return None,
    })
}

pub(super) fn texts(value: &Value, ty: Option<&Type>, stored: &str) -> bool {
    match value {
        Value::Date(_) | Value::Timestamp(_) if endless(value, true).is_some() => {
            endless(value, true) == Some(stored)
        }
        Value::Float32(n) => stored.parse::<f32>().is_ok_and(|m| equal(f64::from(*n), m.into())),
        Value::Float64(n) => stored.parse::<f64>().is_ok_and(|m| equal(*n, m)),
        Value::Decimal(n) => decimal(n) == number(stored) && !stored.contains(['e', 'E']),
        Value::Bytes(bytes) => bytes == stored.as_bytes(),
        Value::Time(millis) => clock(stored) == Some(i128::from(*millis) * 1000),
        Value::Date(_) => !stored.contains(':') && moment_of(value, 1) == moment(stored, true),
        Value::Timestamp(_) => moment_of(value, 1) == moment(stored, true),
        Value::Array(_) | Value::Map(_) | Value::Struct(_) => {
            structure(value, ty).is_some_and(|expected| {
                serde_json::from_str(stored).is_ok_and(|found| same_json(&expected, &found))
            })
        }
        _ => text_of(value).as_deref() == Some(stored),
    }
}

fn raw(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::String(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bits(value: &Value, stored: &str) -> bool {
    let found = u128::from_str_radix(stored, 2).ok();
    match value {
        Value::String(text) => {
            let text = text.trim();
            let digits =
                text.len() == stored.len() && text.bytes().all(|b| matches!(b, b'0' | b'1'));
            if digits { text == stored } else { text.parse::<u128>().ok() == found }
        }
        Value::Bytes(bytes) => Some(bytes.iter().fold(0, |n, b| n << 8 | u128::from(*b))) == found,
        Value::Boolean(b) => Some(u128::from(*b)) == found,
        // Eight bits are a byte, whose first is the sign.
        Value::Int8(n) if stored.len() == 8 => Some(u128::from(*n as u8)) == found,
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => false,
        _ => integer(value).and_then(|n| u128::try_from(n).ok()) == found,
    }
}

/// Whether a date of the value before 1582-10-15 is of the Julian calendar, as Java's are.
fn is_java(value: &Value) -> bool {
    !matches!(value, Value::String(_))
}

/// Microseconds since the epoch; of integers, whose unit is so many milliseconds.
pub(super) fn moment_of(value: &Value, unit: i128) -> Option<i128> {
    match value {
        Value::Date(days) => Some(i128::from(*days) * DAY),
        Value::Timestamp(millis) => Some(i128::from(*millis) * 1000),
        Value::String(text) => moment(text.trim(), false),
        Value::Time(_) => None,
        _ => Some(i128::from(integer(value)?) * unit * 1000),
    }
}

/// Days since the epoch, counted by years.
fn days(year: i128, month: i128, day: i128, julian: bool) -> i128 {
    const BEFORE: [i128; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leap =
        if julian { year % 4 == 0 } else { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) };
    let past = year - 1;
    let leaps = match julian {
        true => past.div_euclid(4) - 2,
        false => past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400),
    };
    let of_year = BEFORE[usize::try_from(month - 1).unwrap_or(0) % 12] + day - 1
        + i128::from(leap && month > 2);
    past * 365 + leaps + of_year - 719_162
}

/// Microseconds since the epoch of `[Y]YYYY-MM-DD[ HH:MM:SS[.f]][zone][ BC]`.
pub(super) fn moment(text: &str, java: bool) -> Option<i128> {
    let (text, past) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    let mut parts = text.splitn(3, '-');
    let (year, month) = (parts.next()?, parts.next()?);
    let rest = parts.next()?;
    let plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i128>().ok())?;
    if year.len() < 4 || month.len() != 2 {
        return None;
    }
    let (year, month, day) = (plain(year)?, plain(month)?, plain(rest.get(..2)?)?);
    let year = if past { 1 - year } else { year };
    let julian = java && (year, month, day) < (1582, 10, 15);
    let most = days(year, month + 1, 1, julian) - days(year, month, 1, julian);
    if !(1..=12).contains(&month) || day < 1 || (month < 12 && day > most) || day > 31 {
        return None;
    }
    let day = days(year, month, day, julian) * DAY;
    let rest = rest.get(2..)?;
    if rest.is_empty() {
        return Some(day);
    }
    Some(day + zoned(rest.strip_prefix([' ', 'T'])?)?)
}

/// Microseconds of the day in UTC, which may be of the day before or after.
fn zoned(text: &str) -> Option<i128> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let Some(at) = text.find(['+', '-']) else { return clock(text) };
    let (hours, minutes) = match text[at + 1..].replace(':', "").as_str() {
        zone if zone.len() == 2 => (zone.parse::<i128>().ok()?, 0),
        zone if zone.len() == 4 => {
            (zone[..2].parse::<i128>().ok()?, zone[2..].parse::<i128>().ok()?)
        }
        _ => return None,
    };
    let shift = (hours * 60 + minutes) * 60_000_000;
    Some(clock(&text[..at])? - if text[at..].starts_with('-') { -shift } else { shift })
}

fn zoned_clock(text: &str) -> Option<i128> {
    let micros = zoned(text)?;
    let midnight = text.strip_prefix("24:00:00");
    match midnight.map(|rest| rest.trim_matches(['.', '0', '+'])) {
        Some("") => Some(DAY),
        Some(_) => None,
        None if (0..24).contains(&text.get(..2)?.parse::<i128>().ok()?) => {
            Some(micros.rem_euclid(DAY))
        }
        None => None,
    }
}

/// A time that may be negative, or longer than a day.
fn long(text: &str) -> Option<i128> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (hours, rest) = text.split_once(':')?;
    let rest = clock(&format!("00:{rest}"))?;
    Some(sign * (hours.parse::<i128>().ok()? * 3_600_000_000 + rest))
}

pub(super) fn clock(text: &str) -> Option<i128> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<i128> = clock
        .split(':')
        .map(|part| (part.len() == 2).then(|| part.parse().ok())?)
        .collect::<Option<_>>()?;
    let (hours, minutes, seconds) = match parts.as_slice() {
        [hours, minutes] => (hours, minutes, &0),
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction.parse::<i128>().ok()?)
}

fn cut(micros: i128, digits: u32) -> i128 {
    micros - micros.rem_euclid(10_i128.pow(6 - digits))
}
