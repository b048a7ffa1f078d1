//! From PostgreSQL's binary form to values.

use std::{fmt::Write, sync::Arc};

use bytes::{Buf, Bytes};
use connect_core::{
    data::{Decimal, Field, Schema, Text, Type as ConnectType, Value, logical},
    error::{Error, ErrorKind, Result},
};
use connectors_jdbc::{
    datetime::{self, DAY},
    source::{
        Mark, SourceConfig,
        criteria::Criteria,
        database::{Column, Row},
        keys::CalendarSystem,
    },
    zone::Zone,
};

use crate::{catalog::PgType, kind::Kind};

/// Signs of numerics from here on are those of NaN and infinity.
const SPECIAL: u16 = 0xc000;
/// The midnight after a day, in milliseconds.
const MIDNIGHT: i32 = logical::DAY_MILLIS as i32;
/// Days and microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A value that the schema of its column does not foresee: its row has a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    /// NaN, infinity, or more digits after the point than there are elsewhere.
    Text,
    /// An array of so many dimensions: the database does not keep to what was declared.
    Dimensions(usize),
}

/// The odd values of a row, by position.
type OddValues = Vec<(usize, Odd)>;

/// Reads rows of a statement.
pub(crate) struct Decoder {
    kinds: Vec<Kind>,
    names: Vec<Text>,
    schema: Arc<Schema>,
    odd: Vec<(OddValues, Arc<Schema>)>,
    criteria: Criteria,
    zone: Zone,
    legacy: bool,
    aiven: bool,
    /// Timestamps of the row that is being read, by position in the criteria.
    times: Vec<Option<i64>>,
}

impl Decoder {
    pub(crate) fn new(
        table: Option<&str>,
        columns: &[Column<PgType>],
        criteria: &Criteria,
        config: &SourceConfig,
    ) -> Result<Self> {
        let kinds: Vec<Kind> = columns.iter().map(|c| Kind::of(&c.ty, config)).collect();
        let names: Vec<Text> = columns.iter().map(|c| Text::from(c.name.as_str())).collect();
        let fields = names.iter().zip(columns).zip(&kinds).map(|((name, column), kind)| Field {
            name: name.clone(),
            schema: Arc::new(kind.schema(config.aiven).optional(column.nullable)),
        });
        let schema = Schema::new(ConnectType::Struct(fields.collect()));
        let schema = match table {
            Some(table) => schema.named(table),
            None => schema,
        };
        let zone = Zone::of(&config.timezone).ok_or_else(|| {
            Error::config("Invalid time zone").context("db.timezone", &config.timezone)
        })?;
        Ok(Self {
            kinds,
            names,
            schema: Arc::new(schema),
            odd: Vec::new(),
            criteria: criteria.clone(),
            zone,
            legacy: config.calendar == CalendarSystem::Legacy,
            aiven: config.aiven,
            times: vec![None; criteria.timestamps.len()],
        })
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How a column stands in the SELECT.
    pub(crate) fn selected(&self, at: usize, column: String) -> String {
        self.kinds[at].selected(column)
    }

    /// Reads one `CopyData` message; none at the end or where it holds only the header.
    pub(crate) fn row(&mut self, message: Bytes, first: bool) -> Result<Option<Row>> {
        let size = message.len() + self.kinds.len() * size_of::<Value>();
        let mut data = &message[..];
        if first {
            if data.len() < 19 || &data[..11] != b"PGCOPY\n\xff\r\n\0" {
                return Err(Error::internal("PostgreSQL's COPY has no header"));
            }
            data.advance(15);
            let extension = data.get_u32() as usize;
            if data.len() < extension {
                return Err(torn());
            }
            data.advance(extension);
        }
        if data.remaining() < 2 {
            return Ok(None);
        }
        let count = data.get_i16();
        if count == -1 {
            return Ok(None);
        }
        // A table without columns is read as one NULL a row.
        if count as usize != self.kinds.len().max(1) {
            return Err(Error::connection("the table changed while it was read")
                .context("columns", count)
                .context("expected", self.kinds.len()));
        }
        let mut values = Vec::with_capacity(self.kinds.len());
        let (mut mark, mut error, mut odd) = (None, None, Vec::new());
        for at in 0..self.kinds.len() {
            let bytes = field(&mut data)?;
            let named = |e: Error| e.context("column", &self.names[at]);
            for (slot, of) in self.times.iter_mut().zip(&self.criteria.timestamps) {
                if *of == at {
                    let time = bytes.map(|bytes| clock(&self.kinds[at], bytes));
                    *slot = time.transpose().map_err(named)?;
                }
            }
            let value = match bytes {
                None => Value::Null,
                Some(bytes) => {
                    let kind = &self.kinds[at];
                    let read = match strange(kind, bytes) {
                        Ok(None) => value(kind, &message, bytes, &self.zone, self.legacy),
                        Ok(Some(strange)) => {
                            odd.push((at, strange));
                            self.odd(kind, strange, &message, bytes)
                        }
                        Err(e) => Err(e),
                    };
                    match read {
                        Ok(value) => value,
                        // Its neighbours can be read.
                        Err(e) if e.kind() == ErrorKind::Data => {
                            error.get_or_insert_with(|| named(e));
                            Value::Null
                        }
                        Err(e) => return Err(named(e)),
                    }
                }
            };
            if self.criteria.incrementing == Some(at) {
                mark = Mark::of(&value).map_err(named)?;
            }
            values.push(value);
        }
        let timestamp = self.times.iter().find_map(|time| *time);
        let schema = (!odd.is_empty()).then(|| self.odd_schema(odd));
        Ok(Some(Row { value: Value::Struct(values), schema, timestamp, mark, size, error }))
    }

    fn odd(&self, kind: &Kind, odd: Odd, message: &Bytes, bytes: &[u8]) -> Result<Value> {
        match (kind, odd) {
            (Kind::Array(element, _), Odd::Dimensions(dimensions)) => {
                array(element, dimensions, message, bytes, &self.zone, self.legacy)
            }
            _ => Ok(Value::from(number(bytes)?.text())),
        }
    }

    /// The schema of rows with these odd values.
    fn odd_schema(&mut self, odd: OddValues) -> Arc<Schema> {
        if let Some((_, known)) = self.odd.iter().find(|(known, _)| *known == odd) {
            return Arc::clone(known);
        }
        let mut schema = (*self.schema).clone();
        if let ConnectType::Struct(fields) = &mut schema.ty {
            for (at, odd) in &odd {
                let other = match (odd, &self.kinds[*at]) {
                    (Odd::Dimensions(dimensions), Kind::Array(element, _)) => {
                        element.array(*dimensions, self.aiven)
                    }
                    _ => Schema::new(ConnectType::String),
                };
                fields[*at].schema = Arc::new(other.optional(fields[*at].schema.optional));
            }
        }
        let schema = Arc::new(schema);
        self.odd.push((odd, Arc::clone(&schema)));
        schema
    }
}

/// What is odd about a value.
fn strange(kind: &Kind, bytes: &[u8]) -> Result<Option<Odd>> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    Ok(match kind {
        Kind::Numeric { .. } | Kind::Variable | Kind::Whole(_) if word(4) >= Some(SPECIAL) => {
            Some(Odd::Text)
        }
        Kind::Numeric { scale, .. } if word(6).map(i32::from) > Some((*scale).max(0)) => {
            Some(Odd::Text)
        }
        Kind::Array(_, declared) => {
            let dimensions = dimensions(bytes)?.len();
            (dimensions != 0 && dimensions != *declared).then_some(Odd::Dimensions(dimensions))
        }
        _ => None,
    })
}

