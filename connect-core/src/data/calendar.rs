//! Dates as `java.util.GregorianCalendar` counts them, in UTC: Julian before 1582-10-15, and lenient when read.

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;
/// 1582-10-15, the first day of the Gregorian calendar, in days since the epoch.
const CUTOVER: i64 = -141_427;

/// A day of the calendar; the year before 1 is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    /// From 1.
    pub(crate) day: i64,
}

/// The calendar's day, so many days after 1970-01-01.
pub(crate) fn civil(days: i64) -> Civil {
    // Years begin in March, so that the leap day is the last of a year.
    let (cycle_start, day_of_cycle, gregorian) = if days >= CUTOVER {
        let shifted = days + 719_468;
        (shifted.div_euclid(146_097) * 400, shifted.rem_euclid(146_097), true)
    } else {
        let shifted = days + 719_470;
        (shifted.div_euclid(1461) * 4, shifted.rem_euclid(1461), false)
    };
    let d = day_of_cycle;
    let year_of_cycle = if gregorian {
        (d - d / 1460 + d / 36_524 - d / 146_096) / 365
    } else {
        (d - d / 1460) / 365
    };
    let centuries = if gregorian { year_of_cycle / 100 } else { 0 };
    let day_of_year = d - (365 * year_of_cycle + year_of_cycle / 4 - centuries);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = cycle_start + year_of_cycle + i64::from(month <= 2);
    Civil { year, month, day }
}

/// Days since 1970-01-01; months and days out of range count on into the neighbours.
pub(crate) fn days(civil: Civil) -> i64 {
    match civil.year {
        1583.. => gregorian(civil),
        ..=1581 => julian(civil),
        _ => {
            let days = gregorian(civil);
            if days >= CUTOVER { days } else { julian(civil) }
        }
    }
}

fn gregorian(civil: Civil) -> i64 {
    let (year, day_of_year) = march(civil);
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    cycle * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468
}

fn julian(civil: Civil) -> i64 {
    let (year, day_of_year) = march(civil);
    let (cycle, year) = (year.div_euclid(4), year.rem_euclid(4));
    cycle * 1461 + year * 365 + day_of_year - 719_470
}

/// The year that begins in March, and the day in it.
fn march(Civil { year, month, day }: Civil) -> (i64, i64) {
    let months = year * 12 + month - 3;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
    (year, (153 * month + 2) / 5 + day - 1)
}

/// Reads `text` as `SimpleDateFormat` does with this pattern, in milliseconds since the epoch: fields may be short,
/// long, negative or out of range, and what follows the last one is not looked at.
///
/// The pattern's letters are fields, whatever their number; anything else stands for itself, `T` and `Z` too.
pub(crate) fn parse(pattern: &str, text: &str) -> Option<i64> {
    let mut rest = text;
    let (mut date, mut millis) = (Civil { year: 1970, month: 1, day: 1 }, 0);
    let mut previous = None;
    for letter in pattern.chars() {
        if previous == Some(letter) {
            continue;
        }
        previous = Some(letter);
        let scale = match letter {
            'y' | 'M' | 'd' => 0,
            'H' => 3_600_000,
            'm' => 60_000,
            's' => 1000,
            'S' => 1,
            literal => {
                rest = rest.strip_prefix(literal)?;
                continue;
            }
        };
        let (value, after) = number(rest.trim_start_matches([' ', '\t']))?;
        rest = after;
        match letter {
            'y' => date.year = value,
            'M' => date.month = value,
            'd' => date.day = value,
            _ => millis += value * scale,
        }
    }
    Some(days(date) * DAY + millis)
}

/// A number as `DecimalFormat` reads integers, exponent included, cut to 32 bits.
pub(crate) fn number(text: &str) -> Option<(i64, &str)> {
    let (negative, digits, rest) = digits(text)?;
    let integer = digits.parse::<i64>().ok();
    if let Some((minus, exponent, after)) = rest.strip_prefix('E').and_then(self::digits) {
        let exponent = exponent.parse::<i32>().unwrap_or(i32::MAX);
        let power = 10f64.powi(if minus { -exponent } else { exponent });
        let value = digits.parse::<f64>().ok()? * power;
        let value = i64::from((if negative { -value } else { value }) as i32);
        return Some((value, after));
    }
    let value = match integer {
        Some(integer) => i64::from((if negative { -integer } else { integer }) as i32),
        None => i64::from(if negative { i32::MIN } else { i32::MAX }),
    };
    Some((value, rest))
}

fn digits(text: &str) -> Option<(bool, &str, &str)> {
    let unsigned = text.strip_prefix('-');
    let (negative, text) = (unsigned.is_some(), unsigned.unwrap_or(text));
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| (negative, &text[..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_round_trip_over_both_calendars() {
        for (day, (year, month, date)) in [
            (0, (1970, 1, 1)),
            (18_262, (2020, 1, 1)),
            (11_016, (2000, 2, 29)),
            (-141_427, (1582, 10, 15)),
            (-141_428, (1582, 10, 4)),
            (-719_164, (1, 1, 1)),
        ] {
            let expected = Civil { year, month, day: date };
            assert_eq!((civil(day), days(expected)), (expected, day));
        }
        for day in (-1_000_000..1_000_000).step_by(17) {
            assert_eq!(days(civil(day)), day);
        }
    }
}
