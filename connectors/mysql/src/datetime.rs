//! Days and milliseconds as calendar text, and back.

use std::fmt::Write;

const DAY_MILLIS: i64 = 86_400_000;

/// Year, month and day of days since the epoch, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, u32, u32) {
    // Years that start in March make leap days the last of the year; eras of 400 years are alike.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since the epoch; none for a day that doesn't exist.
fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_of_year = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_of_year + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// `YYYY-MM-DD`; none outside the years 0 to 9999, which MySQL doesn't have.
pub(crate) fn date(days: i64, out: &mut String) -> Option<()> {
    let (year, month, day) = civil(days);
    (0..=9999).contains(&year).then_some(())?;
    write!(out, "{year:04}-{month:02}-{day:02}").ok()
}

/// `HH:MM:SS.ffffff` of microseconds since midnight.
pub(crate) fn time(micros: i64, out: &mut String) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    // A String grows as needed: writing cannot fail.
    let _ = write!(out, "{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
    }
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` of milliseconds since the epoch.
pub(crate) fn datetime(millis: i64, out: &mut String) -> Option<()> {
    date(millis.div_euclid(DAY_MILLIS), out)?;
    out.push(' ');
    time(millis.rem_euclid(DAY_MILLIS) * 1000, out);
    Some(())
}

/// Reads a date, or a date and time with or without zone, and writes it as MySQL has it, in UTC. None for what is
/// neither.
pub(crate) fn normalise(text: &str, with_time: bool) -> Option<String> {
    let text = text.trim();
    let (day, rest) = (text.get(..10)?, text.get(10..)?);
    let mut parts = day.split('-');
    let mut number = |width: usize| {
        let part = parts.next().filter(|part| part.len() == width)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok())?
    };
    let (year, month, date_) = (number(4)?, number(2)?, number(2)?);
    let mut day_number = days(i64::from(year), month, date_)?;
    let mut micros = 0;
    if !rest.is_empty() {
        let clock = rest.strip_prefix(['T', ' '])?;
        let (clock, shift) = zone(clock)?;
        micros = clock_micros(clock)? - shift * 60_000_000;
        day_number += micros.div_euclid(DAY_MILLIS * 1000);
        micros = micros.rem_euclid(DAY_MILLIS * 1000);
    }
    let mut out = String::with_capacity(26);
    date(day_number, &mut out)?;
    if with_time {
        out.push(' ');
        time(micros, &mut out);
    } else if micros != 0 {
        return None;
    }
    Some(out)
}

/// Splits a zone off: what is before it, and its minutes east of UTC.
fn zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.rfind(['+', '-']) else { return Some((clock, 0)) };
    let (clock, zone) = clock.split_at(at);
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let minutes = match digits.len() {
        2 => digits.parse::<i64>().ok()? * 60,
        4 => digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?,
        _ => return None,
    };
    Some((clock.trim_end(), if zone.starts_with('-') { -minutes } else { minutes }))
}

/// Microseconds of `HH:MM[:SS[.f...]]`, finer digits cut.
pub(crate) fn clock_micros(clock: &str) -> Option<i64> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':').map(|part| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_a_thousand_years_round_trips() {
        for day in -500_000..500_000 {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), Some(day));
        }
        assert_eq!(days(2021, 2, 29), None);
    }

    #[test]
    fn writes_what_mysql_reads() {
        let mut out = String::new();
        datetime(1_614_834_367_123, &mut out).unwrap();
        assert_eq!(out, "2021-03-04 05:06:07.123000");
        out.clear();
        datetime(-1, &mut out).unwrap();
        assert_eq!(out, "1969-12-31 23:59:59.999000");
        out.clear();
        assert_eq!(datetime(i64::MAX, &mut out), None);
    }

    #[test]
    fn reads_what_people_write() {
        for (text, expected) in [
            ("2021-03-04", Some("2021-03-04 00:00:00")),
            ("2021-03-04T05:06:07.123456Z", Some("2021-03-04 05:06:07.123456")),
            ("2021-03-04 05:06+02:00", Some("2021-03-04 03:06:00")),
            ("2021-03-04 01:00:00-0330", Some("2021-03-04 04:30:00")),
            ("2021-01-01 00:30:00+01", Some("2020-12-31 23:30:00")),
            ("2021-02-30", None),
            ("2021-3-4", None),
            ("2021-03-04 25:00", None),
            ("2021-03-04x", None),
            ("é021-03-04", None),
            ("", None),
        ] {
            assert_eq!(normalise(text, true).as_deref(), expected, "{text}");
        }
        assert_eq!(normalise("2021-03-04 05:06:07", false), None, "a date must not lose its time");
    }
}
