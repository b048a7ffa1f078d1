//! Reads a topic from end to end, without a group.

use std::sync::Arc;

use async_trait::async_trait;
use connect_core::{
    error::Result,
    transport::{Entry, Reader, ToEnd},
};
use tokio::sync::Notify;

use crate::{
    Inner,
    fetch::{Position, read_on},
    topics::Topic,
};

/// A reader of the embedded log. Messages without a key, which no compacted topic has, are left out.
pub(crate) struct EmbeddedReader {
    inner: Arc<Inner>,
    positions: Vec<Position>,
    notify: Arc<Notify>,
}

impl EmbeddedReader {
    pub(crate) fn new(inner: Arc<Inner>, topic: &Topic) -> Self {
        let notify = Arc::<Notify>::default();
        topic.watchers.add(&notify);
        let start = |p: &Arc<_>| Position::new(Arc::clone(p), 0);
        Self { inner, positions: topic.partitions.iter().map(start).collect(), notify }
    }

    fn buffered(&mut self, entries: &mut Vec<Entry>) -> Result<()> {
        for position in &mut self.positions {
            let messages = position.take(usize::MAX)?.into_iter();
            // Copied: a slice would keep its whole batch in memory for as long as the state it describes.
            let copied = |b: bytes::Bytes| bytes::Bytes::copy_from_slice(&b);
            entries.extend(messages.filter_map(|(_, message)| {
                let value = message.value.map(copied);
                message.key.map(|key| Entry { key: copied(key), value })
            }));
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn read_to_end(&mut self) -> Result<ToEnd> {
        // What is appended meanwhile may come along; the end of the time of the call is always reached.
        let mut entries = Vec::new();
        self.buffered(&mut entries)?;
        while read_on(&self.inner.store, &mut self.positions, usize::MAX).await? {
            self.buffered(&mut entries)?;
        }
        // What was appended is decided: there are no transactions over several appends.
        Ok(ToEnd { entries, undecided: Vec::new() })
    }

    async fn next(&mut self) -> Result<Vec<Entry>> {
        loop {
            let mut entries = Vec::new();
            self.buffered(&mut entries)?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            if !read_on(&self.inner.store, &mut self.positions, usize::MAX).await? {
                self.notify.notified().await;
            }
        }
    }
}
