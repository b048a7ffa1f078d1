//! Lines out of a stream of bytes that comes in pieces.

use bytes::{Buf, Bytes, BytesMut};

/// The bytes that are not yet a line.
#[derive(Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// Bytes at the start that hold no end of a line: a long line is searched once.
    searched: usize,
}

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }
    /// How many bytes wait for the end of their line.
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len()
    }
    /// Forgets the unfinished line.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        self.searched = 0;
        self.buffer.split().freeze()
    }
    /// The next line and how many bytes it was, its end included. A line ends with `\n`, `\r\n`, or `\r` and any
    /// other byte: a `\r` that is last waits for what follows.
    pub(crate) fn next(&mut self) -> Option<(Bytes, usize)> {
        let found = memchr::memchr2(b'\n', b'\r', &self.buffer[self.searched..]);
        let Some(end) = found.map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = end;
        let ending = match (self.buffer[end], self.buffer.get(end + 1)) {
            (b'\n', _) => 1,
            (_, None) => return None,
            (_, Some(b'\n')) => 2,
            _ => 1,
        };
        let line = self.buffer.split_to(end).freeze();
        self.buffer.advance(ending);
        self.searched = 0;
        Some((line, end + ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<(String, usize)> {
        std::iter::from_fn(|| lines.next())
            .map(|(line, size)| (String::from_utf8(line.to_vec()).unwrap(), size))
            .collect()
    }

    #[test]
    fn every_kind_of_line_end() {
        let mut lines = Lines::default();
        lines.push(b"a\nb\r\nc\rd\n\n\r\re");
        let expected = [("a", 2), ("b", 3), ("c", 2), ("d", 2), ("", 1), ("", 1), ("", 1)];
        assert_eq!(all(&mut lines), expected.map(|(line, size)| (line.to_owned(), size)));
        assert_eq!(lines.waiting(), 1);
    }

    #[test]
    fn pieces_of_any_size_give_the_same_lines() {
        let text = "one\r\ntwo\rthree\n\u{e9}\u{1f600}\r\n\nend\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                lines.push(piece);
                found.extend(all(&mut lines));
            }
            let texts: Vec<_> = found.iter().map(|(line, _)| line.as_str()).collect();
            assert_eq!(texts, ["one", "two", "three", "\u{e9}\u{1f600}", "", "end"], "{size}");
            assert_eq!(found.iter().map(|(_, size)| size).sum::<usize>(), text.len());
        }
    }
}
