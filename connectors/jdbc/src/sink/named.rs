//! Types that a schema's name tells. The number of an `io.debezium.time.MicroTimestamp` is no number of milliseconds:
//! the name is part of the type.

use connect_core::data::{Decimal, Field, Schema, Text, Type, Value};

use super::{
    cell::{Cells, Fit, Format, Target, array, binary, bits, form, misfit, plain, string},
    numbers::{decimal, integer},
    table::Kind,
    times::{self, civil_date, civil_time, civil_timestamp},
};

/// What Debezium writes in the place of a value that it does not know, since the database did not log it: a large one
/// that an update left as it was.
const PLACEHOLDER: &str = "__debezium_unavailable_value";
/// The same as a UUID (`UUID.nameUUIDFromBytes`).
const PLACEHOLDER_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";
/// Bits without a declared length.
const UNBOUNDED: u32 = i32::MAX as u32;

/// Units of numbers that are times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// The microseconds of a number; none if there are too many. What is finer is cut, as no database keeps it.
    fn micros(self, n: i64) -> Option<i64> {
        match self {
            Self::Millis => n.checked_mul(1000),
            Self::Micros => Some(n),
            Self::Nanos => Some(n.div_euclid(1000)),
        }
    }
}

/// What a schema's name makes of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing that their type does not say; of text, what the column reads from it.
    Plain,
    /// Days since 1970.
    Date,
    /// Times since midnight.
    Time(Unit),
    /// What clocks show, as times since 1970.
    Timestamp(Unit),
    /// ISO 8601 with a `Z` that is no zone.
    Clock,
    /// Years.
    Year,
    /// Microseconds.
    Duration,
    /// A number of any scale: positions of `scale` and `value`.
    Number(usize, usize),
    /// Bits, the lowest first, in bytes; and how many.
    Bits(u32),
    /// A JSON document.
    Json,
    /// Labels between commas.
    Labels,
    /// A geometry: positions of `wkb`, `srid`, and of `x` and `y`.
    Geometry {
        /// Well-known binary.
        wkb: usize,
        /// Reference system.
        srid: Option<usize>,
        /// Coordinates of a point.
        point: Option<(usize, usize)>,
    },
    /// A list of numbers that is one value.
    Vector,
    /// One of which most are zero: positions of `dimensions` and `vector`.
    Sparse(usize, usize),
    /// A list of such values.
    List(Box<Meaning>),
    /// A number, a boolean or bytes of a type that is not known.
    Unknown(Text),
}

/// Debezium's name of a type, without `io.debezium.`.
pub fn debezium(schema: &Schema) -> Option<&str> {
    schema.name.as_deref()?.strip_prefix("io.debezium.")
}

/// The length of `io.debezium.data.Bits`; none if it is not bounded.
pub fn bits_length(schema: &Schema) -> Option<u32> {
    let length = schema.parameters.iter().find(|(name, _)| name == "length")?;
    length.1.parse().ok().filter(|length| *length < UNBOUNDED)
}

