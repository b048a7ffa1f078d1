//! How messages lie in a stored batch. A batch is a sequence of chunks, each what one append brought for a topic
//! partition, so that a commit joins batches by joining bytes.
//!
//! ```text
//! chunk  = length of the records: u32 LE, timestamp: i64 LE, records
//! record = offsets left out before it, timestamp delta, key, value, number of headers, headers
//! key, value, header value = length + 1 (0 is null), bytes; header name = length, bytes
//! ```
//! Numbers in records are LEB128, deltas zigzag.

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::Message,
};

use crate::error::damaged;

/// Bytes before a chunk's records.
const HEADER: usize = 12;

/// Messages of one append for one partition, encoded.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    count: u32,
    timestamp: i64,
}

impl Chunk {
    /// Adds a message that lies `gap` offsets after the one before it.
    pub(crate) fn push(&mut self, gap: u64, timestamp: i64, message: &Message) {
        if self.count == 0 {
            self.timestamp = timestamp;
            self.bytes.extend_from_slice(&[0; 4]);
            self.bytes.extend_from_slice(&timestamp.to_le_bytes());
        }
        self.count += 1;
        let delta = timestamp.wrapping_sub(self.timestamp);
        self.number(gap);
        self.number((delta.wrapping_shl(1) ^ (delta >> 63)).cast_unsigned());
        self.nullable(message.key.as_deref());
        self.nullable(message.value.as_deref());
        self.number(message.headers.len() as u64);
        for (name, value) in &message.headers {
            self.number(name.len() as u64);
            self.bytes.extend_from_slice(name.as_bytes());
            self.nullable(value.as_deref());
        }
    }

    /// Number of messages.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Size in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The chunk as it is stored.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            // Chunks are closed at a megabyte; a single message of more than 4 GB is refused before.
            let length = (self.bytes.len() - HEADER) as u32;
            self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        }
        self.bytes
    }

    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    fn nullable(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.number(bytes.len() as u64 + 1);
                self.bytes.extend_from_slice(bytes);
            }
            None => self.number(0),
        }
    }
}

/// Reads the messages of a stored batch; their payloads share its memory.
#[derive(Debug)]
pub(crate) struct Cursor {
    bytes: Bytes,
    at: usize,
    chunk_end: usize,
    timestamp: i64,
    offset: i64,
}

impl Cursor {
    /// Reads a batch whose first offset is `base`.
    pub(crate) fn new(base: i64, bytes: Bytes) -> Self {
        Self { bytes, at: 0, chunk_end: 0, timestamp: 0, offset: base }
    }

    /// The next message and its offset; none at the end.
    ///
    /// # Errors
    /// When the batch isn't what [`Chunk`] writes.
    pub(crate) fn next(&mut self) -> Result<Option<(i64, Message)>> {
        if self.at == self.chunk_end && !self.open_chunk()? {
            return Ok(None);
        }
        self.offset = self.offset.wrapping_add(self.number()?.cast_signed());
        let delta = self.number()?;
        let delta = (delta >> 1).cast_signed() ^ -((delta & 1).cast_signed());
        let (key, value) = (self.nullable()?, self.nullable()?);
        let count = self.number()?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let length = self.number()?;
            let name = self.take(length)?;
            let name = Text::try_from(name).map_err(|_| damaged("a header's name is not UTF-8"))?;
            headers.push((name, self.nullable()?));
        }
        let offset = self.offset;
        self.offset = self.offset.wrapping_add(1);
        let timestamp = Some(self.timestamp.wrapping_add(delta));
        Ok(Some((offset, Message { partition: None, key, value, headers, timestamp })))
    }

    fn open_chunk(&mut self) -> Result<bool> {
        if self.at == self.bytes.len() {
            return Ok(false);
        }
        let header: &[u8; HEADER] = self.bytes[self.at..]
            .first_chunk()
            .ok_or_else(|| damaged("a chunk's header is cut"))?;
        let [a, b, c, d, timestamp @ ..] = *header;
        self.at += HEADER;
        self.chunk_end = self.at + u32::from_le_bytes([a, b, c, d]) as usize;
        self.timestamp = i64::from_le_bytes(timestamp);
        if self.chunk_end > self.bytes.len() || self.chunk_end == self.at {
            return Err(damaged("a chunk's length is wrong"));
        }
        Ok(true)
    }

    fn number(&mut self) -> Result<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes[..self.chunk_end].get(self.at);
            let byte = *byte.ok_or_else(|| damaged("a record is cut"))?;
            self.at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(damaged("a number is too long"))
    }

    fn nullable(&mut self) -> Result<Option<Bytes>> {
        match self.number()? {
            0 => Ok(None),
            length => self.take(length - 1).map(Some),
        }
    }

    fn take(&mut self, length: u64) -> Result<Bytes> {
        let cut = || -> Error { damaged("a record is cut") };
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let end = end.filter(|end| *end <= self.chunk_end).ok_or_else(cut)?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from))
    }

    prop_compose! {
        fn message()(
            key in bytes(),
            value in bytes(),
            headers in proptest::collection::vec(("[a-zé]{0,5}", bytes()), 0..3),
            timestamp in any::<i64>(),
        ) -> Message {
            let headers = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
            Message { partition: None, key, value, headers, timestamp: Some(timestamp) }
        }
    }

    fn all(mut cursor: Cursor) -> Result<Vec<(i64, Message)>> {
        let mut messages = Vec::new();
        while let Some(message) = cursor.next()? {
            messages.push(message);
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_with_its_offset(
            chunks in proptest::collection::vec(
                proptest::collection::vec((0_u64..1000, message()), 1..5), 0..4),
            base in 0_i64..1 << 40,
        ) {
            let (mut stored, mut expected, mut offset) = (Vec::new(), Vec::new(), base);
            for messages in chunks {
                let mut chunk = Chunk::default();
                for (gap, message) in messages {
                    chunk.push(gap, message.timestamp.unwrap(), &message);
                    offset += gap.cast_signed();
                    expected.push((offset, message));
                    offset += 1;
                }
                stored.extend(chunk.finish());
            }
            prop_assert_eq!(all(Cursor::new(base, stored.into())).unwrap(), expected);
        }

        #[test]
        fn damage_is_an_error_never_a_panic(
            messages in proptest::collection::vec(message(), 1..4),
            cut in any::<prop::sample::Index>(),
            flip in any::<prop::sample::Index>(),
            with in any::<u8>(),
        ) {
            let mut chunk = Chunk::default();
            for message in &messages {
                chunk.push(0, 0, message);
            }
            let mut stored = chunk.finish();
            let short = stored[..cut.index(stored.len())].to_vec();
            prop_assert!(short.is_empty() || all(Cursor::new(0, short.into())).is_err());
            let at = flip.index(stored.len());
            stored[at] = with;
            let _ = all(Cursor::new(0, stored.into()));
        }
    }
}