fn torn() -> Error {
    Error::internal("PostgreSQL's COPY row ends early")
}

/// The next field; none is NULL.
fn field<'m>(data: &mut &'m [u8]) -> Result<Option<&'m [u8]>> {
    if data.remaining() < 4 {
        return Err(torn());
    }
    let length = data.get_i32();
    if length < 0 {
        return Ok(None);
    }
    let field = data.split_off(..length as usize);
    field.map(Some).ok_or_else(torn)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| {
        // A column whose type was changed between looking it up and reading it.
        Error::connection("the table changed while it was read").context("length", bytes.len())
    })
}

fn micros(bytes: &[u8]) -> Result<i64> {
    fixed(bytes).map(i64::from_be_bytes)
}

fn text(message: &Bytes, bytes: &[u8]) -> Result<Text> {
    Text::try_from(message.slice_ref(bytes))
        .map_err(|e| Error::data("PostgreSQL sent text that is not UTF-8").with_source(e))
}

/// What a date or timestamp shows, in microseconds since 1970-01-01; an instant in UTC.
fn clock(kind: &Kind, bytes: &[u8]) -> Result<i64> {
    Ok(match kind {
        Kind::Date => i64::from(i32::from_be_bytes(fixed(bytes)?)) * DAY + EPOCH_MICROS,
        _ => micros(bytes)?.saturating_add(EPOCH_MICROS),
    })
}