impl Meaning {
    /// What a schema means.
    pub fn of(schema: &Schema) -> Self {
        let number = matches!(schema.ty, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64);
        let known = match (debezium(schema), &schema.ty) {
            (Some("time.Date"), _) if number => Some(Self::Date),
            (Some("time.Time"), _) if number => Some(Self::Time(Unit::Millis)),
            (Some("time.MicroTime"), _) if number => Some(Self::Time(Unit::Micros)),
            (Some("time.NanoTime"), _) if number => Some(Self::Time(Unit::Nanos)),
            (Some("time.Timestamp"), _) if number => Some(Self::Timestamp(Unit::Millis)),
            (Some("time.MicroTimestamp"), _) if number => Some(Self::Timestamp(Unit::Micros)),
            (Some("time.NanoTimestamp"), _) if number => Some(Self::Timestamp(Unit::Nanos)),
            (Some("time.IsoDate" | "time.IsoTime" | "time.IsoTimestamp"), Type::String) => {
                Some(Self::Clock)
            }
            (Some("time.Year"), _) if number => Some(Self::Year),
            (Some("time.MicroDuration"), Type::Float64) => Some(Self::Duration),
            (Some("time.MicroDuration"), _) if number => Some(Self::Duration),
            (Some("data.Bits"), Type::Bytes) => {
                Some(Self::Bits(bits_length(schema).unwrap_or(UNBOUNDED)))
            }
            (Some("data.Json"), Type::String) => Some(Self::Json),
            (Some("data.EnumSet"), Type::String) => Some(Self::Labels),
            (Some("data.DoubleVector" | "data.FloatVector"), Type::Array(_)) => Some(Self::Vector),
            (Some(name), Type::Struct(fields)) => structure(name, fields),
            _ => None,
        };
        match (known, &schema.ty) {
            (Some(known), _) => known,
            (None, Type::Array(item)) => match Self::of(item) {
                Self::Plain => Self::Plain,
                item => Self::List(Box::new(item)),
            },
            // The name of a structure is a record's; what text means is for its column to read.
            (None, Type::Struct(_) | Type::Map(..) | Type::String) => Self::Plain,
            (None, _) => match &schema.name {
                Some(name) if schema.logical_name().is_none() => Self::Unknown(name.clone()),
                _ => Self::Plain,
            },
        }
    }

    /// What a column is that values of this meaning are read from; none where their type says it.
    pub(super) fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Date => Kind::Date,
            Self::Time(_) => Kind::Time { instant: false, digits: 6 },
            Self::Timestamp(_) => Kind::DateTime { instant: false, digits: 6 },
            Self::Number(..) => Kind::Decimal(None, None),
            Self::Bits(UNBOUNDED) => Kind::VarBit(None),
            Self::Bits(length) => Kind::Bit(*length),
            _ => return None,
        })
    }
}

/// A structure that is one value.
fn structure(name: &str, fields: &[Field]) -> Option<Meaning> {
    let position = |name: &str| fields.iter().position(|field| &*field.name == name);
    match name {
        "data.VariableScaleDecimal" => {
            Some(Meaning::Number(position("scale")?, position("value")?))
        }
        "data.SparseVector" => Some(Meaning::Sparse(position("dimensions")?, position("vector")?)),
        "data.geometry.Point" | "data.geometry.Geometry" | "data.geometry.Geography" => {
            Some(Meaning::Geometry {
                wkb: position("wkb")?,
                srid: position("srid"),
                point: position("x").zip(position("y")),
            })
        }
        _ => None,
    }
}

/// Whether Debezium does not know the value.
pub(super) fn is_placeholder(value: &Value) -> bool {
    let text = |text: &str| text == PLACEHOLDER || text == PLACEHOLDER_UUID;
    match value {
        Value::String(found) => text(found),
        Value::Bytes(bytes) => bytes == PLACEHOLDER.as_bytes(),
        Value::Array(items) if items.len() == 1 => is_placeholder(&items[0]),
        // Of numbers, each is one of its bytes.
        Value::Array(items) if items.len() == PLACEHOLDER.len() => {
            items.iter().zip(PLACEHOLDER.bytes()).all(|(item, byte)| match item {
                Value::Int16(n) => *n == i16::from(byte),
                Value::Int32(n) => *n == i32::from(byte),
                Value::Int64(n) => *n == i64::from(byte),
                Value::Float32(n) => *n == f32::from(byte),
                Value::Float64(n) => *n == f64::from(byte),
                _ => false,
            })
        }
        Value::Map(entries) if entries.len() == 1 => is_placeholder(&entries[0].0),
        _ => false,
    }
}

