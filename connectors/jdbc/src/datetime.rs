//! Days and microseconds as calendar text, and back.

use std::fmt::Write;

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// 0001-01-01 00:00:00, in microseconds since the epoch.
pub const FIRST_MICROS: i64 = -62_135_596_800_000_000;
/// 9999-12-31 23:59:59.999999, in microseconds since the epoch.
pub const LAST_MICROS: i64 = 253_402_300_799_999_999;
/// What the JVM's PostgreSQL driver makes of `-infinity` and `infinity`, in milliseconds since the epoch; Debezium has the
/// same numbers in microseconds.
pub const INFINITE_MILLIS: (i64, i64) = (-9_223_372_036_832_400_000, 9_223_372_036_825_200_000);
/// What stands for `-infinity` and `infinity` among days since the epoch.
pub const INFINITE_DAYS: (i32, i32) = (i32::MIN, i32::MAX);
/// 1582-10-15, the first day of the Gregorian calendar, in days since the epoch.
const CUTOVER: i64 = -141_427;

/// Which years a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Years {
    /// 0 to 9999.
    Four,
    /// Any; those before 1 are written as `BC`.
    Any,
}

/// Year, month and day of days since the epoch, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, u32, u32) {
    // Years that start in March make leap days the last of the year; eras of 400 years are alike.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let (month, day) = month(day_of_year);
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The same in the Julian calendar.
fn julian_civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_470;
    let era = shifted.div_euclid(1461);
    let day_of_era = shifted.rem_euclid(1461);
    let year_of_era = (day_of_era - day_of_era / 1460) / 365;
    let (month, day) = month(day_of_era - (365 * year_of_era + year_of_era / 4));
    (year_of_era + era * 4 + i64::from(month <= 2), month, day)
}

/// Month and day of a day of a year that starts in March.
fn month(day_of_year: i64) -> (u32, u32) {
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    (if month < 10 { month + 3 } else { month - 9 } as u32, day)
}

fn march(year: i64, month: u32, day: u32) -> (i64, i64) {
    let month_of_year = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_of_year + 2) / 5 + i64::from(day) - 1;
    (if month <= 2 { year - 1 } else { year }, day_of_year)
}

/// Days since the epoch; none for a day that doesn't exist.
pub fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    let (shifted, day_of_year) = march(year, month, day);
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// The year whose first day this is; none of any other day.
pub fn first_of_year(days: i64) -> Option<i64> {
    let (year, month, day) = civil(days);
    (month == 1 && day == 1).then_some(year)
}

/// The day that `java.util.GregorianCalendar` takes for the date that a database has: dates before 1582-10-15 are of
/// the Julian calendar to it.
pub fn to_legacy(days: i64) -> i64 {
    if days >= CUTOVER {
        return days;
    }
    let (year, month, day) = civil(days);
    let (shifted, day_of_year) = march(year, month, day);
    let (era, year_of_era) = (shifted.div_euclid(4), shifted.rem_euclid(4));
    era * 1461 + year_of_era * 365 + day_of_year - 719_470
}

/// The opposite of [`to_legacy`].
pub fn from_legacy(legacy: i64) -> i64 {
    if legacy >= CUTOVER {
        return legacy;
    }
    let (year, month, day) = julian_civil(legacy);
    // February 29th of a year that is a leap year to Caesar only.
    days(year, month, day).or_else(|| days(year, month, day - 1).map(|d| d + 1)).unwrap_or(legacy)
}

/// [`to_legacy`]; none of the ten days that were left out between the calendars, which would become others.
pub fn legacy(days: i64) -> Option<i64> {
    (!(CUTOVER - 10..CUTOVER).contains(&days)).then(|| to_legacy(days))
}

/// [`legacy`] of microseconds since the epoch.
pub fn legacy_micros(micros: i64) -> Option<i64> {
    Some(legacy(micros.div_euclid(DAY))? * DAY + micros.rem_euclid(DAY))
}

