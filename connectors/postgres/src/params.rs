//! The values of a column as one parameter: a `text[]`, in PostgreSQL's binary form.

use std::error::Error;

use bytes::BytesMut;
use connectors_jdbc::sink::cell::Cells;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// The values of a column.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Each with its length before it; -1 is NULL.
    bytes: Vec<u8>,
    count: i32,
    nulls: bool,
}

impl Values {
    /// Forgets the values, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.nulls = false;
    }

    fn add(&mut self, bytes: &[u8]) {
        // A value is smaller than a message, which is smaller than this.
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
    }
}

impl Cells for Values {
    fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
        self.count += 1;
        self.nulls = true;
    }
    fn number(&mut self, digits: &str) {
        self.add(digits.as_bytes());
    }
    fn boolean(&mut self, value: bool) {
        self.add(if value { b"t" } else { b"f" });
    }
    fn text(&mut self, text: &str) {
        self.add(text.as_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        let start = self.bytes.len();
        self.add(b"");
        self.bytes.extend_from_slice(b"\\x");
        hex(bytes, &mut self.bytes);
        let length = i32::try_from(2 + bytes.len() * 2).unwrap_or(i32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

impl ToSql for Values {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.reserve(20 + self.bytes.len());
        // One dimension, whether there are nulls, the elements' type, and the bounds.
        for word in [1, i32::from(self.nulls), Type::TEXT.oid() as i32, self.count, 1] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }
    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT_ARRAY
    }
    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }
    to_sql_checked!();
}

/// A value as it stands in a statement.
pub(crate) struct Literals<'s>(pub(crate) &'s mut Vec<u8>);

impl Cells for Literals<'_> {
    fn null(&mut self) {
        self.0.extend_from_slice(b"NULL");
    }
    fn number(&mut self, digits: &str) {
        self.0.extend_from_slice(digits.as_bytes());
    }
    fn boolean(&mut self, value: bool) {
        self.0.extend_from_slice(if value { b"TRUE" } else { b"FALSE" });
    }
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(quoted(text).as_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(b"'\\x");
        hex(bytes, self.0);
        self.0.push(b'\'');
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// A string literal that no value can end; without a backslash in its plain form, as `pg_get_expr` shows defaults.
pub(crate) fn quoted(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