/// Writes a value of this meaning.
pub(super) fn write(
    value: &Value,
    meaning: &Meaning,
    ty: Option<&Type>,
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let kind = target.kind;
    if value.is_null() {
        out.null();
        return Ok(());
    }
    match (meaning, value) {
        (Meaning::List(item), Value::Array(items)) => {
            let Kind::Array(inner) = kind else {
                return plain(value, ty, target, format, out);
            };
            let ty = match ty {
                Some(Type::Array(item)) => Some(&item.ty),
                _ => None,
            };
            let text = array(items, (item, ty), Target { kind: inner, ..target }, format)?;
            out.text(&text);
            Ok(())
        }
        (Meaning::Date | Meaning::Time(_) | Meaning::Timestamp(_) | Meaning::Duration, value) => {
            number(value, meaning, target, format, out)
        }
        (Meaning::Year, value) => match whole(value) {
            Some(n)
                if is_numeric(kind) || matches!(kind, Kind::Year | Kind::Text(_) | Kind::Json) =>
            {
                integer(n, kind, format, out)
            }
            _ => misfit("a year"),
        },
        (Meaning::Clock, Value::String(text)) => {
            let clock = text.trim().trim_end_matches(['Z', 'z']);
            match kind {
                Kind::Date | Kind::Time { .. } | Kind::DateTime { .. } => {
                    times::parsed(clock, kind, format, out)
                }
                _ => string(text, kind, format, out),
            }
        }
        (Meaning::Json, Value::String(text)) => {
            let valid = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            match kind {
                Kind::Json if !valid() => misfit("text that is not JSON"),
                _ => string(text, kind, format, out),
            }
        }
        (Meaning::Labels, Value::String(text)) => match kind {
            Kind::Array(inner) => {
                let labels = text.split(',').filter(|label| !label.is_empty());
                let labels: Vec<Value> = labels.map(|label| Value::String(label.into())).collect();
                let target = Target { kind: inner, ..target };
                let list = array(&labels, (&Meaning::Plain, None), target, format)?;
                out.text(&list);
                Ok(())
            }
            _ => string(text, kind, format, out),
        },
        (Meaning::Number(scale, unscaled), Value::Struct(fields)) => {
            match (fields.get(*scale), fields.get(*unscaled)) {
                (Some(Value::Int32(scale)), Some(Value::Bytes(unscaled))) => {
                    decimal(&Decimal::from_bytes(unscaled, *scale), kind, format, out)
                }
                _ => misfit("a scale and an unscaled value expected"),
            }
        }
        (Meaning::Bits(length), Value::Bytes(bytes)) => {
            lowest_first(bytes, *length, kind, format, out)
        }
        (Meaning::Geometry { .. }, Value::Struct(fields)) => geometry(fields, meaning, target, out),
        (Meaning::Vector, Value::Array(items)) => vector(value, items, ty, target, format, out),
        (Meaning::Sparse(dimensions, entries), Value::Struct(fields)) => match kind {
            Kind::Other => match (fields.get(*dimensions), fields.get(*entries)) {
                (Some(dimensions), Some(Value::Map(entries))) => sparse(dimensions, entries, out),
                _ => misfit("dimensions and a vector expected"),
            },
            _ => plain(value, ty, target, format, out),
        },
        (Meaning::Unknown(_), value) => unknown(value, ty, target, format, out),
        _ => plain(value, ty, target, format, out),
    }
}

fn whole(value: &Value) -> Option<i64> {
    Some(match value {
        Value::Int8(n) => i64::from(*n),
        Value::Int16(n) => i64::from(*n),
        Value::Int32(n) => i64::from(*n),
        Value::Int64(n) => *n,
        // Before version 2 of Debezium durations were doubles.
        Value::Float64(n) if n.fract() == 0.0 && n.abs() < 9e18 => *n as i64,
        _ => return None,
    })
}

fn is_numeric(kind: &Kind) -> bool {
    matches!(kind, Kind::Integer(..) | Kind::Decimal(..) | Kind::Float { .. })
}