/// [`from_legacy`] of microseconds since the epoch.
pub fn from_legacy_micros(micros: i64) -> i64 {
    from_legacy(micros.div_euclid(DAY)) * DAY + micros.rem_euclid(DAY)
}

/// Writes `YYYY-MM-DD`; none outside the years that there are. True asks for ` BC` behind it.
fn day(days: i64, years: Years, out: &mut String) -> Option<bool> {
    let (year, month, day) = civil(days);
    let past = year < 1;
    match years {
        Years::Four => (0..=9999).contains(&year).then_some(())?,
        Years::Any => {}
    }
    let shown = if past && years == Years::Any { 1 - year } else { year };
    match u32::try_from(shown) {
        Ok(year @ ..=9999) => {
            two(year / 100, out);
            two(year % 100, out);
        }
        _ => write!(out, "{shown:04}").ok()?,
    }
    for part in [month, day] {
        out.push('-');
        two(part, out);
    }
    Some(past && years == Years::Any)
}

/// A number of two digits: the formatter takes longer for it than for all else of a date.
fn two(n: u32, out: &mut String) {
    for digit in [n / 10, n % 10] {
        out.push(char::from(b'0' + (digit % 10) as u8));
    }
}

/// `YYYY-MM-DD`; none outside the years that there are.
pub fn date(days: i64, years: Years, out: &mut String) -> Option<()> {
    if day(days, years, out)? {
        out.push_str(" BC");
    }
    Some(())
}

/// `HH:MM:SS.ffffff` of microseconds since midnight, of less than a thousand hours.
pub fn time(micros: i64, out: &mut String) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if let Some(hundreds) = u32::try_from(hours / 100).ok().and_then(|n| char::from_digit(n, 10))
        && hundreds != '0'
    {
        out.push(hundreds);
    }
    two((hours % 100) as u32, out);
    for part in [minutes, seconds % 60] {
        out.push(':');
        two(part as u32, out);
    }
    if fraction != 0 {
        out.push('.');
        for part in [fraction / 10_000, fraction / 100 % 100, fraction % 100] {
            two(part as u32, out);
        }
    }
}

/// `YYYY-MM-DD HH:MM:SS.ffffff` of microseconds since the epoch.
pub fn datetime(micros: i64, years: Years, zone: &str, out: &mut String) -> Option<()> {
    let past = day(micros.div_euclid(DAY), years, out)?;
    out.push(' ');
    time(micros.rem_euclid(DAY), out);
    out.push_str(zone);
    if past {
        out.push_str(" BC");
    }
    Some(())
}

/// `YYYY-MM-DDTHH:MM:SS.` and this many digits (at most 9).
pub fn iso(micros: i64, digits: usize, out: &mut String) -> Option<()> {
    day(micros.div_euclid(DAY), Years::Four, out)?;
    out.push('T');
    let of_day = micros.rem_euclid(DAY);
    time(of_day / 1_000_000 * 1_000_000, out);
    let nanos = format!("{:09}", of_day % 1_000_000 * 1000);
    out.push('.');
    out.push_str(nanos.get(..digits)?);
    Some(())
}

/// A date, perhaps with a time and a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Microseconds since the epoch: as clocks show it, or UTC if there is a zone.
    pub micros: i64,
    /// Whether there is a time.
    pub with_time: bool,
    /// Whether there is a zone.
    pub with_zone: bool,
}

/// Reads a date, or a date and time with or without zone, in ISO 8601 with `T` or a blank between. None for what is
/// neither.
pub fn parse(text: &str) -> Option<Parsed> {
    let text = text.trim();
    let (day, rest) = (text.get(..10)?, text.get(10..)?);
    let mut parts = day.split('-');
    let mut number = |width: usize| {
        let part = parts.next().filter(|part| part.len() == width)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u32>().ok())?
    };
    let (year, month, date) = (number(4)?, number(2)?, number(2)?);
    let days = days(i64::from(year), month, date)?;
    if rest.is_empty() {
        return Some(Parsed { micros: days * DAY, with_time: false, with_zone: false });
    }
    let (clock, shift) = zone(rest.strip_prefix(['T', ' '])?)?;
    let micros = clock_micros(clock)? - shift.unwrap_or(0) * 60_000_000;
    Some(Parsed { micros: days * DAY + micros, with_time: true, with_zone: shift.is_some() })
}

