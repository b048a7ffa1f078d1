//! From MySQL's binary form to values.

use std::sync::Arc;

use connect_core::{
    data::{Decimal, Field, Schema, Text, Type, Value},
    error::{Error, ErrorKind, Result},
};
use connectors_jdbc::{
    datetime::{self, DAY},
    source::{
        Mark, SourceConfig,
        criteria::Criteria,
        database::{Column, Row},
        keys::{CalendarSystem, Granularity},
    },
    zone::Zone,
};

use crate::kind::{Driver, Kind, ZeroDate};

/// 0001-01-01 in days since the epoch: what a zero date is rounded to.
const FIRST_DAY: i64 = -719_162;

/// A value that the schema of its column does not foresee: its row has a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Odd {
    /// Null where there should be none: a zero date.
    Null,
    /// A number above 2^63.
    Decimal,
    /// A time that is no time of day, or a date that no calendar has.
    Text,
}

/// The odd values of a row, by position.
type OddValues = Vec<(usize, Odd)>;

/// Reads rows of a statement.
pub(crate) struct Decoder {
    kinds: Vec<Kind>,
    names: Vec<Text>,
    nullable: Vec<bool>,
    schema: Arc<Schema>,
    odd: Vec<(OddValues, Arc<Schema>)>,
    criteria: Criteria,
    zone: Zone,
    legacy: bool,
    zero: Option<ZeroDate>,
}

