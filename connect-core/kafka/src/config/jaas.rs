//! One entry of a JAAS configuration, as `sasl.jaas.config` has it (`org.apache.kafka.common.security.JaasConfig`).

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

/// A login module with its options. Not printable: the options are secrets.
#[derive(PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) module: String,
    pub(super) options: BTreeMap<String, String>,
}

/// Parses `CLASS required name="value" ...;`.
///
/// # Errors
/// What is wrong, in Kafka's words where it has some. Values are not repeated: they may be passwords.
pub(super) fn parse(text: &str) -> Result<Entry, String> {
    let mut tokens = Tokens { rest: text.chars().peekable() };
    let word = |token: Option<Token>| match token {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    };
    let module = word(tokens.next()?)
        .ok_or_else(|| "Login module not specified in JAAS config".to_owned())?;
    let flag = word(tokens.next()?)
        .ok_or_else(|| "Login module control flag not specified in JAAS config".to_owned())?;
    let flags = ["required", "requisite", "sufficient", "optional"];
    if !flags.contains(&flag.to_ascii_lowercase().as_str()) {
        return Err("Invalid login module control flag in JAAS config; required expected".into());
    }
    let mut options = BTreeMap::new();
    loop {
        let key = match tokens.next()? {
            Some(Token::End) => break,
            Some(Token::Word(key)) => key,
            Some(Token::Equals) => return Err("a name is missing before = in JAAS config".into()),
            None => return Err("JAAS config entry not terminated by semi-colon".into()),
        };
        let (equals, value) = (tokens.next()?, tokens.next()?);
        match (equals, value) {
            (Some(Token::Equals), Some(Token::Word(value))) => options.insert(key, value),
            _ => return Err(format!("Value not specified for key '{key}' in JAAS config")),
        };
    }
    match tokens.next()? {
        None => Ok(Entry { module, options }),
        Some(_) => Err("JAAS config property contains more than one login module".into()),
    }
}

enum Token {
    Word(String),
    Equals,
    End,
}

struct Tokens<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<Token>, String> {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = self.rest.next() else { return Ok(None) };
        Ok(Some(match first {
            '=' => Token::Equals,
            ';' => Token::End,
            '"' | '\'' => Token::Word(self.quoted(first)?),
            _ => {
                let mut word = String::from(first);
                let ends = |c: &char| c.is_whitespace() || matches!(c, '=' | ';' | '"' | '\'');
                while let Some(c) = self.rest.next_if(|c| !ends(c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
        }))
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let unfinished = || "a quotation mark is missing in JAAS config".to_owned();
        let mut word = String::new();
        loop {
            let c = self.rest.next().ok_or_else(unfinished)?;
            word.push(match c {
                _ if c == quote => return Ok(word),
                // The escapes of java.io.StreamTokenizer.
                '\\' => match self.rest.next().ok_or_else(unfinished)? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                },
                other => other,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let text = "org.apache.kafka.common.security.plain.PlainLoginModule required\n  username=\"alice\" \
                    password='s\\'e;c=r\"et'  serviceName=kafka ;";
        let entry = parse(text).ok().unwrap();
        assert_eq!(entry.module, "org.apache.kafka.common.security.plain.PlainLoginModule");
        assert_eq!(entry.options["password"], "s'e;c=r\"et");
        assert_eq!(entry.options["serviceName"], "kafka");
        assert_eq!(parse("a.B REQUIRED;").ok().unwrap().options.len(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, why) in [
            ("", "Login module not specified"),
            ("a.B", "control flag not specified"),
            ("a.B maybe;", "control flag"),
            ("a.B required password=\"s3cret\"", "semi-colon"),
            ("a.B required password;", "'password'"),
            ("a.B required password=\"s3cret;", "quotation mark"),
            ("a.B required a=s3cret; c.D required;", "more than one"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(why) && !error.contains("s3cret"), "{text}: {error}");
        }
    }
}