/// Whether a text is a date, perhaps with a time, of which the year, the month or the day is zero or the month has no
/// such day: no calendar has it, but MySQL may.
pub fn is_partial(text: &str) -> bool {
    let Some((day, rest)) = text.split_at_checked(10) else { return false };
    let digits =
        |part: &str, width| part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = day.split('-').collect();
    let [year, month, date] = parts.as_slice() else { return false };
    let clock =
        rest.is_empty() || rest.strip_prefix(' ').is_some_and(|c| clock_micros(c).is_some());
    clock
        && digits(year, 4)
        && digits(month, 2)
        && digits(date, 2)
        && *month <= "12"
        && *date <= "31"
}

/// Splits a zone off: what is before it, and its minutes east of UTC.
fn zone(clock: &str) -> Option<(&str, Option<i64>)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, Some(0)));
    }
    let Some(at) = clock.rfind(['+', '-']) else { return Some((clock, None)) };
    let (clock, zone) = clock.split_at(at);
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let minutes = match digits.len() {
        2 => digits.parse::<i64>().ok()? * 60,
        4 => digits.get(..2)?.parse::<i64>().ok()? * 60 + digits.get(2..)?.parse::<i64>().ok()?,
        _ => return None,
    };
    Some((clock.trim_end(), Some(if zone.starts_with('-') { -minutes } else { minutes })))
}

/// Reads `HH:MM[:SS[.f...]]` with or without a zone, 24:00:00 too: microseconds since midnight, and those that the zone is
/// east of UTC. None for what is no time of day.
pub fn parse_clock(text: &str) -> Option<(i64, Option<i64>)> {
    let (clock, shift) = zone(text)?;
    let micros = match clock.strip_prefix("24:00") {
        None => clock_micros(clock)?,
        Some(rest) if clock_micros(&format!("00:00{rest}")) == Some(0) => DAY,
        Some(_) => return None,
    };
    Some((micros, shift.map(|minutes| minutes * 60_000_000)))
}

/// Reads `[-]H...H:MM:SS[.f...]`, a time of any length, in microseconds.
pub fn parse_time(text: &str) -> Option<i64> {
    let (sign, clock) = text.strip_prefix('-').map_or((1, text), |clock| (-1, clock));
    let (hours, rest) = clock.split_once(':')?;
    if hours.is_empty() || hours.len() > 6 || !hours.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = hours.parse().ok()?;
    Some(sign * (hours * 3_600_000_000 + clock_micros(&format!("00:{rest}"))?))
}

