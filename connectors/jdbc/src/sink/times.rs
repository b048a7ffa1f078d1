//! Dates and times as what a column takes: they are cut to its digits, as the JVM's drivers do.

use connect_core::data::Value;

use super::{
    cell::{Cells, Fit, Format, form, misfit},
    keys::{DateZone, TimestampPrecision},
    numbers::integer,
    table::Kind,
};
use crate::datetime::{self, DAY};

/// The day that a date of Connect is in the calendar of databases.
pub(super) fn gregorian(days: i64, format: &Format) -> Fit<i64> {
    if !format.legacy {
        return Ok(days);
    }
    let own = datetime::from_legacy(days);
    match datetime::to_legacy(own) == days {
        true => Ok(own),
        false => misfit("February 29th of a year that has none in the Gregorian calendar"),
    }
}

/// [`gregorian`] of microseconds since the epoch.
pub(super) fn gregorian_micros(micros: i64, format: &Format) -> Fit<i64> {
    let day = gregorian(micros.div_euclid(DAY), format)?.checked_mul(DAY);
    match day.and_then(|day| day.checked_add(micros.rem_euclid(DAY))) {
        Some(micros) => Ok(micros),
        None => misfit("no such year"),
    }
}

/// The microseconds of milliseconds since midnight.
pub(super) fn of_day(millis: i64) -> Fit<i64> {
    match (0..DAY / 1000).contains(&millis) {
        true => Ok(millis * 1000),
        false => misfit("no milliseconds since midnight"),
    }
}

pub(super) fn date(days: i32, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    if matches!(kind, Kind::Integer(..)) {
        return integer(days.into(), kind, format, out);
    }
    let mut days = i64::from(days);
    // As `java.sql.Date` with the zone's calendar: midnight UTC, seen from there.
    if format.dates == DateZone::DbTimezone && !format.zone.is_utc() {
        match days.checked_mul(DAY) {
            Some(midnight) => days = format.zone.local(midnight).div_euclid(DAY),
            None => return misfit("no such year"),
        }
    }
    let days = gregorian(days, format)?;
    let mut text = String::with_capacity(32);
    let written = match kind {
        Kind::Year => match datetime::first_of_year(days) {
            Some(year) => return integer(year, kind, format, out),
            None => return misfit("not the first day of a year"),
        },
        Kind::DateTime { instant, .. } => days.checked_mul(DAY).and_then(|midnight| {
            let zone = if *instant { format.utc } else { "" };
            datetime::datetime(midnight, format.years, zone, &mut text)
        }),
        _ => datetime::date(days, format.years, &mut text),
    };
    match (written, kind) {
        (None, _) => return misfit("no such year"),
        (_, Kind::Date | Kind::DateTime { .. }) => out.text(&text),
        _ => return form(&text, kind, format, out, "a date"),
    }
    Ok(())
}

/// A time of day, in microseconds.
pub(super) fn time(micros: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    // As `java.sql.Time`: a time of the day 1970-01-01.
    let local = format.zone.local(micros).rem_euclid(DAY);
    match kind {
        Kind::Time { instant: true, digits } => out.text(&(clock(micros, *digits) + format.utc)),
        Kind::Time { instant: false, digits } => out.text(&clock(local, *digits)),
        _ => return form(&clock(local, 6), kind, format, out, "a time of day"),
    }
    Ok(())
}

/// An instant, in microseconds since the epoch.
pub(super) fn timestamp(micros: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let micros = gregorian_micros(micros, format)?;
    let text = match kind {
        Kind::DateTime { instant: true, digits } => shown(micros, *digits, format.utc, format)?,
        Kind::DateTime { instant: false, digits } => {
            shown(format.zone.local(micros), *digits, "", format)?
        }
        _ => {
            let text = shown(format.zone.local(micros), 6, "", format)?;
            return form(&text, kind, format, out, "a timestamp");
        }
    };
    out.text(&text);
    Ok(())
}

/// Text in another form than ISO 8601: the database's to read, where the configuration asks for that.
fn other(text: &str, format: &Format, out: &mut impl Cells, why: &'static str) -> Fit {
    if !format.untyped || text.contains('\0') {
        return misfit(why);
    }
    out.text(text);
    Ok(())
}

/// A date or time that was text.
pub(super) fn parsed(text: &str, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    if matches!(kind, Kind::Time { .. }) {
        let Some(parsed) = datetime::parse(&format!("1970-01-01T{text}")) else {
            return other(text, format, out, "not a time of day");
        };
        let instant = match parsed.with_zone {
            true => parsed.micros,
            false => format.zone.instant(parsed.micros),
        };
        return time(instant.rem_euclid(DAY), kind, format, out);
    }
    if format.infinity && matches!(text, "infinity" | "-infinity") {
        out.text(text);
        return Ok(());
    }
    let Some(parsed) = datetime::parse(text) else {
        return other(text, format, out, "not an ISO 8601 date or time");
    };
    let text = match kind {
        Kind::Date if parsed.micros.rem_euclid(DAY) != 0 => return misfit("a date with a time"),
        Kind::Date => {
            let mut text = String::with_capacity(16);
            match datetime::date(parsed.micros.div_euclid(DAY), format.years, &mut text) {
                Some(()) => text,
                None => return misfit("no such year"),
            }
        }
        Kind::DateTime { instant, digits } => {
            let micros = match (parsed.with_zone, instant) {
                (true, true) | (false, false) => parsed.micros,
                (true, false) => format.zone.local(parsed.micros),
                (false, true) => format.zone.instant(parsed.micros),
            };
            shown(micros, *digits, if *instant { format.utc } else { "" }, format)?
        }
        _ => return misfit("a date"),
    };
    out.text(&text);
    Ok(())
}

/// A field of `timestamp.fields.list`: micro- or nanoseconds, as a number or its digits.
pub(super) fn field_of_timestamps(
    value: &Value,
    kind: &Kind,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
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

/// A date and time with so many digits.
fn shown(micros: i64, digits: u32, zone: &str, format: &Format) -> Fit<String> {
    let mut text = String::with_capacity(32);
    let cut = cut(micros, digits);
    match cut.and_then(|micros| datetime::datetime(micros, format.years, zone, &mut text)) {
        Some(()) => Ok(text),
        None => misfit("no such year"),
    }
}

/// Cuts what is finer than so many digits of a second; none before the first microsecond that there is.
fn cut(micros: i64, digits: u32) -> Option<i64> {
    let unit = 10_i64.pow(6 - digits.min(6));
    micros.checked_sub(micros.rem_euclid(unit))
}

fn clock(micros: i64, digits: u32) -> String {
    let mut text = String::with_capacity(18);
    // Microseconds of a day are far from the first.
    datetime::time(cut(micros, digits).unwrap_or(micros), &mut text);
    text
}
