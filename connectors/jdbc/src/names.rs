//! Names of tables and columns. The only place that writes an identifier into a statement.

/// The character that a database puts around identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// `"name"`.
    Double,
    /// `` `name` ``.
    Backtick,
}

/// How identifiers stand in statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoting {
    quote: Quote,
    always: bool,
}

impl Quote {
    fn char(self) -> char {
        match self {
            Self::Double => '"',
            Self::Backtick => '`',
        }
    }
    /// Every identifier is quoted.
    pub const fn always(self) -> Quoting {
        Quoting { quote: self, always: true }
    }
    /// Only identifiers that would not be one without quotes are quoted (`quote.sql.identifiers=never`): the name of a
    /// field comes with a record, and must not become anything else than a name.
    pub const fn never(self) -> Quoting {
        Quoting { quote: self, always: false }
    }
}

impl Quoting {
    /// Writes one identifier; a quote character inside is doubled, so that no name can end it.
    pub fn identifier(self, name: &str) -> String {
        if !self.always && is_plain(name) {
            return name.to_owned();
        }
        let quote = self.quote.char();
        let doubled = name.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    }

    /// Writes the parts of a qualified name.
    pub fn qualified(self, parts: &[&str]) -> String {
        parts.iter().map(|part| self.identifier(part)).collect::<Vec<_>>().join(".")
    }

    /// The name as a catalog has it that keeps unquoted names in lower case.
    pub fn folded(self, name: &str) -> String {
        if !self.always && is_plain(name) { name.to_lowercase() } else { name.to_owned() }
    }

    /// Splits a qualified name at the dots outside quotes, and takes the quotes off.
    pub fn split(self, name: &str) -> Vec<String> {
        let quote = self.quote.char();
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut characters = name.chars().peekable();
        while let Some(c) = characters.next() {
            let part = parts.len() - 1;
            if c == quote {
                if quoted && characters.peek() == Some(&quote) {
                    characters.next();
                    parts[part].push(quote);
                } else {
                    quoted = !quoted;
                }
            } else if c == '.' && !quoted {
                parts.push(String::new());
            } else {
                parts[part].push(c);
            }
        }
        parts
    }
}

fn is_plain(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A table by its qualified name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    /// Schema of PostgreSQL, database of MySQL.
    pub schema: String,
    /// Bare name.
    pub name: String,
}

impl TableName {
    /// `schema.name`, as offsets and messages have it.
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
    /// For a statement.
    pub fn quoted(&self, quoting: Quoting) -> String {
        quoting.qualified(&[&self.schema, &self.name])
    }
}

/// Whether a list such as `table.whitelist` names the table `schema.name`: by its bare name, or qualified, with
/// quotes or without.
pub fn listed(list: &[String], quote: Quote, schema: &str, name: &str) -> bool {
    let qualified = format!("{schema}.{name}");
    let quoted = quote.always().qualified(&[schema, name]);
    list.iter().any(|entry| *entry == name || *entry == qualified || *entry == quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes() {
        assert_eq!(
            Quote::Backtick.always().identifier("a`; DROP TABLE x; --"),
            "`a``; DROP TABLE x; --`"
        );
        assert_eq!(Quote::Double.always().qualified(&["s", "a\"b"]), "\"s\".\"a\"\"b\"");
    }

    #[test]
    fn without_quotes_a_name_is_still_nothing_but_a_name() {
        let never = Quote::Double.never();
        assert_eq!(never.qualified(&["Public", "t_1"]), "Public.t_1");
        assert_eq!(never.identifier("id) VALUES (1); --"), "\"id) VALUES (1); --\"");
        assert_eq!((never.folded("Id"), never.folded("I d")), ("id".to_owned(), "I d".to_owned()));
    }

    #[test]
    fn splitting_undoes_quoting() {
        for parts in [vec!["a"], vec!["a.b", "c"], vec!["a\"", "b`", "."]] {
            for quote in [Quote::Double.always(), Quote::Backtick.always(), Quote::Double.never()] {
                assert_eq!(quote.split(&quote.qualified(&parts)), parts);
            }
        }
        assert_eq!(Quote::Double.always().split("a.b"), ["a", "b"]);
    }

    #[test]
    fn tables_are_listed_bare_qualified_or_quoted() {
        for entry in ["t", "public.t", "\"public\".\"t\""] {
            assert!(listed(&[entry.to_owned()], Quote::Double, "public", "t"), "{entry}");
        }
        assert!(!listed(&["T".to_owned(), "other.t".to_owned()], Quote::Double, "public", "t"));
    }
}
