//! From PostgreSQL's binary form to values, and the schema that goes with it.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use connect_core::{
    data::{Decimal, Field, Schema, Text, Type as ConnectType, Value},
    error::{Error, Result},
};
use tokio_postgres::types::Type;

use crate::catalog::Column;

/// Days and microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Scale of a numeric without declared scale, as the JVM's connector has it.
const UNCONSTRAINED_SCALE: i32 = 127;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    Numeric {
        scale: i32,
        precision: i32,
    },
    Text,
    Bytes,
    Date,
    Time,
    /// In the zone of `db.timezone`.
    Timestamp,
    Timestamptz,
    /// Whatever has no type of its own in Connect: its text.
    AsText,
}

impl Kind {
    fn of(column: &Column) -> Self {
        match Type::from_oid(column.oid) {
            Some(Type::BOOL) => Self::Boolean,
            Some(Type::INT2) => Self::Int16,
            Some(Type::INT4) => Self::Int32,
            Some(Type::INT8) => Self::Int64,
            Some(Type::OID) => Self::Oid,
            Some(Type::FLOAT4) => Self::Float32,
            Some(Type::FLOAT8) => Self::Float64,
            Some(Type::NUMERIC) if column.modifier < 4 => {
                Self::Numeric { scale: UNCONSTRAINED_SCALE, precision: 0 }
            }
            Some(Type::NUMERIC) => {
                // numeric(p,s): p in the upper 16 bits, s in the lower 11, signed.
                let packed = column.modifier - 4;
                let scale = ((packed & 0x7ff) ^ 1024) - 1024;
                Self::Numeric { scale, precision: packed >> 16 }
            }
            Some(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME) => Self::Text,
            Some(Type::BYTEA) => Self::Bytes,
            Some(Type::DATE) => Self::Date,
            Some(Type::TIME) => Self::Time,
            Some(Type::TIMESTAMP) => Self::Timestamp,
            Some(Type::TIMESTAMPTZ) => Self::Timestamptz,
            _ => Self::AsText,
        }
    }

    fn schema(self) -> Schema {
        match self {
            Self::Boolean => Schema::new(ConnectType::Boolean),
            Self::Int16 => Schema::new(ConnectType::Int16),
            Self::Int32 => Schema::new(ConnectType::Int32),
            Self::Int64 | Self::Oid => Schema::new(ConnectType::Int64),
            Self::Float32 => Schema::new(ConnectType::Float32),
            Self::Float64 => Schema::new(ConnectType::Float64),
            Self::Numeric { scale, precision } => Schema::decimal(scale)
                .parameter(Text::from_static("connect.decimal.precision"), precision.to_string()),
            Self::Text | Self::AsText => Schema::new(ConnectType::String),
            Self::Bytes => Schema::new(ConnectType::Bytes),
            Self::Date => Schema::date(),
            Self::Time => Schema::time(),
            Self::Timestamp | Self::Timestamptz => Schema::timestamp(),
        }
    }
}

/// Reads rows of a statement.
pub(crate) struct Decoder {
    kinds: Vec<Kind>,
    names: Vec<Text>,
    schema: Arc<Schema>,
}

/// A row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) value: Value,
    /// Of the ordering columns, where the mode has them.
    pub(crate) timestamp: Option<i64>,
    pub(crate) incrementing: Option<i64>,
    /// Text of the incrementing column.
    pub(crate) incrementing_text: Option<Text>,
}