impl Decoder {
    pub(crate) fn new(
        table: Option<&str>,
        columns: &[Column<Kind>],
        criteria: &Criteria,
        (config, driver): (&SourceConfig, Driver),
    ) -> Result<Self> {
        let kinds: Vec<Kind> = columns.iter().map(|c| c.ty).collect();
        let names: Vec<Text> = columns.iter().map(|c| Text::from(c.name.as_str())).collect();
        let fields = names.iter().zip(columns).map(|(name, column)| Field {
            name: name.clone(),
            schema: Arc::new(column.ty.schema(config.aiven).optional(column.nullable)),
        });
        let schema = Schema::new(Type::Struct(fields.collect()));
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
            nullable: columns.iter().map(|c| c.nullable).collect(),
            schema: Arc::new(schema),
            odd: Vec::new(),
            criteria: criteria.clone(),
            zone,
            legacy: config.calendar == CalendarSystem::Legacy,
            zero: driver.zero,
        })
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub(crate) fn row(&mut self, row: mysql_async::Row) -> Result<Row> {
        let found = row.unwrap();
        if found.len() != self.kinds.len() {
            return Err(Error::connection("the table changed while it was read")
                .context("columns", found.len())
                .context("expected", self.kinds.len()));
        }
        let mut values = Vec::with_capacity(found.len());
        let (mut mark, mut odd, mut size, mut error) = (None, Vec::new(), 0, None);
        let mut times = vec![None; self.criteria.timestamps.len()];
        for (at, found) in found.into_iter().enumerate() {
            let bytes = if let mysql_async::Value::Bytes(bytes) = &found { bytes.len() } else { 0 };
            size += size_of::<Value>() + bytes;
            let named = |e: Error| e.context("column", &self.names[at]);
            for (slot, of) in times.iter_mut().zip(&self.criteria.timestamps) {
                if *of == at {
                    *slot = clock(&found);
                }
            }
            let (value, strange) = match self.value(at, found) {
                Ok(read) => read,
                // Its neighbours can be read.
                Err(e) if e.kind() == ErrorKind::Data => {
                    error.get_or_insert_with(|| named(e));
                    (Value::Null, None)
                }
                Err(e) => return Err(named(e)),
            };
            odd.extend(strange.map(|strange| (at, strange)));
            if self.criteria.incrementing == Some(at) {
                mark = Mark::of(&value).map_err(named)?;
            }
            values.push(value);
        }
        let timestamp = times.into_iter().flatten().next();
        let schema = (!odd.is_empty()).then(|| self.odd_schema(odd));
        Ok(Row { value: Value::Struct(values), schema, timestamp, mark, size, error })
    }

    /// The schema of rows with these odd values.
    fn odd_schema(&mut self, odd: OddValues) -> Arc<Schema> {
        if let Some((_, known)) = self.odd.iter().find(|(known, _)| *known == odd) {
            return Arc::clone(known);
        }
        let mut schema = (*self.schema).clone();
        if let Type::Struct(fields) = &mut schema.ty {
            for (at, odd) in &odd {
                let own = &fields[*at].schema;
                let other = match odd {
                    Odd::Null => (**own).clone().optional(true),
                    Odd::Decimal => Schema::decimal(0)
                        .parameter(Text::from_static("connect.decimal.precision"), "20")
                        .optional(own.optional),
                    Odd::Text => Schema::new(Type::String).optional(own.optional),
                };
                fields[*at].schema = Arc::new(other);
            }
        }
        let schema = Arc::new(schema);
        self.odd.push((odd, Arc::clone(&schema)));
        schema
    }

    fn value(&self, at: usize, found: mysql_async::Value) -> Result<(Value, Option<Odd>)> {
        use mysql_async::Value as My;
        let kind = self.kinds[at];
        let value = match (kind, found) {
            (_, My::NULL) => Value::Null,
            (Kind::Boolean, found) => Value::Boolean(integer(&found)? != 0),
            (Kind::Int8, found) => Value::Int8(narrow(&found)?),
            (Kind::Int16 | Kind::YearNumber, found) => Value::Int16(narrow(&found)?),
            (Kind::Int32, found) => Value::Int32(narrow(&found)?),
            (Kind::Int64, found) => Value::Int64(narrow(&found)?),
            (Kind::UInt64, found) => {
                let n = integer(&found)?;
                match i64::try_from(n) {
                    Ok(n) => Value::Int64(n),
                    Err(_) => return Ok((Decimal::new(n, 0).into(), Some(Odd::Decimal))),
                }
            }
            // Eight bits are a byte, whose first is the sign.
            (Kind::Bits, My::Bytes(bytes)) => Value::Int8(bytes.last().copied().unwrap_or(0) as i8),
            (Kind::Float32, My::Float(n)) => Value::Float32(n),
            (Kind::Float64, My::Double(n)) => Value::Float64(n),
            (Kind::Decimal { scale, .. }, My::Bytes(bytes)) => {
                text(bytes)?.parse::<Decimal>()?.rescaled(scale).into()
            }
            (Kind::Text | Kind::Digits, My::Bytes(bytes)) => Value::String(text(bytes)?),
            (Kind::Double, My::Bytes(bytes)) => {
                let digits = text(bytes)?;
                Value::Float64(digits.parse().map_err(|_| Error::data("not a number"))?)
            }
            (Kind::Bytes, My::Bytes(bytes)) => Value::Bytes(bytes.into()),
            (Kind::Year, found) => {
                let days = i64::try_from(integer(&found)?).ok();
                let days = days.and_then(|year| datetime::days(year, 1, 1));
                self.date(days.ok_or_else(|| Error::data("no such year"))?)?
            }
            (Kind::Time, My::Time(negative, days, hours, minutes, seconds, micros)) => {
                let hours = i64::from(days) * 24 + i64::from(hours);
                let clock = (hours * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
                if negative || hours > 23 {
                    let sign = if negative { "-" } else { "" };
                    let mut shown = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}");
                    if micros != 0 {
                        shown.push_str(&format!(".{micros:06}"));
                    }
                    return Ok((Value::from(shown), Some(Odd::Text)));
                }
                // As `java.sql.Time`: a time of the day 1970-01-01.
                let utc = self.zone.instant(clock * 1_000_000 + i64::from(micros)).rem_euclid(DAY);
                Value::Time((utc / 1000) as i32)
            }
            (Kind::Date, found @ My::Date(..)) => match clock(&found) {
                Some(clock) => self.date(clock.div_euclid(DAY))?,
                None => return self.no_date(at, &found),
            },
            (Kind::DateTime(granularity), found @ My::Date(..)) => match clock(&found) {
                Some(clock) => self.timestamp(granularity, clock)?,
                None => return self.no_date(at, &found),
            },
            (_, found) => {
                return Err(Error::connection("the table changed while it was read")
                    .context("sent", found.as_sql(false)));
            }
        };
        Ok((value, None))
    }

    /// A zero date, or another that no calendar has, such as 2021-02-00.
    fn no_date(&self, at: usize, found: &mysql_async::Value) -> Result<(Value, Option<Odd>)> {
        let null = || (Value::Null, (!self.nullable[at]).then_some(Odd::Null));
        match (self.zero, self.kinds[at], is_zero(found)) {
            (Some(ZeroDate::Null), ..) | (None, _, true) => Ok(null()),
            (Some(ZeroDate::Exception), ..) => {
                Err(Error::data("Zero date value prohibited").context("value", found.as_sql(false)))
            }
            (Some(ZeroDate::Round), Kind::DateTime(granularity), true) => {
                Ok((self.timestamp(granularity, FIRST_DAY * DAY)?, None))
            }
            (Some(ZeroDate::Round), _, true) => Ok((self.date(FIRST_DAY)?, None)),
            // What is left of it cannot be told in another way.
            (_, _, false) => {
                let text = found.as_sql(false);
                Ok((Value::from(text.trim_matches('\'').to_owned()), Some(Odd::Text)))
            }
        }
    }

    fn date(&self, days: i64) -> Result<Value> {
        let days = if self.legacy { datetime::legacy(days).ok_or_else(left_out)? } else { days };
        Ok(Value::Date(i32::try_from(days).map_err(|_| Error::data("no such day"))?))
    }

    fn timestamp(&self, granularity: Granularity, clock: i64) -> Result<Value> {
        let utc = self.zone.instant(clock);
        let utc = match self.legacy {
            true => datetime::legacy_micros(utc).ok_or_else(left_out)?,
            false => utc,
        };
        granularity.value(utc, &self.zone)
    }
}

