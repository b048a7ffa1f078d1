//! From PostgreSQL's binary form to values.

use std::{fmt::Write, sync::Arc};

use bytes::{Buf, Bytes};
use connect_core::{
    data::{Decimal, Field, Schema, Text, Type as ConnectType, Value},
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

/// Days and microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// What the JVM's driver makes of infinity, in milliseconds.
const INFINITY: (i64, i64) = (-9_223_372_036_832_400_000, 9_223_372_036_825_200_000);

/// Reads rows of a statement.
pub(crate) struct Decoder {
    kinds: Vec<Kind>,
    names: Vec<Text>,
    schema: Arc<Schema>,
    criteria: Criteria,
    zone: Zone,
    legacy: bool,
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
            criteria: criteria.clone(),
            zone,
            legacy: config.calendar == CalendarSystem::Legacy,
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
        let (mut mark, mut error) = (None, None);
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
                    match value(&self.kinds[at], &message, bytes, &self.zone, self.legacy) {
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
        Ok(Some(Row { value: Value::Struct(values), schema: None, timestamp, mark, size, error }))
    }
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
        Kind::Float64 | Kind::Money => Value::Float64(f64::from_be_bytes(fixed(bytes)?)),
        Kind::Numeric { scale, .. } => numeric(bytes, Some(*scale))?.into(),
        Kind::Whole(size) => whole(&numeric(bytes, None)?, *size)?,
        Kind::Double => Value::Float64(numeric(bytes, None)?.to_f64()),
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
                let days = if legacy { datetime::to_legacy(days) } else { days };
                Value::Date(i32::try_from(days).map_err(|_| Error::data("no such day in Connect"))?)
            }
        },
        // As `java.sql.Time`: a time of the day 1970-01-01.
        Kind::Time => Value::Time((zone.instant(micros(bytes)?).rem_euclid(DAY) / 1000) as i32),
        Kind::Timetz => {
            let bytes: [u8; 12] = fixed(bytes)?;
            // Seconds west of UTC.
            let west = i32::from_be_bytes(fixed(&bytes[8..])?);
            let utc = micros(&bytes[..8])? + i64::from(west) * 1_000_000;
            Value::Time((utc.rem_euclid(DAY) / 1000) as i32)
        }
        Kind::Timestamp(granularity) | Kind::Timestamptz(granularity) => match micros(bytes)? {
            i64::MAX => Value::Timestamp(INFINITY.1),
            i64::MIN => Value::Timestamp(INFINITY.0),
            since => {
                let clock = since.checked_add(EPOCH_MICROS);
                let clock = clock.ok_or_else(|| Error::data("no such instant in Connect"))?;
                let utc = match kind {
                    Kind::Timestamp(_) => zone.instant(clock),
                    _ => clock,
                };
                let utc = if legacy { datetime::to_legacy_micros(utc) } else { utc };
                granularity.value(utc, zone)?
            }
        },
        Kind::Array(element, dimensions) => {
            array(element, *dimensions, message, bytes, zone, legacy)?
        }
    })
}

fn numeric(mut bytes: &[u8], scale: Option<i32>) -> Result<Decimal> {
    let early = || Error::internal("PostgreSQL's numeric ends early");
    if bytes.len() < 8 {
        return Err(early());
    }
    let (count, weight, sign) = (bytes.get_u16(), bytes.get_i16(), bytes.get_u16());
    let shown = bytes.get_u16();
    if !matches!(sign, 0 | 0x4000) {
        return Err(Error::data("NaN and infinity have no form in a Decimal"));
    }
    if bytes.len() < usize::from(count) * 2 {
        return Err(early());
    }
    let digits: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    let scale = scale.unwrap_or_else(|| i32::from(shown));
    Ok(Decimal::from_base_10000(sign == 0x4000, weight, &digits, scale))
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

/// An array, with as many dimensions as its schema says: the database does not keep to what was declared.
fn array(
    element: &Kind,
    declared: usize,
    message: &Bytes,
    mut bytes: &[u8],
    zone: &Zone,
    legacy: bool,
) -> Result<Value> {
    if bytes.len() < 12 {
        return Err(torn());
    }
    let dimensions = bytes.get_i32();
    bytes.advance(8);
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        if bytes.len() < 8 {
            return Err(torn());
        }
        lengths.push(usize::try_from(bytes.get_i32()).map_err(|_| torn())?);
        bytes.advance(4);
    }
    let mut items = Vec::new();
    for _ in 0..lengths.iter().product::<usize>() * usize::from(!lengths.is_empty()) {
        items.push(match field(&mut bytes)? {
            None => Value::Null,
            Some(bytes) => value(element, message, bytes, zone, legacy)?,
        });
    }
    // Of more dimensions than declared the inner ones are joined; of fewer, each item is a list of one.
    let keep = declared.min(lengths.len().max(1));
    for length in lengths.iter().take(keep).skip(1).rev() {
        let inner: usize = *length * lengths.iter().skip(keep).product::<usize>();
        let mut lists = Vec::new();
        let mut rest = items.into_iter().peekable();
        while rest.peek().is_some() {
            lists.push(Value::Array(rest.by_ref().take(inner.max(1)).collect()));
        }
        items = lists;
    }
    for _ in keep..declared {
        items = items.into_iter().map(|item| Value::Array(vec![item])).collect();
    }
    Ok(Value::Array(items))
}
