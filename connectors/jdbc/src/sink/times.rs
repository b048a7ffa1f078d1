//! Dates and times as what a column takes: they are cut to its digits, as the JVM's drivers do.

use connect_core::data::Value;

use super::{
    cell::{Cells, Fit, Format, form, misfit},
    keys::{DateZone, TimestampPrecision},
    numbers::integer,
    table::Kind,
};
use crate::datetime::{self, DAY};

/// Longest time, in microseconds: 838:59:59.
const LONGEST_TIME: i64 = 3_020_399_000_000;

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

/// The microseconds of milliseconds since midnight; the midnight after a day is one of its times.
pub(super) fn of_day(millis: i64) -> Fit<i64> {
    match (0..=DAY / 1000).contains(&millis) {
        true => Ok(millis * 1000),
        false => misfit("no milliseconds since midnight"),
    }
}

/// Whether these milliseconds are how the JVM's driver and ours write `infinity` and `-infinity`.
pub(super) fn is_infinite_millis(millis: i64) -> bool {
    [datetime::INFINITE_MILLIS.0, datetime::INFINITE_MILLIS.1].contains(&millis)
}

/// A date without end.
pub(super) fn infinite(future: bool, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let text = if future { "infinity" } else { "-infinity" };
    match kind {
        Kind::Date | Kind::DateTime { .. } if format.infinity => out.text(text),
        Kind::Date | Kind::DateTime { .. } => return misfit("no such year: infinity"),
        _ => return form(text, kind, format, out, "infinity"),
    }
    Ok(())
}

pub(super) fn date(days: i32, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    if matches!(kind, Kind::Integer(..)) {
        return integer(days.into(), kind, format, out);
    }
    if [datetime::INFINITE_DAYS.0, datetime::INFINITE_DAYS.1].contains(&days) {
        return infinite(days > 0, kind, format, out);
    }
    let mut days = i64::from(days);
    // As `java.sql.Date` with the zone's calendar: midnight UTC, seen from there.
    if format.dates == DateZone::DbTimezone && !format.zone.is_utc() {
        match days.checked_mul(DAY) {
            Some(midnight) => days = format.zone.local(midnight).div_euclid(DAY),
            None => return misfit("no such year"),
        }
    }
    day(gregorian(days, format)?, kind, format, out)
}

/// A day that has neither a zone nor the Julian calendar.
pub(super) fn civil_date(days: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let (first, last) =
        (i64::from(datetime::INFINITE_DAYS.0), i64::from(datetime::INFINITE_DAYS.1));
    match days == first || days == last {
        true => infinite(days > 0, kind, format, out),
        false => day(days, kind, format, out),
    }
}