/// The value of a field; what of the message has its length is a slice of it.
fn value(kind: &Kind, message: &Bytes, bytes: &[u8], zone: &Zone, legacy: bool) -> Result<Value> {
    Ok(match kind {
        Kind::Boolean => Value::Boolean(fixed::<1>(bytes)? != [0]),
        Kind::Bit => Value::Boolean(bits(bytes)?.starts_with('1')),
        Kind::Bits => Value::from(bits(bytes)?),
        Kind::Int16 => Value::Int16(i16::from_be_bytes(fixed(bytes)?)),
        Kind::Int32 => Value::Int32(i32::from_be_bytes(fixed(bytes)?)),
        Kind::Int64 => Value::Int64(i64::from_be_bytes(fixed(bytes)?)),
        Kind::Oid => Value::Int64(i64::from(u32::from_be_bytes(fixed(bytes)?))),
        Kind::Float32 => Value::Float32(f32::from_be_bytes(fixed(bytes)?)),
        Kind::Float64 => Value::Float64(f64::from_be_bytes(fixed(bytes)?)),
        Kind::Money => Value::Float64(exact(&numeric(bytes, None)?)?),
        Kind::Numeric { scale, .. } => numeric(bytes, Some(*scale))?.into(),
        Kind::Whole(size) => whole(&numeric(bytes, None)?, *size)?,
        Kind::Double => Value::Float64(number(bytes)?.double()),
        Kind::Digits => Value::from(number(bytes)?.text()),
        Kind::Variable => {
            let number = numeric(bytes, None)?;
            Value::Struct(vec![
                Value::Int32(number.scale()),
                Value::Bytes(number.to_bytes().into()),
            ])
        }
        Kind::Text | Kind::Json | Kind::Inet | Kind::AsText => Value::String(text(message, bytes)?),
        Kind::Jsonb => match bytes {
            [1, json @ ..] => Value::String(text(message, json)?),
            _ => return Err(Error::data("a version of jsonb that is not known")),
        },
        Kind::Uuid => Value::from(uuid(fixed(bytes)?)),
        Kind::Bytes => Value::Bytes(message.slice_ref(bytes)),
        Kind::Date => match i32::from_be_bytes(fixed(bytes)?) {
            // Before and after all that there are; the JVM's task dies of them.
            infinite @ (i32::MAX | i32::MIN) => Value::Date(infinite),
            days => {
                let days = i64::from(days) + i64::from(EPOCH_DAYS);
                let days = if legacy { datetime::legacy(days).ok_or_else(left_out)? } else { days };
                Value::Date(i32::try_from(days).map_err(|_| Error::data("no such day in Connect"))?)
            }
        },
        Kind::Time => Value::Time(match micros(bytes)? {
            // 24:00:00, which is not the day's first moment.
            DAY => MIDNIGHT,
            // As `java.sql.Time`: a time of the day 1970-01-01.
            micros => (zone.instant(micros).rem_euclid(DAY) / 1000) as i32,
        }),
        Kind::Timetz => {
            let bytes: [u8; 12] = fixed(bytes)?;
            // Seconds west of UTC.
            let west = i32::from_be_bytes(fixed(&bytes[8..])?);
            Value::Time(match (micros(&bytes[..8])?, west) {
                (DAY, 0) => MIDNIGHT,
                (DAY, _) => return Err(Error::data("24:00:00 of another zone than UTC")),
                (clock, west) => {
                    ((clock + i64::from(west) * 1_000_000).rem_euclid(DAY) / 1000) as i32
                }
            })
        }
        Kind::Timestamp(granularity) | Kind::Timestamptz(granularity) => match micros(bytes)? {
            infinite @ (i64::MAX | i64::MIN) => granularity.infinite(infinite > 0),
            since => {
                let clock = since.checked_add(EPOCH_MICROS);
                let clock = clock.ok_or_else(|| Error::data("no such instant in Connect"))?;
                let utc = match kind {
                    Kind::Timestamp(_) => zone.instant(clock),
                    _ => clock,
                };
                let utc = match legacy {
                    true => datetime::legacy_micros(utc).ok_or_else(left_out)?,
                    false => utc,
                };
                granularity.value(utc, zone)?
            }
        },
        Kind::Array(element, dimensions) => {
            array(element, *dimensions, message, bytes, zone, legacy)?
        }
    })
}

/// A day that the JVM's calendar does not have.
fn left_out() -> Error {
    Error::data(
        "a day from 1582-10-05 to 14, which dates with date.calendar.system=LEGACY do not have; PROLEPTIC_GREGORIAN does",
    )
}

/// A numeric.
enum Number {
    Finite(Decimal),
    /// As PostgreSQL writes it.
    Special(&'static str),
}

impl Number {
    fn text(&self) -> String {
        match self {
            Self::Finite(number) => number.to_string(),
            Self::Special(text) => (*text).to_owned(),
        }
    }

