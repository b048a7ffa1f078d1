//! `java.text.SimpleDateFormat` in UTC and English.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use super::date_parser;
use crate::data::calendar::{Civil, DAY, civil, days};

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The week begins on Sunday.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(super) const HALVES: [&str; 2] = ["AM", "PM"];
pub(super) const ERAS: [&str; 2] = ["BC", "AD"];

/// A pattern, read once.
pub(super) struct SimpleDateFormat {
    pattern: String,
    items: Vec<Item>,
    /// Two digits of a year mean one of the hundred years from here.
    century: i64,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A letter, and how often it is repeated.
    Field(char, usize),
    /// Text that stands for itself.
    Literal(String),
}

impl SimpleDateFormat {
    /// Reads a pattern. The error is the JVM's message.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let items = items(pattern)?;
        // Before 1970 no computer runs us.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let today = civil(now as i64 / DAY);
        let century = days(Civil { year: today.year - 80, ..today }) * DAY + now as i64 % DAY;
        Ok(Self { pattern: pattern.to_owned(), items, century })
    }
    /// The pattern.
    pub(super) fn pattern(&self) -> &str {
        &self.pattern
    }
    /// Reads milliseconds since the epoch, leniently; what follows is not looked at.
    pub(super) fn parse(&self, text: &str) -> Option<i64> {
        date_parser::parse(&self.items, text, self.century)
    }
    /// Writes milliseconds since the epoch.
    pub(super) fn format(&self, millis: i64) -> String {
        let mut out = String::with_capacity(self.pattern.len());
        let moment = Moment::new(millis);
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Field(letter, count) => moment.write(*letter, *count, &mut out),
            }
        }
        out
    }
}

fn items(pattern: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let literal = |items: &mut Vec<Item>, c: char| match items.last_mut() {
        Some(Item::Literal(text)) => text.push(c),
        _ => items.push(Item::Literal(c.into())),
    };
    let (mut chars, mut quoted) = (pattern.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.next_if_eq(&'\'').is_some() => literal(&mut items, '\''),
            '\'' => quoted = !quoted,
            c if quoted || !c.is_ascii_alphabetic() => literal(&mut items, c),
            c if "GyYMLwWDdFEuaHkKhmsSzZX".contains(c) => {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if c == 'X' && count > 3 {
                    return Err(format!("invalid ISO 8601 format: length={count}"));
                }
                items.push(Item::Field(c, count));
            }
            c => return Err(format!("Illegal pattern character '{c}'")),
        }
    }
    if quoted { Err("Unterminated quote".to_owned()) } else { Ok(items) }
}

/// Sunday is 0.
fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

/// A point in time, taken apart.
struct Moment {
    day: i64,
    date: Civil,
    /// Milliseconds since midnight.
    time: i64,
}

impl Moment {
    fn new(millis: i64) -> Self {
        let day = millis.div_euclid(DAY);
        Self { day, date: civil(day), time: millis.rem_euclid(DAY) }
    }

    fn new_year(&self, year: i64) -> i64 {
        days(Civil { year, month: 1, day: 1 })
    }

    /// Year and number of the week; the first is that of January 1st.
    fn week(&self) -> (i64, i64) {
        let Civil { year, .. } = self.date;
        let next = self.new_year(year + 1);
        if self.day - weekday(self.day) + 7 > next {
            return (year + 1, 1);
        }
        let first = self.new_year(year);
        (year, (self.day - first + weekday(first)) / 7 + 1)
    }

    fn write(&self, letter: char, count: usize, out: &mut String) {
        let hour = self.time / 3_600_000;
        let number = match letter {
            'y' if self.date.year > 0 => year(self.date.year, count),
            'y' => year(1 - self.date.year, count),
            'Y' => year(self.week().0, count),
            'M' | 'L' if count > 2 => return name(&MONTHS, self.date.month - 1, count, out),
            'M' | 'L' => self.date.month,
            'w' => self.week().1,
            'W' => {
                let first = self.day - self.date.day + 1;
                (self.date.day - 1 + weekday(first)) / 7 + 1
            }
            'D' => self.day - self.new_year(self.date.year) + 1,
            'd' => self.date.day,
            'F' => (self.date.day - 1) / 7 + 1,
            'E' => return name(&WEEKDAYS, weekday(self.day), count, out),
            'u' => (self.day + 3).rem_euclid(7) + 1,
            'H' => hour,
            'k' if hour == 0 => 24,
            'k' => hour,
            'K' => hour % 12,
            'h' if hour % 12 == 0 => 12,
            'h' => hour % 12,
            'm' => self.time / 60_000 % 60,
            's' => self.time / 1000 % 60,
            'S' => self.time % 1000,
            'G' => return out.push_str(ERAS[usize::from(self.date.year > 0)]),
            'a' => return out.push_str(HALVES[usize::from(hour >= 12)]),
            'z' if count > 3 => return out.push_str("Coordinated Universal Time"),
            'z' => return out.push_str("UTC"),
            'Z' => return out.push_str("+0000"),
            // X, the only letter left.
            _ => return out.push('Z'),
        };
        let (sign, width) = if number < 0 { (1, count.max(1)) } else { (0, count) };
        let width = if matches!(letter, 'y' | 'Y') && count == 2 { 2 } else { width };
        // A string grows as needed: writing cannot fail.
        let _ = write!(out, "{number:0width$}", width = width + sign);
    }
}

fn year(year: i64, count: usize) -> i64 {
    if count == 2 { year % 100 } else { year }
}

fn name(names: &[&str], at: i64, count: usize, out: &mut String) {
    let name = names.get(at as usize).copied().unwrap_or_default();
    out.push_str(if count < 4 { &name[..3] } else { name });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_are_none() {
        let error = |pattern| SimpleDateFormat::new(pattern).err().unwrap();
        assert_eq!(error("yyyy-b"), "Illegal pattern character 'b'");
        assert_eq!(error("'x"), "Unterminated quote");
        assert_eq!(error("XXXX"), "invalid ISO 8601 format: length=4");
        assert!(SimpleDateFormat::new("").is_ok());
    }

    #[test]
    fn two_digits_of_a_year_mean_one_around_now() {
        let format = SimpleDateFormat::new("yy-MM-dd").unwrap();
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 / DAY * DAY;
        let text = format.format(now);
        assert_eq!(format.parse(&text), Some(now));
        let this = civil(now / DAY).year;
        let before = format!("{:02}-01-01", (this - 70) % 100);
        let expected = days(Civil { year: this - 70, month: 1, day: 1 }) * DAY;
        assert_eq!(format.parse(&before), Some(expected));
    }
}
