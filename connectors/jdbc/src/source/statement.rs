//! The parts of statements that are the same everywhere: what stands behind `FROM`, and how its columns are named.

use super::{SourceConfig, database::Origin, keys::Mode};
use crate::names::Quote;

/// How the sub-select of a query is called.
const ALIAS: &str = "q";

/// What stands behind `FROM`: the table under its own name, so that a suffix can name it, or the query as a sub-select.
pub fn from(origin: &Origin, config: &SourceConfig, quote: Quote) -> String {
    match origin {
        Origin::Table(_) => relation(origin, config, quote),
        // The line break ends a comment at the end of the query.
        Origin::Query(query) => format!("({}\n) AS {ALIAS}", body(query, quote)),
    }
}

/// What a column of the origin is qualified with.
pub fn relation(origin: &Origin, config: &SourceConfig, quote: Quote) -> String {
    let quoting = config.quoting(quote);
    match origin {
        Origin::Table(table) if config.qualify_names => {
            quoting.qualified(&[&table.schema, &table.name])
        }
        Origin::Table(table) => quoting.identifier(&table.name),
        Origin::Query(_) => ALIAS.to_owned(),
    }
}

/// A column of the origin.
pub fn column(origin: &Origin, config: &SourceConfig, quote: Quote, name: &str) -> String {
    format!("{}.{}", relation(origin, config, quote), config.quoting(quote).identifier(name))
}

/// The text that is run as it is: the query with its suffix, where nothing else has to be said in the statement.
pub fn verbatim(origin: &Origin, config: &SourceConfig, quote: Quote) -> Option<String> {
    let Origin::Query(query) = origin else { return None };
    if config.mode != Some(Mode::Bulk) {
        return None;
    }
    let query = body(query, quote);
    Some(match config.query_suffix.trim() {
        "" => query.to_owned(),
        suffix => format!("{query}\n{suffix}"),
    })
}

/// The query without the semicolon at its end, which may have comments behind it.
pub fn body(query: &str, quote: Quote) -> &str {
    let query = query.trim();
    match last_semicolon(query, quote) {
        Some(at) => query[..at].trim_end(),
        None => query,
    }
}

/// Where the semicolon is that ends the statement: nothing but blanks, comments and further semicolons follow it.
fn last_semicolon(query: &str, quote: Quote) -> Option<usize> {
    let mysql = quote == Quote::Backtick;
    let mut found = None;
    let mut at = 0;
    while let Some(first) = query[at..].chars().next() {
        let rest = &query[at..];
        let blank_after = |n: usize| rest[n..].chars().next().is_none_or(char::is_whitespace);
        let comment = rest.starts_with("--") && (!mysql || blank_after(2));
        let length = match first {
            _ if comment || (mysql && first == '#') => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block(rest, !mysql),
            c if c.is_whitespace() => c.len_utf8(),
            ';' => {
                found = found.or(Some(at));
                1
            }
            _ => {
                found = None;
                token(query, at, mysql)
            }
        };
        at += length;
    }
    found
}

/// Length of a comment between `/*` and `*/`; PostgreSQL's may have comments in them.
fn block(text: &str, nested: bool) -> usize {
    let (mut depth, mut at) = (1, 2);
    while depth > 0 && at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else if nested && rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of what stands at `at`: a text or a name in quotes as a whole, else one character.
fn token(query: &str, at: usize, mysql: bool) -> usize {
    let rest = &query[at..];
    match rest.chars().next() {
        Some(quote @ ('\'' | '"' | '`')) => {
            let before = query[..at].chars().next_back();
            let escapes =
                quote != '`' && (mysql || (quote == '\'' && matches!(before, Some('e' | 'E'))));
            let mut characters = rest.char_indices().skip(1);
            while let Some((end, c)) = characters.next() {
                if escapes && c == '\\' {
                    characters.next();
                } else if c == quote {
                    // A doubled quote begins another text, which is as good.
                    return end + 1;
                }
            }
            rest.len()
        }
        Some('$') if !mysql => {
            let tag = rest[1..].find('$').map(|end| &rest[..end + 2]);
            let is_tag =
                |tag: &&str| tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
            match tag.filter(is_tag) {
                Some(tag) => {
                    rest[tag.len()..].find(tag).map_or(rest.len(), |end| end + 2 * tag.len())
                }
                None => 1,
            }
        }
        Some(c) => c.len_utf8(),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_loses_nothing_but_its_last_semicolon() {
        let (pg, my) = (Quote::Double, Quote::Backtick);
        for (quote, query, expected) in [
            (pg, " SELECT 1 ", "SELECT 1"),
            (pg, "SELECT 1;", "SELECT 1"),
            (pg, "SELECT 1 ; ; -- done;", "SELECT 1"),
            (pg, "SELECT 1; /* a /* b */ ; */", "SELECT 1"),
            (pg, "SELECT 1 -- all of them;", "SELECT 1 -- all of them;"),
            (pg, "SELECT ';'", "SELECT ';'"),
            (pg, "SELECT E'\\';'", "SELECT E'\\';'"),
            (pg, "SELECT '\\';", "SELECT '\\'"),
            (pg, "SELECT $a$;$a$;", "SELECT $a$;$a$"),
            (pg, "SELECT \"a;\" FROM t;\n--", "SELECT \"a;\" FROM t"),
            (my, "SELECT 1; # x", "SELECT 1"),
            (my, "SELECT 1--1;", "SELECT 1--1"),
            (my, "SELECT '\\';'", "SELECT '\\';'"),
            (my, "SELECT `;` /* ; */", "SELECT `;` /* ; */"),
            (my, "SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),
        ] {
            assert_eq!(body(query, quote), expected, "{query}");
        }
    }
}
