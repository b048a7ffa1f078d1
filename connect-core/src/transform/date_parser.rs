//! `SimpleDateFormat.parse`: text to fields, and fields to a point in time as a lenient `GregorianCalendar` computes it.

use super::simple_date_format::{ERAS, HALVES, Item, MONTHS, WEEKDAYS};
use crate::data::calendar::{self, Civil, DAY, days};

/// A field of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Era,
    Year,
    WeekYear,
    /// From 0.
    Month,
    WeekOfYear,
    WeekOfMonth,
    DayOfYear,
    DayOfMonth,
    WeekdayInMonth,
    /// Sunday is 1.
    Weekday,
    Half,
    Hour12,
    Hour24,
    Minute,
    Second,
    Millisecond,
    /// Milliseconds east of Greenwich, of a zone with a name.
    NamedZone,
    /// Milliseconds east of Greenwich, which count more.
    Zone,
}

const FIELDS: usize = 18;

/// What was read: a value and when it was set, of which the latest counts where fields contradict each other.
#[derive(Default)]
struct Fields {
    values: [Option<(i64, u32)>; FIELDS],
    clock: u32,
}

impl Fields {
    fn set(&mut self, field: Field, value: i64) {
        self.clock += 1;
        self.values[field as usize] = Some((value, self.clock));
    }
    fn get(&self, field: Field) -> Option<i64> {
        self.values[field as usize].map(|(value, _)| value)
    }
    /// 0 if it was not set.
    fn stamp(&self, field: Field) -> u32 {
        self.values[field as usize].map_or(0, |(_, stamp)| stamp)
    }
    /// The later one, if both were set.
    fn stamp_of_both(&self, one: Field, other: Field) -> u32 {
        match (self.stamp(one), self.stamp(other)) {
            (0, _) | (_, 0) => 0,
            (one, other) => one.max(other),
        }
    }
}

/// Reads milliseconds since the epoch; `century` is the first moment that a year of two digits can mean.
pub(super) fn parse(items: &[Item], text: &str, century: i64) -> Option<i64> {
    let (mut fields, mut rest, mut ambiguous) = (Fields::default(), text, false);
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Item::Field(letter, count) => {
                let next = items.get(at + 1);
                let reader = Reader { letter: *letter, count: *count, abuts: abuts(next), century };
                rest = reader.read(rest, &mut fields, &mut ambiguous)?;
            }
        }
    }
    let millis = fields.millis();
    if ambiguous && millis < century {
        let year = fields.get(Field::Year).unwrap_or(1970);
        fields.set(Field::Year, year + 100);
        return Some(fields.millis());
    }
    Some(millis)
}

/// Whether the number before this item ends after as many digits as it has letters.
fn abuts(next: Option<&Item>) -> bool {
    match next {
        Some(Item::Field('M' | 'L', count)) => *count <= 2,
        Some(Item::Field(letter, _)) => !"GEazZX".contains(*letter),
        _ => false,
    }
}

struct Reader {
    letter: char,
    count: usize,
    abuts: bool,
    century: i64,
}

impl Reader {
    /// Reads a field, and returns what follows.
    fn read<'t>(
        &self,
        text: &'t str,
        fields: &mut Fields,
        ambiguous: &mut bool,
    ) -> Option<&'t str> {
        let trimmed = text.trim_start_matches([' ', '\t']);
        if trimmed.is_empty() {
            return None;
        }
        let field = match self.letter {
            'G' => return named(text, &ERAS, fields, Field::Era, 0),
            'M' | 'L' if self.count > 2 => return named(text, &MONTHS, fields, Field::Month, 0),
            'E' => return named(text, &WEEKDAYS, fields, Field::Weekday, 1),
            'a' => return named(text, &HALVES, fields, Field::Half, 0),
            'z' | 'Z' => return zone(trimmed, fields),
            'X' => return iso_zone(trimmed, self.count, fields),
            'y' => Field::Year,
            'Y' => Field::WeekYear,
            'M' | 'L' => Field::Month,
            'w' => Field::WeekOfYear,
            'W' => Field::WeekOfMonth,
            'D' => Field::DayOfYear,
            'd' => Field::DayOfMonth,
            'F' => Field::WeekdayInMonth,
            'u' => Field::Weekday,
            'H' | 'k' => Field::Hour24,
            'K' | 'h' => Field::Hour12,
            'm' => Field::Minute,
            's' => Field::Second,
            _ => Field::Millisecond,
        };
        let (value, rest) = self.number(text, trimmed)?;
        let value = match self.letter {
            'y' | 'Y' => {
                let digits = &trimmed[..trimmed.len() - rest.len()];
                let short = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
                if self.count <= 2 && short {
                    let first = calendar::civil(self.century.div_euclid(DAY)).year;
                    *ambiguous = value == first % 100;
                    first / 100 * 100 + value + if value < first % 100 { 100 } else { 0 }
                } else {
                    value
                }
            }
            'M' | 'L' => value - 1,
            'k' if value == 24 => 0,
            'h' if value == 12 => 0,
            // Monday is 1 here, and what is no weekday is lenient too.
            'u' if (1..=7).contains(&value) => value % 7 + 1,
            _ => value,
        };
        fields.set(field, value);
        Some(rest)
    }

    fn number<'t>(&self, text: &'t str, trimmed: &'t str) -> Option<(i64, &'t str)> {
        if !self.abuts {
            return calendar::number(trimmed);
        }
        // White space counts among the digits.
        let end = text.char_indices().nth(self.count).map_or(text.len(), |(at, _)| at);
        if text.chars().count() < self.count {
            return None;
        }
        let blank = text.len() - trimmed.len();
        let (value, rest) = calendar::number(text.get(blank..end)?)?;
        Some((value, &text[end - rest.len()..]))
    }
}

