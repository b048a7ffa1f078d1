//! Versions of plugins, and the ranges in which a configuration asks for them (KIP-891; Maven's notation).

use std::{cmp::Ordering, fmt};

/// A range of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    from: Option<(String, bool)>,
    to: Option<(String, bool)>,
}

/// Reads `latest`, a version, or a range such as `[1.0,2.0)`.
///
/// # Errors
/// In Maven's words, if it is none of these.
pub(crate) fn parse(text: &str) -> Result<Range, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("latest") {
        return Ok(Range { from: None, to: None });
    }
    let opening = text.chars().next().filter(|c| "[(".contains(*c));
    let closing = text.chars().last().filter(|c| "])".contains(*c));
    let (Some(opening), Some(closing)) = (opening, closing) else {
        if opening.is_some() || closing.is_some() {
            return Err(format!("Unbounded range: {text}"));
        }
        let exactly = Some((text.to_owned(), true));
        return Ok(Range { from: exactly.clone(), to: exactly });
    };
    let inner = &text[1..text.len() - 1];
    let bound = |version: &str, inclusive| match version.trim() {
        "" => None,
        version => Some((version.to_owned(), inclusive)),
    };
    match inner.split_once(',') {
        Some((from, to)) => {
            Ok(Range { from: bound(from, opening == '['), to: bound(to, closing == ']') })
        }
        None if opening == '[' && closing == ']' => {
            Ok(Range { from: bound(inner, true), to: bound(inner, true) })
        }
        None => Err(format!("Single version must be surrounded by []: {text}")),
    }
}

impl Range {
    pub(crate) fn contains(&self, version: &str) -> bool {
        let above = |(least, inclusive): &(String, bool)| match compare(version, least) {
            Ordering::Greater => true,
            Ordering::Equal => *inclusive,
            Ordering::Less => false,
        };
        let below = |(most, inclusive): &(String, bool)| match compare(version, most) {
            Ordering::Less => true,
            Ordering::Equal => *inclusive,
            Ordering::Greater => false,
        };
        self.from.as_ref().is_none_or(above) && self.to.as_ref().is_none_or(below)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (opening, from) = match &self.from {
            Some((version, true)) => ('[', version.as_str()),
            Some((version, false)) => ('(', version.as_str()),
            None => ('(', ""),
        };
        let (closing, to) = match &self.to {
            Some((version, true)) => (']', version.as_str()),
            Some((version, false)) => (')', version.as_str()),
            None => (')', ""),
        };
        write!(f, "{opening}{from},{to}{closing}")
    }
}

/// That no version of a class is in the range.
pub(crate) fn missing(class: &str, range: &Range, available: &str) -> String {
    format!(
        "Plugin {class} not found that matches the version range {range}, available versions: [{available}]"
    )
}

/// By numbers where both have one, else by text; a missing part counts as 0.
fn compare(a: &str, b: &str) -> Ordering {
    let parts =
        |version: &str| -> Vec<String> { version.split(['.', '-']).map(str::to_owned).collect() };
    let (a, b) = (parts(a), parts(b));
    let zero = "0".to_owned();
    for i in 0..a.len().max(b.len()) {
        let (a, b) = (a.get(i).unwrap_or(&zero), b.get(i).unwrap_or(&zero));
        let ordering = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_maven_reads_them() {
        for (range, inside, outside) in [
            ("4.3.1", "4.3.1", "4.3.2"),
            ("[4.0,)", "4.3.1", "3.9"),
            ("(4.3.1,5]", "5.0", "4.3.1"),
            ("[4.10]", "4.10.0", "4.9"),
            ("(,1.0)", "0.9", "1.0.0"),
        ] {
            let parsed = parse(range).unwrap();
            assert!(parsed.contains(inside) && !parsed.contains(outside), "{range}");
        }
        assert!(parse("latest").unwrap().contains("1"));
        assert_eq!(parse("9.9.9").unwrap().to_string(), "[9.9.9,9.9.9]");
        assert_eq!(parse("[bad").unwrap_err(), "Unbounded range: [bad");
    }
}