/// A number that is a date, a time or a duration; a column of numbers takes it as that.
fn number(
    value: &Value,
    meaning: &Meaning,
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let Some(n) = whole(value) else { return misfit("a whole number expected") };
    let kind = target.kind;
    if is_numeric(kind) {
        return integer(n, kind, format, out);
    }
    match meaning {
        Meaning::Date => civil_date(n, kind, format, out),
        Meaning::Time(unit) => match unit.micros(n) {
            Some(micros) => civil_time(micros, kind, format, out),
            None => misfit("no time of day"),
        },
        // Nanoseconds of infinity do not fit, and are the last that do.
        Meaning::Timestamp(Unit::Nanos) if matches!(n, i64::MIN | i64::MAX) => {
            times::infinite(n > 0, kind, format, out)
        }
        Meaning::Timestamp(unit) => match unit.micros(n) {
            Some(micros) => civil_timestamp(micros, kind, format, out),
            None if times::is_infinite_millis(n) => times::infinite(n > 0, kind, format, out),
            None => misfit("no such year"),
        },
        _ => match kind {
            Kind::Formatted if target.declared.starts_with("interval") => {
                out.text(&format!("{n} microseconds"));
                Ok(())
            }
            Kind::Time { instant: false, .. } if format.long_times => {
                civil_time(n, kind, format, out)
            }
            Kind::Text(_) | Kind::Json => integer(n, kind, format, out),
            _ => misfit("a duration"),
        },
    }
}

/// Bits whose first byte has the lowest.
fn lowest_first(
    bytes: &[u8],
    length: u32,
    kind: &Kind,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let mut digits = String::with_capacity(bytes.len() * 8);
    for byte in bytes.iter().rev() {
        digits.push_str(&format!("{byte:08b}"));
    }
    let significant = digits.trim_start_matches('0');
    let digits = match length {
        UNBOUNDED if significant.is_empty() => "0".to_owned(),
        UNBOUNDED => significant.to_owned(),
        length => format!("{significant:0>length$}", length = length as usize),
    };
    match kind {
        Kind::Binary(limit) => binary(bytes, *limit, out),
        Kind::Bit(most) => match u64::from_str_radix(&digits, 2) {
            Ok(n) => bits(n, *most, format, out),
            Err(_) if significant.len() <= *most as usize && !format.bits_are_numbers => {
                out.text(&format!("{significant:0>most$}", most = *most as usize));
                Ok(())
            }
            Err(_) => Err(format!("more than {most} bits").into()),
        },
        Kind::VarBit(_) => string(&digits, kind, format, out),
        _ => form(&digits, kind, format, out, "bits"),
    }
}

fn geometry(fields: &[Value], meaning: &Meaning, target: Target<'_>, out: &mut impl Cells) -> Fit {
    let Meaning::Geometry { wkb, srid, point } = meaning else { return misfit("a structure") };
    let declared = target.declared.to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| declared.contains(name));
    let srid = match srid.and_then(|at| fields.get(at)) {
        None | Some(Value::Null) => None,
        Some(srid) => match whole(srid).and_then(|n| u32::try_from(n).ok()) {
            Some(srid) => Some(srid),
            None => return misfit("the number of a reference system expected"),
        },
    };
    let wkb = match fields.get(*wkb) {
        Some(Value::Bytes(wkb)) if wkb.len() >= 5 => wkb,
        _ => return misfit("well-known binary expected"),
    };
    match target.kind {
        // As MySQL stores them: the reference system in front.
        Kind::Binary(None) if is(&["geom", "point", "linestring", "polygon"]) => {
            let srid = srid.unwrap_or(0).to_le_bytes();
            out.bytes(&[&srid, &wkb[..]].concat());
        }
        Kind::Binary(limit) if srid.is_none() => return binary(wkb, *limit, out),
        Kind::Other if declared == "point" => {
            let coordinate = |at: usize| match fields.get(at) {
                Some(Value::Float64(n)) => Some(*n),
                _ => None,
            };
            match point.and_then(|(x, y)| coordinate(x).zip(coordinate(y))) {
                Some((x, y)) => out.text(&format!("({x},{y})")),
                None => return misfit("the coordinates of a point expected"),
            }
        }
        Kind::Other if is(&["geometry", "geography"]) => out.text(&extended(wkb, srid)),
        _ => return misfit("a geometry"),
    }
    Ok(())
}