/// Reads the longest of these names, or of their first three letters, in any case.
fn named<'t>(
    text: &'t str,
    names: &[&str],
    fields: &mut Fields,
    field: Field,
    first: i64,
) -> Option<&'t str> {
    let both = names
        .iter()
        .zip(first..)
        .flat_map(|(name, value)| [(*name, value), (&name[..name.len().min(3)], value)]);
    let (name, value) =
        both.filter(|(name, _)| starts_with(text, name)).max_by_key(|(name, _)| name.len())?;
    fields.set(field, value);
    Some(&text[name.len()..])
}

/// `GMT+hh:mm`, `+hhmm`, or a name.
fn zone<'t>(text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    if let Some(rest) = text.strip_prefix(['+', '-']) {
        return offset(rest, text.starts_with('-'), 0, false, fields);
    }
    if starts_with(text, "GMT") {
        let rest = &text[3..];
        if let Some(digits) = rest.strip_prefix(['+', '-']) {
            return offset(digits, rest.starts_with('-'), 0, true, fields);
        }
        fields.set(Field::Zone, 0);
        return Some(rest);
    }
    const NAMES: [(&str, i64); 10] = [
        ("Coordinated Universal Time", 0),
        ("UTC", 0),
        ("EST", -5),
        ("EDT", -4),
        ("CST", -6),
        ("CDT", -5),
        ("MST", -7),
        ("MDT", -6),
        ("PST", -8),
        ("PDT", -7),
    ];
    let (name, hours) = NAMES.iter().find(|(name, _)| starts_with(text, name))?;
    if *hours != 0 {
        // As the JVM, which forgets an offset when it reads a name that is not of summer and winter alike.
        fields.values[Field::Zone as usize] = None;
    }
    fields.set(Field::NamedZone, hours * 3_600_000);
    Some(&text[name.len()..])
}

/// In any case.
fn starts_with(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// `Z`, or as many digits as there are letters: `+hh`, `+hhmm`, `+hh:mm`.
fn iso_zone<'t>(text: &'t str, count: usize, fields: &mut Fields) -> Option<&'t str> {
    if let Some(rest) = text.strip_prefix('Z') {
        fields.set(Field::Zone, 0);
        return Some(rest);
    }
    let rest = text.strip_prefix(['+', '-'])?;
    offset(rest, text.starts_with('-'), count, count == 3, fields)
}

fn offset<'t>(
    text: &'t str,
    negative: bool,
    count: usize,
    colon: bool,
    fields: &mut Fields,
) -> Option<&'t str> {
    let digit = |at: usize| {
        let byte = text.as_bytes().get(at).filter(|byte| byte.is_ascii_digit())?;
        Some(i64::from(byte - b'0'))
    };
    let (mut hours, mut at) = (digit(0)?, 1);
    match digit(1) {
        Some(second) => {
            hours = hours * 10 + second;
            at = 2;
        }
        // One digit is enough before a colon only, and not in ISO 8601.
        None if count > 0 || !colon => return None,
        None => {}
    }
    let mut minutes = 0;
    if count != 1 {
        if colon {
            text[at..].strip_prefix(':')?;
            at += 1;
        }
        minutes = digit(at)? * 10 + digit(at + 1)?;
        at += 2;
    }
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = (hours * 60 + minutes) * 60_000;
    fields.set(Field::Zone, if negative { -east } else { east });
    Some(&text[at..])
}

/// The last day that is no later and of this weekday; Sunday is 1.
fn on_or_before(day: i64, weekday: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    day - (day + 5 - weekday).rem_euclid(7)
}

/// The Sunday with which the first week begins: that of the first day.
fn first_week(first_day: i64) -> i64 {
    on_or_before(first_day, 1)
}

