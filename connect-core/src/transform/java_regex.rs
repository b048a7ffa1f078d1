//! `java.util.regex`: patterns in Java's syntax, and `Matcher.replaceFirst`.

use std::borrow::Cow;

use fancy_regex::{Captures, Regex};

use crate::{
    config::Invalid,
    error::{Error, Result},
};

/// A pattern, compiled for `matches` and for `find`: with alternatives, what is found first need not be the whole.
pub(super) struct JavaRegex {
    whole: Regex,
    any: Regex,
}

impl JavaRegex {
    /// Compiles the value of a key (`transforms.util.RegexValidator`).
    pub(super) fn of_key(key: &str, pattern: &str) -> Result<Self, Invalid> {
        let translated = translate(pattern);
        let invalid = |e| Invalid::value(key, pattern, &format!("Invalid regex: {e}"));
        // Alone first: within a group, an unbalanced parenthesis could pass.
        let any = Regex::new(&translated).map_err(invalid)?;
        let whole = Regex::new(&format!(r"\A(?:{translated})\z")).map_err(invalid)?;
        Ok(Self { whole, any })
    }
    /// `Matcher.matches`.
    pub(super) fn matches(&self, text: &str) -> Result<bool> {
        self.whole.is_match(text).map_err(gave_up)
    }
    /// `Matcher.replaceFirst`.
    pub(super) fn replace_first(&self, text: &str, replacement: &Replacement) -> Result<String> {
        let Some(captures) = self.any.captures(text).map_err(gave_up)? else {
            return Ok(text.to_owned());
        };
        let found = captures.get(0).map_or(0..0, |found| found.start()..found.end());
        let mut out = text[..found.start].to_owned();
        replacement.append(&captures, &mut out)?;
        out.push_str(&text[found.end..]);
        Ok(out)
    }
    /// Reads a replacement for what this pattern finds.
    pub(super) fn replacement(&self, text: &str) -> Replacement {
        let names: Vec<Option<&str>> = self.any.capture_names().collect();
        Replacement(parse_replacement(text, &names))
    }
}

fn gave_up(e: fancy_regex::Error) -> Error {
    Error::data("the regular expression gave up").with_source(e)
}

/// What to put in the place of a match: text and groups. As in Java, a bad one is an error only when it is used.
pub(super) struct Replacement(Result<Vec<Piece>, String>);

enum Piece {
    Text(String),
    Group(usize),
}

impl Replacement {
    fn append(&self, captures: &Captures<'_, str>, out: &mut String) -> Result<()> {
        for piece in self.0.as_ref().map_err(|why| Error::data(why.clone()))? {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Group(group) => {
                    out.push_str(captures.get(*group).map_or("", |group| group.as_str()));
                }
            }
        }
        Ok(())
    }
}

fn parse_replacement(text: &str, names: &[Option<&str>]) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal) = (Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => literal.push(chars.next().ok_or("character to be escaped is missing")?),
            '$' => {
                let group = match chars.next() {
                    Some('{') => {
                        let name: String =
                            std::iter::from_fn(|| chars.next_if(char::is_ascii_alphanumeric))
                                .collect();
                        if name.is_empty() {
                            return Err("named capturing group has 0 length name".into());
                        }
                        if name.starts_with(|c: char| c.is_ascii_digit()) {
                            return Err(format!(
                                "capturing group name {{{name}}} starts with digit character"
                            ));
                        }
                        if chars.next() != Some('}') {
                            return Err("named capturing group is missing trailing '}'".into());
                        }
                        let known = names.iter().position(|known| *known == Some(&*name));
                        known.ok_or_else(|| format!("No group with name {{{name}}}"))?
                    }
                    Some(digit @ '0'..='9') => {
                        let value = |digit: char| digit as usize - '0' as usize;
                        let mut group = value(digit);
                        if group >= names.len() {
                            return Err(format!("No group {group}"));
                        }
                        // As many digits as still make a group.
                        while let Some(digit) = chars.next_if(|next| {
                            next.is_ascii_digit() && group * 10 + value(*next) < names.len()
                        }) {
                            group = group * 10 + value(digit);
                        }
                        group
                    }
                    Some(_) => return Err("Illegal group reference".into()),
                    None => {
                        return Err("Illegal group reference: group index is missing".into());
                    }
                };
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Group(group));
            }
            c => literal.push(c),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// What Java writes otherwise: quotations, classes that are ASCII, and escapes of characters that mean nothing.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        rest = &rest[c.len_utf8()..];
        let class: Cow<'_, str> = match c {
            'Q' => {
                let (quoted, after) = rest.split_once(r"\E").unwrap_or((rest, ""));
                rest = after;
                fancy_regex::escape(quoted)
            }
            'd' => "[0-9]".into(),
            'D' => "[^0-9]".into(),
            'w' => "[a-zA-Z0-9_]".into(),
            'W' => "[^a-zA-Z0-9_]".into(),
            's' => r"[ \t\n\x0B\f\r]".into(),
            'S' => r"[^ \t\n\x0B\f\r]".into(),
            '<' | '>' => c.to_string().into(),
            'p' | 'P' => match posix(rest) {
                Some((name, after)) => {
                    rest = after;
                    let not = if c == 'P' { "^" } else { "" };
                    format!("[[:{not}{name}:]]").into()
                }
                None => format!("\\{c}").into(),
            },
            c => format!("\\{c}").into(),
        };
        out.push_str(&class);
    }
    out.push_str(rest);
    out
}

