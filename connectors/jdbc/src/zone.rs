//! Time zones: wall clocks and instants, in microseconds since the epoch.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// `java.time.ZoneId.SHORT_IDS` that are in use and not names of the time zone database.
const SHORT: &[(&str, &str)] = &[
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("EST", "-05:00"),
    ("MST", "-07:00"),
    ("HST", "-10:00"),
];

/// The zone of values that have none of their own.
#[derive(Debug, Clone)]
pub struct Zone {
    /// None is UTC.
    rules: Option<TimeZone>,
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self { rules: None };

    /// A zone as `java.time.ZoneId.of` knows it: `Europe/Paris`, `UTC`, `GMT+3`, `-03:30`, or one of Java's short ids.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.trim();
        let short = SHORT.iter().find(|(short, _)| *short == name);
        let name = short.map_or(name, |(_, long)| long);
        if matches!(name, "UTC" | "GMT" | "UT" | "Z" | "Etc/UTC" | "Etc/GMT") {
            return Some(Self::UTC);
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(seconds) = seconds(offset.unwrap_or(name)) {
            let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
            return Some(Self { rules: Some(TimeZone::fixed(offset)) });
        }
        Some(Self { rules: Some(TimeZone::get(name).ok()?) })
    }

    /// Whether this is UTC.
    pub fn is_utc(&self) -> bool {
        self.rules.is_none()
    }

    /// The instant at which clocks show this. As `java.util.GregorianCalendar`: a time that clocks show twice is the
    /// later, one that they skip is as much after the gap.
    pub fn instant(&self, local: i64) -> i64 {
        let Some(rules) = &self.rules else { return local };
        let instant = || {
            let clock = TimeZone::UTC.to_datetime(Timestamp::from_microsecond(local).ok()?);
            let instant = rules.to_ambiguous_timestamp(clock).later().ok()?;
            Some(instant.as_microsecond())
        };
        // Beyond the years that the rules are for.
        instant().unwrap_or(local)
    }

    /// The earliest that clocks show of which [`instant`](Self::instant) makes this: a time that clocks skip is the same as
    /// one after the gap.
    pub fn earliest(&self, instant: i64) -> i64 {
        /// Longer than any gap but those that skip a day.
        const BEFORE: i64 = 6 * 3_600_000_000;
        let shown = self.local(instant);
        let before = instant.saturating_sub(BEFORE);
        let skipped = instant.saturating_add(self.local(before) - before);
        if skipped < shown && self.instant(skipped) == instant { skipped } else { shown }
    }

    /// What clocks show at this instant.
    pub fn local(&self, instant: i64) -> i64 {
        let Some(rules) = &self.rules else { return instant };
        let local = || {
            let clock: DateTime = rules.to_datetime(Timestamp::from_microsecond(instant).ok()?);
            Some(TimeZone::UTC.to_timestamp(clock).ok()?.as_microsecond())
        };
        local().unwrap_or(instant)
    }
}

/// `+3`, `-03`, `+0330`, `-03:30` or `+03:30:15`.
fn seconds(offset: &str) -> Option<i32> {
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let text = &offset[1..];
    let digits = text.replace(':', "");
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 1 | 2 | 4 | 6) {
        return None;
    }
    let part =
        |range: std::ops::Range<usize>| digits.get(range).map_or(Some(0), |d| d.parse().ok());
    let hours: i32 = part(0..digits.len().min(2))?;
    let (minutes, seconds): (i32, i32) = (part(2..4)?, part(4..6)?);
    (hours <= 18 && minutes < 60 && seconds < 60)
        .then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn names_are_javas() {
        for (name, hours) in [
            ("UTC", 0),
            ("EST", -5),
            ("GMT+3", 3),
            ("-03:00", -3),
            ("America/Sao_Paulo", -3),
            ("JST", 9),
        ] {
            let zone = Zone::of(name).unwrap();
            let instant = 1_614_834_367_123_456;
            assert_eq!(zone.local(instant) - instant, hours * HOUR, "{name}");
            assert_eq!(zone.instant(zone.local(instant)), instant, "{name}");
        }
        for bad in ["Mars/Base", "", "+", "+99", "UTC+x"] {
            assert!(Zone::of(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn gaps_and_repeated_hours_are_as_in_java() {
        let zone = Zone::of("America/New_York").unwrap();
        // 2021-03-14 02:30 does not exist: 03:30 EDT. 2021-11-07 01:30 comes twice: the second, EST.
        assert_eq!(zone.instant(1_615_689_000_000_000), 1_615_707_000_000_000);
        assert_eq!(zone.instant(1_636_248_600_000_000), 1_636_266_600_000_000);
        // Both make 03:30 EDT: nothing after 02:30 was read for sure. Later there is no doubt.
        assert_eq!(zone.earliest(1_615_707_000_000_000), 1_615_689_000_000_000);
        assert_eq!(zone.earliest(1_615_712_400_000_000), zone.local(1_615_712_400_000_000));
    }

    #[test]
    fn what_no_calendar_has_passes_through() {
        let zone = Zone::of("America/Sao_Paulo").unwrap();
        assert_eq!(zone.instant(i64::MAX), i64::MAX);
        assert_eq!(zone.local(i64::MIN), i64::MIN);
    }
}