/// PostGIS' form of well-known binary, in hexadecimal digits: the type has a flag for the reference system behind it.
fn extended(wkb: &[u8], srid: Option<u32>) -> String {
    const HAS_SRID: u32 = 0x2000_0000;
    let little = wkb[0] == 1;
    let kind = [wkb[1], wkb[2], wkb[3], wkb[4]];
    let kind = if little { u32::from_le_bytes(kind) } else { u32::from_be_bytes(kind) };
    let word = |n: u32| if little { n.to_le_bytes() } else { n.to_be_bytes() };
    let mut bytes = vec![wkb[0]];
    match srid.filter(|_| kind & HAS_SRID == 0) {
        Some(srid) => {
            bytes.extend_from_slice(&word(kind | HAS_SRID));
            bytes.extend_from_slice(&word(srid));
        }
        None => bytes.extend_from_slice(&word(kind)),
    }
    bytes.extend_from_slice(&wkb[5..]);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn vector(
    value: &Value,
    items: &[Value],
    ty: Option<&Type>,
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let vector = target.declared.to_ascii_lowercase().contains("vec");
    let item = |item: &Value| match item {
        Value::Float32(n) => Some(f64::from(*n)),
        Value::Float64(n) => Some(*n),
        _ => None,
    };
    if !vector || !matches!(target.kind, Kind::Binary(_) | Kind::Other) {
        return plain(value, ty, target, format, out);
    }
    let Some(numbers) = items.iter().map(item).collect::<Option<Vec<f64>>>() else {
        return misfit("numbers with a fraction expected");
    };
    if matches!(target.kind, Kind::Other) {
        let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
        out.text(&format!("[{}]", numbers.join(",")));
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(numbers.len() * 4);
    for n in numbers {
        if f64::from(n as f32) != n {
            return misfit("single precision cannot hold it exactly");
        }
        bytes.extend_from_slice(&(n as f32).to_le_bytes());
    }
    out.bytes(&bytes);
    Ok(())
}

/// pgvector's `{1:0.5,3:2}/5`.
fn sparse(dimensions: &Value, entries: &[(Value, Value)], out: &mut impl Cells) -> Fit {
    let entry = |(at, n): &(Value, Value)| match (whole(at), n) {
        (Some(at), Value::Float64(n)) => Some(format!("{at}:{n}")),
        (Some(at), Value::Float32(n)) => Some(format!("{at}:{n}")),
        _ => None,
    };
    let entries = entries.iter().map(entry).collect::<Option<Vec<String>>>();
    match (entries, whole(dimensions)) {
        (Some(entries), Some(dimensions)) => {
            out.text(&format!("{{{}}}/{dimensions}", entries.join(",")));
            Ok(())
        }
        _ => misfit("dimensions and a vector expected"),
    }
}

/// A value of a type that nobody here knows: a column of the type that carries it takes it.
fn unknown(
    value: &Value,
    ty: Option<&Type>,
    target: Target<'_>,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let fits = match value {
        Value::Bytes(_) => matches!(target.kind, Kind::Binary(_)),
        Value::Boolean(_) => {
            is_numeric(target.kind)
                || matches!(target.kind, Kind::Boolean | Kind::Text(_) | Kind::Json)
        }
        _ => is_numeric(target.kind) || matches!(target.kind, Kind::Text(_) | Kind::Json),
    };
    match fits {
        true => plain(value, ty, target, format, out),
        false => misfit("a value of a type that is not known, which may mean something else there"),
    }
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