/// A day that the JVM's calendar does not have.
fn left_out() -> Error {
    Error::data(
        "a day from 1582-10-05 to 14, which dates with date.calendar.system=LEGACY do not have; PROLEPTIC_GREGORIAN does",
    )
}

fn is_zero(found: &mysql_async::Value) -> bool {
    matches!(found, mysql_async::Value::Date(0, 0, 0, 0, 0, 0, 0))
}

fn text(bytes: Vec<u8>) -> Result<Text> {
    Text::try_from(bytes::Bytes::from(bytes))
        .map_err(|e| Error::data("MySQL sent text that is not UTF-8").with_source(e))
}

/// A whole number, of whatever form.
fn integer(found: &mysql_async::Value) -> Result<i128> {
    Ok(match found {
        mysql_async::Value::Int(n) => i128::from(*n),
        mysql_async::Value::UInt(n) => i128::from(*n),
        mysql_async::Value::Bytes(bytes) => {
            bytes.iter().fold(0, |n, byte| n << 8 | i128::from(*byte))
        }
        other => {
            return Err(Error::connection("the table changed while it was read")
                .context("sent", other.as_sql(false)));
        }
    })
}

fn narrow<T: TryFrom<i128>>(found: &mysql_async::Value) -> Result<T> {
    T::try_from(integer(found)?)
        .map_err(|_| Error::connection("the table changed while it was read"))
}

/// What clocks show, in microseconds since the epoch; none for a date that no calendar has.
fn clock(found: &mysql_async::Value) -> Option<i64> {
    let mysql_async::Value::Date(year, month, day, hours, minutes, seconds, micros) = found else {
        return None;
    };
    let days = (*month > 0 && *day > 0)
        .then(|| datetime::days(i64::from(*year), u32::from(*month), u32::from(*day)));
    let clock = (i64::from(*hours) * 60 + i64::from(*minutes)) * 60 + i64::from(*seconds);
    Some(days?? * DAY + clock * 1_000_000 + i64::from(*micros))
}
