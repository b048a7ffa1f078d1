//! Splits text at its unescaped delimiters, as the parser of `Values` does.

/// A tokenizer that can be asked for the next token, and set back.
pub(super) struct Tokens<'t> {
    pub(super) text: &'t str,
    at: usize,
    next: Option<&'t str>,
}

/// What Java's `String.trim` takes away.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, next: None }
    }
    /// Where the next token begins.
    pub(super) fn mark(&self) -> usize {
        self.at - self.next.map_or(0, str::len)
    }
    pub(super) fn rewind(&mut self, mark: usize) {
        (self.at, self.next) = (mark, None);
    }
    pub(super) fn has_next(&self) -> bool {
        self.next.is_some() || self.more()
    }
    fn more(&self) -> bool {
        self.at < self.text.len()
    }
    pub(super) fn next(&mut self) -> &'t str {
        self.next.take().unwrap_or_else(|| self.scan())
    }
    /// The text of the next tokens, so many as asked for; none, and nothing is taken, if there are fewer.
    pub(super) fn take(&mut self, count: usize) -> Option<&'t str> {
        let start = self.mark();
        for _ in 0..count {
            if !self.has_next() {
                self.rewind(start);
                return None;
            }
            self.next();
        }
        Some(&self.text[start..self.at])
    }
    /// Takes the next token if it is this one but for blanks around it.
    pub(super) fn consume(&mut self, expected: &str) -> bool {
        if !self.has_next() {
            return false;
        }
        let mut token = self.next.take().unwrap_or_else(|| self.scan());
        while trim(token).is_empty() && self.more() {
            token = self.scan();
        }
        let found = trim(token) == expected;
        self.next = (!found).then_some(token);
        found
    }
    /// The delimiter at the present position, or all up to the next one.
    fn scan(&mut self) -> &'t str {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let mut escaped = false;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\\' => escaped = !escaped,
                b':' | b',' | b'{' | b'}' | b'[' | b']' | b'"' if !escaped => {
                    if start == self.at {
                        self.at += 1;
                    }
                    break;
                }
                _ => escaped = false,
            }
            self.at += 1;
        }
        &self.text[start..self.at]
    }
}
