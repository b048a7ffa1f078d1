//! Names of tables and columns. The only place that writes an identifier into a statement.

/// How a database quotes identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// `"name"`.
    Double,
    /// `` `name` ``.
    Backtick,
}

impl Quote {
    fn char(self) -> char {
        match self {
            Self::Double => '"',
            Self::Backtick => '`',
        }
    }

    /// Quotes one identifier; a quote character inside is doubled, so that no name can end it.
    pub fn identifier(self, name: &str) -> String {
        let quote = self.char();
        let doubled = name.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    }

    /// Quotes the parts of a qualified name.
    pub fn qualified(self, parts: &[&str]) -> String {
        parts.iter().map(|part| self.identifier(part)).collect::<Vec<_>>().join(".")
    }

    /// Splits a qualified name at the dots outside quotes, and takes the quotes off.
    pub fn split(self, name: &str) -> Vec<String> {
        let quote = self.char();
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

/// Whether a list such as `table.whitelist` names the table `schema.name`: by its bare name, or qualified, with
/// quotes or without.
pub fn listed(list: &[String], quote: Quote, schema: &str, name: &str) -> bool {
    let qualified = format!("{schema}.{name}");
    let quoted = quote.qualified(&[schema, name]);
    list.iter().any(|entry| *entry == name || *entry == qualified || *entry == quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_quotes() {
        assert_eq!(Quote::Backtick.identifier("a`; DROP TABLE x; --"), "`a``; DROP TABLE x; --`");
        assert_eq!(Quote::Double.qualified(&["s", "a\"b"]), "\"s\".\"a\"\"b\"");
    }

    #[test]
    fn splitting_undoes_quoting() {
        for parts in [vec!["a"], vec!["a.b", "c"], vec!["a\"", "b`", "."]] {
            for quote in [Quote::Double, Quote::Backtick] {
                assert_eq!(quote.split(&quote.qualified(&parts)), parts);
            }
        }
        assert_eq!(Quote::Double.split("a.b"), ["a", "b"]);
    }

    #[test]
    fn tables_are_listed_bare_qualified_or_quoted() {
        for entry in ["t", "public.t", "\"public\".\"t\""] {
            assert!(listed(&[entry.to_owned()], Quote::Double, "public", "t"), "{entry}");
        }
        assert!(!listed(&["T".to_owned(), "other.t".to_owned()], Quote::Double, "public", "t"));
    }
}
