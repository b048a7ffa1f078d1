//! Values and names in statements.

use connectors_jdbc::sink::cell::Cells;

/// Cells as they stand in a statement. The session's mode makes the backslash an escape, and its character set is UTF-8.
pub(crate) struct Literals<'s>(pub(crate) &'s mut Vec<u8>);

impl Cells for Literals<'_> {
    fn null(&mut self) {
        self.0.extend_from_slice(b"NULL");
    }
    fn number(&mut self, digits: &str) {
        self.0.extend_from_slice(digits.as_bytes());
    }
    fn boolean(&mut self, value: bool) {
        self.0.push(if value { b'1' } else { b'0' });
    }
    fn text(&mut self, text: &str) {
        quoted(text, self.0);
    }
    fn bytes(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.0.reserve(bytes.len() * 2 + 3);
        self.0.extend_from_slice(b"x'");
        for byte in bytes {
            self.0.push(DIGITS[usize::from(byte >> 4)]);
            self.0.push(DIGITS[usize::from(byte & 15)]);
        }
        self.0.push(b'\'');
    }
}

/// Appends a string literal that no value can end.
pub(crate) fn quoted(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'\'');
    let mut start = 0;
    for at in memchr::memchr3_iter(b'\'', b'\\', 0, bytes) {
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(&[b'\\', if bytes[at] == 0 { b'0' } else { bytes[at] }]);
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'\'');
}

/// The same as a `String`.
pub(crate) fn text(text: &str) -> String {
    let mut out = Vec::new();
    quoted(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_value_ends_its_literal() {
        assert_eq!(
            super::text("a'; DROP TABLE t; -- \\ \0é"),
            "'a\\'; DROP TABLE t; -- \\\\ \\0é'"
        );
        let long = "é".repeat(40);
        assert_eq!(super::text(&format!("{long}'{long}")), format!("'{long}\\'{long}'"));
    }
}