    fn double(&self) -> f64 {
        match self {
            Self::Finite(number) => number.to_f64(),
            Self::Special("Infinity") => f64::INFINITY,
            Self::Special("-Infinity") => f64::NEG_INFINITY,
            Self::Special(_) => f64::NAN,
        }
    }
}

/// A numeric with the digits after the point that it is shown with.
fn number(bytes: &[u8]) -> Result<Number> {
    let sign = bytes.get(4..6).map(fixed).transpose()?.map(u16::from_be_bytes);
    Ok(match sign {
        Some(SPECIAL) => Number::Special("NaN"),
        Some(0xd000) => Number::Special("Infinity"),
        Some(0xf000) => Number::Special("-Infinity"),
        _ => Number::Finite(numeric(bytes, None)?),
    })
}

/// A finite numeric, with this scale or its own.
fn numeric(mut bytes: &[u8], scale: Option<i32>) -> Result<Decimal> {
    let early = || Error::internal("PostgreSQL's numeric ends early");
    if bytes.len() < 8 {
        return Err(early());
    }
    let (count, weight, sign) = (bytes.get_u16(), bytes.get_i16(), bytes.get_u16());
    let shown = i32::from(bytes.get_u16());
    if sign >= SPECIAL {
        return Err(Error::data("NaN and infinity have no form in a Decimal"));
    }
    if scale.is_some_and(|scale| shown > scale.max(0)) {
        return Err(Error::data("a number with more digits after the point than its Decimal has"));
    }
    if bytes.len() < usize::from(count) * 2 {
        return Err(early());
    }
    let digits: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    Ok(Decimal::from_base_10000(sign == 0x4000, weight, &digits, scale.unwrap_or(shown)))
}

/// The double that a number is.
fn exact(number: &Decimal) -> Result<f64> {
    let double = number.to_f64();
    let back = double.to_string().parse::<Decimal>().ok();
    match back.and_then(|back| back.rescaled_exactly(number.scale())).as_ref() == Some(number) {
        true => Ok(double),
        false => Err(Error::data("a number that no double is equal to").context("value", number)),
    }
}

fn whole(number: &Decimal, size: usize) -> Result<Value> {
    let bad = || {
        Error::data("a number that does not fit its declared precision").context("value", number)
    };
    let n = number.to_i64().ok_or_else(bad)?;
    Ok(match size {
        1 => Value::Int8(n.try_into().map_err(|_| bad())?),
        2 => Value::Int16(n.try_into().map_err(|_| bad())?),
        4 => Value::Int32(n.try_into().map_err(|_| bad())?),
        _ => Value::Int64(n),
    })
}

fn bits(bytes: &[u8]) -> Result<String> {
    let count = bytes.get(..4).map(fixed).transpose()?.map(i32::from_be_bytes).unwrap_or_default();
    let count = usize::try_from(count).unwrap_or_default();
    let bits = bytes.get(4..).unwrap_or_default();
    if bits.len() * 8 < count {
        return Err(torn());
    }
    let bit = |at: usize| if bits[at / 8] & (0x80 >> (at % 8)) == 0 { '0' } else { '1' };
    Ok((0..count).map(bit).collect())
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // A String grows as needed: writing cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The lengths of an array's dimensions; none of an empty one.
fn dimensions(mut bytes: &[u8]) -> Result<Vec<usize>> {
    if bytes.len() < 12 {
        return Err(torn());
    }
    let count = bytes.get_i32();
    bytes.advance(8);
    let mut lengths = Vec::new();
    for _ in 0..count {
        if bytes.len() < 8 {
            return Err(torn());
        }
        lengths.push(usize::try_from(bytes.get_i32()).map_err(|_| torn())?);
        if bytes.get_i32() != 1 {
            return Err(Error::data("an array whose first element has another number than 1"));
        }
    }
    Ok(lengths)
}

/// An array of so many dimensions.
fn array(
    element: &Kind,
    count: usize,
    message: &Bytes,
    bytes: &[u8],
    zone: &Zone,
    legacy: bool,
) -> Result<Value> {
    let lengths = dimensions(bytes)?;
    if !lengths.is_empty() && lengths.len() != count {
        return Err(Error::data("an array of more or fewer dimensions than were declared"));
    }
    let mut bytes = bytes.get(12 + lengths.len() * 8..).ok_or_else(torn)?;
    let mut items = Vec::new();
    for _ in 0..lengths.iter().product::<usize>() * usize::from(!lengths.is_empty()) {
        items.push(match field(&mut bytes)? {
            None => Value::Null,
            Some(bytes) => value(element, message, bytes, zone, legacy)?,
        });
    }
    for length in lengths.iter().skip(1).rev() {
        let mut lists = Vec::new();
        let mut rest = items.into_iter().peekable();
        while rest.peek().is_some() {
            lists.push(Value::Array(rest.by_ref().take(*length).collect()));
        }
        items = lists;
    }
    Ok(Value::Array(items))
}