fn day(days: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let mut text = String::with_capacity(32);
    let written = match kind {
        Kind::Year => match datetime::first_of_year(days) {
            Some(year) => return integer(year, kind, format, out),
            None => return misfit("not the first day of a year"),
        },
        Kind::DateTime { instant: true, digits } => match days.checked_mul(DAY) {
            Some(midnight) => {
                out.text(&instant(midnight, *digits, format)?);
                return Ok(());
            }
            None => None,
        },
        Kind::DateTime { .. } => days
            .checked_mul(DAY)
            .and_then(|midnight| datetime::datetime(midnight, format.years, "", &mut text)),
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
    // As `java.sql.Time`: a time of the day 1970-01-01. The midnight after a day is that in every zone.
    let local = match micros {
        DAY => DAY,
        _ => format.zone.local(micros).rem_euclid(DAY),
    };
    match kind {
        Kind::Time { instant: true, digits } => out.text(&(clock(micros, *digits) + format.utc)),
        Kind::Time { instant: false, digits } => out.text(&clock(local, *digits)),
        _ => return form(&clock(local, 6), kind, format, out, "a time of day"),
    }
    Ok(())
}

/// A time that clocks show, whatever the zone; or where the database has such, one that no clock shows.
pub(super) fn civil_time(micros: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let long = format.long_times && matches!(kind, Kind::Time { instant: false, .. });
    match kind {
        _ if !(0..=DAY).contains(&micros) && !long => return misfit("no time of day"),
        Kind::Time { instant: true, digits } if micros < DAY => {
            let utc = format.zone.instant(micros).rem_euclid(DAY);
            out.text(&(clock(utc, *digits) + format.utc));
        }
        Kind::Time { instant: true, .. } => out.text(&(clock(micros, 0) + format.utc)),
        Kind::Time { instant: false, digits } => {
            if micros.abs() > LONGEST_TIME {
                return misfit("a time of more than 838:59:59");
            }
            let sign = if micros < 0 { "-" } else { "" };
            out.text(&(sign.to_owned() + &clock(micros.abs(), *digits)));
        }
        _ => return form(&clock(micros, 6), kind, format, out, "a time of day"),
    }
    Ok(())
}

/// What clocks show in an unknown place, in microseconds since 1970.
pub(super) fn civil_timestamp(
    micros: i64,
    kind: &Kind,
    format: &Format,
    out: &mut impl Cells,
) -> Fit {
    let (first, last) = datetime::INFINITE_MILLIS;
    if micros == first || micros == last {
        return infinite(micros > 0, kind, format, out);
    }
    let text = match kind {
        Kind::DateTime { instant: true, digits } => {
            instant(format.zone.instant(micros), *digits, format)?
        }
        Kind::DateTime { instant: false, digits } => shown(micros, *digits, "", format)?,
        _ => {
            let text = shown(micros, 6, "", format)?;
            return form(&text, kind, format, out, "a timestamp");
        }
    };
    out.text(&text);
    Ok(())
}

/// An instant, in milliseconds since the epoch.
pub(super) fn millis(millis: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    match millis.checked_mul(1000) {
        Some(micros) => timestamp(micros, kind, format, out),
        None if is_infinite_millis(millis) => infinite(millis > 0, kind, format, out),
        None => misfit("no such year"),
    }
}

/// An instant, in microseconds since the epoch.
pub(super) fn timestamp(micros: i64, kind: &Kind, format: &Format, out: &mut impl Cells) -> Fit {
    let micros = gregorian_micros(micros, format)?;
    let text = match kind {
        Kind::DateTime { instant: true, digits } => instant(micros, *digits, format)?,
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
        let Some((micros, shift)) = datetime::parse_clock(text) else {
            let long = datetime::parse_time(text).filter(|_| format.long_times);
            return match long {
                Some(micros) => civil_time(micros, kind, format, out),
                None => other(text, format, out, "not a time of day"),
            };
        };
        return match shift {
            None => civil_time(micros, kind, format, out),
            Some(0) if micros == DAY => time(micros, kind, format, out),
            Some(_) if micros == DAY => misfit("24:00:00 of another zone than UTC"),
            Some(shift) => time((micros - shift).rem_euclid(DAY), kind, format, out),
        };
    }
    if format.infinity && matches!(text, "infinity" | "-infinity") {
        out.text(text);
        return Ok(());
    }
    let Some(parsed) = datetime::parse(text) else {
        // What the source of MySQL makes of a date such as 2021-02-00: whether it may be there is the server's to say.
        if format.long_times && datetime::is_partial(text) {
            out.text(text);
            return Ok(());
        }
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
        Kind::DateTime { instant: true, digits } => {
            let micros = match parsed.with_zone {
                true => parsed.micros,
                false => format.zone.instant(parsed.micros),
            };
            instant(micros, *digits, format)?
        }
        Kind::DateTime { digits, .. } => {
            let micros = match parsed.with_zone {
                true => format.zone.local(parsed.micros),
                false => parsed.micros,
            };
            shown(micros, *digits, "", format)?
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
    let (first, last) = datetime::INFINITE_MILLIS;
    if number == first || number == last {
        return infinite(number > 0, kind, format, out);
    }
    let micros = match format.unit {
        TimestampPrecision::Microseconds => number,
        TimestampPrecision::Nanoseconds => number.div_euclid(1000),
    };
    timestamp(micros, kind, format, out)
}

/// An instant with so many digits, in the zone that the database reads it in.
fn instant(micros: i64, digits: u32, format: &Format) -> Fit<String> {
    let local = format.instants.local(micros);
    match format.instants.instant(local) == micros {
        true => shown(local, digits, format.utc, format),
        false => misfit("an hour that the session's time zone has twice"),
    }
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