impl Decoder {
    pub(crate) fn new(table: Option<&str>, columns: &[Column]) -> Self {
        let kinds: Vec<Kind> = columns.iter().map(Kind::of).collect();
        let names: Vec<Text> = columns.iter().map(|c| Text::from(c.name.as_str())).collect();
        let fields = names.iter().zip(columns).zip(&kinds).map(|((name, column), kind)| Field {
            name: name.clone(),
            schema: Arc::new(kind.schema().optional(column.nullable)),
        });
        let schema = Schema::new(ConnectType::Struct(fields.collect()));
        let schema = match table {
            Some(table) => schema.named(table),
            None => schema,
        };
        Self { kinds, names, schema: Arc::new(schema) }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How a column stands in the SELECT: as it is where its binary form is read here, else as text.
    pub(crate) fn selected(&self, at: usize, column: &str, zone: &str) -> String {
        match self.kinds[at] {
            Kind::Timestamp => format!("{column} AT TIME ZONE {zone}"),
            Kind::AsText => format!("{column}::text"),
            _ => column.to_owned(),
        }
    }

    /// Reads one `CopyData` message; none at the end or where it holds only the header.
    pub(crate) fn row(
        &self,
        mut data: Bytes,
        first: bool,
        timestamp: bool,
        incrementing: bool,
    ) -> Result<Option<Row>> {
        if first {
            if data.len() < 19 || &data[..11] != b"PGCOPY\n\xff\r\n\0" {
                return Err(Error::internal("PostgreSQL's COPY has no header"));
            }
            data.advance(15);
            let extension = data.get_u32() as usize;
            data.advance(extension);
        }
        if data.remaining() < 2 {
            return Ok(None);
        }
        let count = data.get_i16();
        if count == -1 {
            return Ok(None);
        }
        let expected = self.kinds.len() + usize::from(timestamp) + 2 * usize::from(incrementing);
        if count as usize != expected.max(1) {
            return Err(Error::connection("the table changed while it was read")
                .context("columns", count)
                .context("expected", expected));
        }
        let mut values = Vec::with_capacity(self.kinds.len());
        for (kind, name) in self.kinds.iter().zip(&self.names) {
            let value = match field(&mut data)? {
                None => Value::Null,
                Some(bytes) => kind.value(bytes).map_err(|e| e.context("column", name))?,
            };
            values.push(value);
        }
        let mut row = Row {
            value: Value::Struct(values),
            timestamp: None,
            incrementing: None,
            incrementing_text: None,
        };
        if timestamp {
            let micros = field(&mut data)?.map(|bytes| micros(&bytes)).transpose()?;
            row.timestamp = micros.map(|micros| micros.saturating_add(EPOCH_MICROS));
        }
        if incrementing {
            row.incrementing = field(&mut data)?.map(|bytes| micros(&bytes)).transpose()?;
            row.incrementing_text = field(&mut data)?.map(text).transpose()?;
        }
        Ok(Some(row))
    }
}

/// The next field; none is NULL.
fn field(data: &mut Bytes) -> Result<Option<Bytes>> {
    let torn = || Error::internal("PostgreSQL's COPY row ends early");
    if data.remaining() < 4 {
        return Err(torn());
    }
    let length = data.get_i32();
    if length < 0 {
        return Ok(None);
    }
    if data.remaining() < length as usize {
        return Err(torn());
    }
    Ok(Some(data.split_to(length as usize)))
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

fn text(bytes: Bytes) -> Result<Text> {
    Text::try_from(bytes)
        .map_err(|e| Error::data("PostgreSQL sent text that is not UTF-8").with_source(e))
}

impl Kind {
    fn value(self, bytes: Bytes) -> Result<Value> {
        Ok(match self {
            Self::Boolean => Value::Boolean(fixed::<1>(&bytes)? != [0]),
            Self::Int16 => Value::Int16(i16::from_be_bytes(fixed(&bytes)?)),
            Self::Int32 => Value::Int32(i32::from_be_bytes(fixed(&bytes)?)),
            Self::Int64 => Value::Int64(i64::from_be_bytes(fixed(&bytes)?)),
            Self::Oid => Value::Int64(i64::from(u32::from_be_bytes(fixed(&bytes)?))),
            Self::Float32 => Value::Float32(f32::from_be_bytes(fixed(&bytes)?)),
            Self::Float64 => Value::Float64(f64::from_be_bytes(fixed(&bytes)?)),
            Self::Numeric { scale, .. } => numeric(bytes, scale)?.into(),
            Self::Text | Self::AsText => Value::String(text(bytes)?),
            Self::Bytes => Value::Bytes(bytes),
            Self::Date => match i32::from_be_bytes(fixed(&bytes)?) {
                i32::MAX | i32::MIN => {
                    return Err(Error::data("an infinite date has no form in Connect"));
                }
                days => Value::Date(days + EPOCH_DAYS),
            },
            Self::Time => Value::Time((micros(&bytes)? / 1000) as i32),
            Self::Timestamp | Self::Timestamptz => match micros(&bytes)? {
                // What the JVM's driver makes of infinity.
                i64::MAX => Value::Timestamp(9_223_372_036_825_200_000),
                i64::MIN => Value::Timestamp(-9_223_372_036_832_400_000),
                micros => Value::Timestamp((micros + EPOCH_MICROS).div_euclid(1000)),
            },
        })
    }
}

fn numeric(mut bytes: Bytes, scale: i32) -> Result<Decimal> {
    if bytes.len() < 8 {
        return Err(Error::internal("PostgreSQL's numeric ends early"));
    }
    let (count, weight, sign) = (bytes.get_u16(), bytes.get_i16(), bytes.get_u16());
    bytes.advance(2);
    if !matches!(sign, 0 | 0x4000) {
        return Err(Error::data("NaN and infinity have no form in a Decimal"));
    }
    if bytes.len() < usize::from(count) * 2 {
        return Err(Error::internal("PostgreSQL's numeric ends early"));
    }
    let digits: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    Ok(Decimal::from_base_10000(sign == 0x4000, weight, &digits, scale))
}