/// Microseconds of `HH:MM[:SS[.f...]]`, finer digits cut.
pub fn clock_micros(clock: &str) -> Option<i64> {
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
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
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
    fn dates_of_the_julian_calendar_are_javas() {
        // new java.sql.Date of 1000-01-01 and 1582-10-04, in days.
        assert_eq!(to_legacy(days(1000, 1, 1).unwrap()), -354_280);
        assert_eq!(to_legacy(days(1582, 10, 4).unwrap()), -141_428);
        // Ten days are of one calendar only.
        for day in (-700_000..1000).filter(|day| !(CUTOVER - 10..CUTOVER).contains(day)) {
            assert_eq!(from_legacy(to_legacy(day)), day);
        }
        assert_eq!(legacy_micros(-141_427 * DAY + 5), Some(-141_427 * DAY + 5));
        // 1582-10-05 to 14 are of the Gregorian calendar alone.
        let own: Vec<i64> = (-141_500..-141_400).filter(|day| legacy(*day).is_none()).collect();
        assert_eq!(
            own,
            (days(1582, 10, 5).unwrap()..=days(1582, 10, 14).unwrap()).collect::<Vec<_>>()
        );
        assert_eq!(legacy_micros(-141_428 * DAY), None);
    }

    #[test]
    fn writes_what_databases_read() {
        let of = |micros, years| {
            let mut out = String::new();
            datetime(micros, years, "", &mut out).map(|()| out)
        };
        assert_eq!(of(1_614_834_367_123_000, Years::Four).unwrap(), "2021-03-04 05:06:07.123000");
        assert_eq!(of(-1000, Years::Four).unwrap(), "1969-12-31 23:59:59.999000");
        assert_eq!(of(FIRST_MICROS, Years::Four).unwrap(), "0001-01-01 00:00:00");
        assert_eq!(of(LAST_MICROS, Years::Four).unwrap(), "9999-12-31 23:59:59.999999");
        assert_eq!(of(i64::MAX, Years::Four), None);
        assert_eq!(of(FIRST_MICROS - 1, Years::Any).unwrap(), "0001-12-31 23:59:59.999999 BC");
        assert_eq!(of(LAST_MICROS + 1, Years::Any).unwrap(), "10000-01-01 00:00:00");
        let mut out = String::new();
        iso(1_614_834_367_123_456, 9, &mut out).unwrap();
        assert_eq!(out, "2021-03-04T05:06:07.123456000");
    }

    #[test]
    fn dates_that_no_calendar_has_are_known() {
        for partial in ["2021-02-00", "2021-00-00 05:06:07.5", "0000-00-00", "2021-02-30"] {
            assert!(is_partial(partial), "{partial}");
        }
        for none in
            ["2021-13-00", "2021-02-32", "2021-02-0x", "2021-2-00", "2021-02-00x", "é021-02-00", ""]
        {
            assert!(!is_partial(none), "{none}");
        }
    }

    #[test]
    fn times_are_read_and_written_beyond_a_day() {
        for (text, micros) in [
            ("838:59:59", 3_020_399_000_000),
            ("-01:00:00", -3_600_000_000),
            ("24:00:00", DAY),
            ("100:00:00.000001", 360_000_000_001),
            ("-00:00:00.5", -500_000),
        ] {
            assert_eq!(parse_time(text), Some(micros), "{text}");
            let mut shown = String::new();
            time(micros.abs(), &mut shown);
            assert!(text.trim_start_matches('-').trim_end_matches(".5").starts_with(&shown[..8]));
        }
        let hour = 3_600_000_000;
        assert_eq!(parse_clock("24:00:00.000"), Some((DAY, None)));
        assert_eq!(parse_clock("24:00+02"), Some((DAY, Some(2 * hour))));
        assert_eq!(parse_clock("01:00:00-03:30"), Some((hour, Some(-3 * hour - hour / 2))));
        for bad in ["24:00:01", "25:00:00", "1:00", "", "-1:00:00"] {
            assert_eq!(parse_clock(bad), None, "{bad}");
        }
        for bad in ["838:60:00", "x:00:00", ":00:00", "1", "12345678:00:00"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_what_people_write() {
        let of = |text| {
            let parsed = parse(text)?;
            let mut out = String::new();
            datetime(parsed.micros, Years::Four, "", &mut out).map(|()| (out, parsed))
        };
        for (text, expected, time, zone) in [
            ("2021-03-04", "2021-03-04 00:00:00", false, false),
            ("2021-03-04T05:06:07.123456Z", "2021-03-04 05:06:07.123456", true, true),
            ("2021-03-04 05:06+02:00", "2021-03-04 03:06:00", true, true),
            ("2021-03-04 01:00:00-0330", "2021-03-04 04:30:00", true, true),
            ("2021-01-01 00:30:00+01", "2020-12-31 23:30:00", true, true),
            ("2021-01-01 00:30:00", "2021-01-01 00:30:00", true, false),
        ] {
            let (written, parsed) = of(text).unwrap();
            assert_eq!(
                (written.as_str(), parsed.with_time, parsed.with_zone),
                (expected, time, zone)
            );
        }
        for bad in ["2021-02-30", "2021-3-4", "2021-03-04 25:00", "2021-03-04x", "é021-03-04", ""]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