/// The POSIX class in braces at the beginning of a text, and what follows.
fn posix(text: &str) -> Option<(&'static str, &str)> {
    const CLASSES: [(&str, &str); 13] = [
        ("Lower", "lower"),
        ("Upper", "upper"),
        ("ASCII", "ascii"),
        ("Alpha", "alpha"),
        ("Digit", "digit"),
        ("Alnum", "alnum"),
        ("Punct", "punct"),
        ("Graph", "graph"),
        ("Print", "print"),
        ("Blank", "blank"),
        ("Cntrl", "cntrl"),
        ("XDigit", "xdigit"),
        ("Space", "space"),
    ];
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    CLASSES.iter().find(|(java, _)| *java == name).map(|(_, class)| (*class, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, text: &str, replacement: &str) -> Result<String> {
        let regex = JavaRegex::of_key("regex", pattern).unwrap();
        regex.replace_first(text, &regex.replacement(replacement))
    }

    #[test]
    fn patterns_in_javas_syntax() {
        for (pattern, text, matches) in [
            (r"\Qa.b\E.*", "a.bc", true),
            (r"\Qa.b\E.*", "axbc", false),
            (r"\p{Alnum}+\P{Digit}", "a1b", true),
            (r"[\p{Lower}\d]+", "a1", true),
            (r"(?!internal)\w+", "internal1", false),
            (r"(\w)\1", "aa", true),
            (r"a++b", "aab", true),
            (r"\d", "٣", false),
            ("a|ab", "ab", true),
            ("a", "ab", false),
        ] {
            let regex = JavaRegex::of_key("regex", pattern).unwrap();
            assert_eq!(regex.matches(text).unwrap(), matches, "{pattern} {text}");
        }
        for bad in ["[", "(", ")", "*", "a)(b"] {
            let invalid = JavaRegex::of_key("regex", bad).err().unwrap();
            let start = format!("Invalid value {bad} for configuration regex: Invalid regex: ");
            assert!(invalid.message().starts_with(&start), "{}", invalid.message());
        }
    }

    #[test]
    fn replacements_in_javas_syntax() {
        assert_eq!(replaced("a|ab", "ab", "x").unwrap(), "xb");
        assert_eq!(replaced("(a)(b)?", "ac", r"$1$2\$$11-\\").unwrap(), r"a$a1-\c");
        assert_eq!(replaced("(?<first>a).*", "abc", "${first}0").unwrap(), "a0");
        for (bad, why) in [
            ("$", "Illegal group reference: group index is missing"),
            ("$x", "Illegal group reference"),
            ("$1", "No group 1"),
            ("${a}", "No group with name {a}"),
            ("${a", "named capturing group is missing trailing '}'"),
            ("\\", "character to be escaped is missing"),
        ] {
            assert_eq!(replaced("a", "a", bad).unwrap_err().message(), why);
        }
    }
}