impl Fields {
    fn millis(&self) -> i64 {
        let get = |field, default| self.get(field).unwrap_or(default);
        let both = self.stamp_of_both(Field::Hour12, Field::Half);
        let hour24 = self.stamp(Field::Hour24);
        let hours = if hour24 > 0 && hour24 >= both {
            get(Field::Hour24, 0)
        } else {
            get(Field::Hour12, 0) + 12 * get(Field::Half, 0)
        };
        let minutes = hours * 60 + get(Field::Minute, 0);
        let seconds = minutes * 60 + get(Field::Second, 0);
        let time = seconds * 1000 + get(Field::Millisecond, 0);
        let zone = self.get(Field::Zone).unwrap_or(get(Field::NamedZone, 0));
        // As in Java, what is too large wraps.
        self.day().wrapping_mul(DAY).wrapping_add(time - zone)
    }

    /// The year, counted through the eras.
    fn year_of(&self, field: Field) -> i64 {
        let year = self.get(field).unwrap_or(1970);
        if self.get(Field::Era) == Some(0) { 1 - year } else { year }
    }

    /// The day, by the fields that were set last.
    fn day(&self) -> i64 {
        if self.stamp(Field::WeekYear) > self.stamp(Field::Year) {
            return self.day_of_week_year();
        }
        let year = self.year_of(Field::Year);
        let (weekday, month) = (self.stamp(Field::Weekday), self.stamp(Field::Month));
        let stamp = |field| self.stamp(field);
        let mut day_of_month = stamp(Field::DayOfMonth);
        let mut week_of_month = self.stamp_of_both(Field::WeekOfMonth, Field::Weekday);
        let mut weekday_in_month = self.stamp_of_both(Field::WeekdayInMonth, Field::Weekday);
        let day_of_year = stamp(Field::DayOfYear);
        let mut week_of_year = self.stamp_of_both(Field::WeekOfYear, Field::Weekday);
        let all = [day_of_month, week_of_month, weekday_in_month, day_of_year, week_of_year];
        let mut best = all.into_iter().max().unwrap_or(0);
        if best == 0 {
            // A weekday alone is the first of its kind in the month.
            week_of_month = stamp(Field::WeekOfMonth);
            weekday_in_month = stamp(Field::WeekdayInMonth).max(weekday);
            week_of_year = stamp(Field::WeekOfYear);
            best = week_of_month.max(weekday_in_month).max(week_of_year);
            if best == 0 {
                day_of_month = month;
                best = month;
            }
        }
        let year_has_week = stamp(Field::WeekOfYear);
        let in_month = best == day_of_month
            || (best == week_of_month && stamp(Field::WeekOfMonth) >= year_has_week)
            || (best == weekday_in_month && stamp(Field::WeekdayInMonth) >= year_has_week);
        if !in_month {
            return self.day_of_year(year, best == day_of_year);
        }
        let month = Civil { year, month: self.get(Field::Month).unwrap_or(0) + 1, day: 1 };
        let first = days(month);
        if best == day_of_month {
            let day = self.get(Field::DayOfMonth).filter(|_| stamp(Field::DayOfMonth) > 0);
            return first + day.unwrap_or(1) - 1;
        }
        let by_week = if week_of_month == weekday_in_month {
            stamp(Field::WeekOfMonth) >= stamp(Field::WeekdayInMonth)
        } else {
            best == week_of_month
        };
        let weekday = self.get(Field::Weekday).unwrap_or(1);
        if by_week {
            let week = self.get(Field::WeekOfMonth).unwrap_or(1);
            return on_or_before(first_week(first) + 6, weekday) + 7 * (week - 1);
        }
        let nth = self.get(Field::WeekdayInMonth).unwrap_or(1);
        if nth >= 0 {
            return on_or_before(first + 7 * nth - 1, weekday);
        }
        let length = days(Civil { month: month.month + 1, ..month }) - first;
        on_or_before(first + length + 7 * (nth + 1) - 1, weekday)
    }

    fn day_of_year(&self, year: i64, by_day: bool) -> i64 {
        let first = days(Civil { year, month: 1, day: 1 });
        if by_day {
            return first + self.get(Field::DayOfYear).unwrap_or(1) - 1;
        }
        let weekday = self.get(Field::Weekday).unwrap_or(1);
        let week = self.get(Field::WeekOfYear).unwrap_or(1);
        on_or_before(first_week(first) + 6, weekday) + 7 * (week - 1)
    }

    fn day_of_week_year(&self) -> i64 {
        let year = self.year_of(Field::WeekYear);
        let first = first_week(days(Civil { year, month: 1, day: 1 }));
        let mut week = self.get(Field::WeekOfYear).unwrap_or(1);
        let mut weekday = self.get(Field::Weekday).unwrap_or(1);
        if !(1..=7).contains(&weekday) {
            // Only the letter u gives such a day, of which Monday is 1.
            week += (weekday - 1).div_euclid(7);
            weekday = ((weekday - 1).rem_euclid(7) + 1) % 7 + 1;
        }
        first + 7 * (week - 1) + weekday - 1
    }
}
