//! Appends: encoded on the caller's thread, made durable by the writer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{Append, Durable, Message, Producer},
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    Inner, QUEUE_BYTES,
    batch::Chunk,
    error, partitioner,
    topics::Topic,
    writer::{BATCH_BYTES, Part, Request, earlier_append_failed},
};

/// What an append costs in the queue besides its bytes.
const OVERHEAD: usize = 256;
/// Longest key, value or header.
const MAX_FIELD: usize = 512 << 20;

/// A producer of the embedded log.
pub(crate) struct EmbeddedProducer {
    inner: Arc<Inner>,
    failed: Arc<AtomicBool>,
    /// Partition for messages without a key: one for all of an append, the next for the next append.
    turn: usize,
}

impl EmbeddedProducer {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, failed: Arc::default(), turn: 0 }
    }

    fn encode(&mut self, messages: &[(Arc<Topic>, Vec<Message>)]) -> Result<Vec<Part>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = now.as_millis() as i64;
        let mut parts = HashMap::<i64, Part>::new();
        for (topic, messages) in messages {
            for message in messages {
                check(topic, message)?;
                let partition = self.partition(topic, message)?;
                let partition = &topic.partitions[partition];
                let part = parts.entry(partition.id).or_insert_with(|| Part {
                    partition: Arc::clone(partition),
                    chunks: vec![Chunk::default()],
                });
                if part.chunks.last().is_none_or(|chunk| chunk.len() >= BATCH_BYTES) {
                    part.chunks.push(Chunk::default());
                }
                if let Some(chunk) = part.chunks.last_mut() {
                    chunk.push(0, message.timestamp.unwrap_or(now), message);
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(parts.into_values().collect())
    }

    fn partition(&self, topic: &Topic, message: &Message) -> Result<usize> {
        let count = topic.partitions.len();
        match (message.partition, &message.key) {
            (Some(partition), _) => {
                usize::try_from(partition).ok().filter(|p| *p < count).ok_or_else(|| {
                    let last = count - 1;
                    Error::data(format!(
                        "Invalid partition {partition} for topic {}: it has the partitions 0 to {last}",
                        topic.name
                    ))
                })
            }
            (None, Some(key)) => Ok(partitioner::partition(key, count)),
            (None, None) => Ok(self.turn % count),
        }
    }

    /// Waits until the queue has room. Those who wait longest come first.
    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = bytes.min(QUEUE_BYTES) as u32;
        let room = Arc::clone(&self.inner.room).acquire_many_owned(bytes);
        room.await.map_err(|_| error::writer_gone())
    }
}

fn check(topic: &Topic, message: &Message) -> Result<()> {
    if topic.compacted && message.key.is_none() {
        return Err(Error::data("A compacted topic cannot take a message without key")
            .context("topic", &topic.name));
    }
    let headers = message.headers.iter().filter_map(|(_, value)| value.as_ref());
    let longest = headers.chain(&message.key).chain(&message.value).map(|b| b.len()).max();
    if longest.is_some_and(|longest| longest > MAX_FIELD) {
        return Err(Error::data(format!("A message is longer than {MAX_FIELD} bytes"))
            .context("topic", &topic.name));
    }
    Ok(())
}

#[async_trait]
impl Producer for EmbeddedProducer {
    fn longest(&mut self, _: Option<usize>) -> Option<usize> {
        Some(MAX_FIELD)
    }

    /// An append that is refused here (an illegal topic, a partition that doesn't exist) took nothing, and later ones
    /// go on; one that fails in the returned future ends the producer.
    async fn append(&mut self, append: Append) -> Result<Durable> {
        if self.failed.load(Ordering::Acquire) {
            return Err(earlier_append_failed());
        }
        let mut messages: Vec<(Text, Vec<Message>)> = append.messages;
        if let Some(offset) = append.offset {
            let message =
                Message { key: Some(offset.key), value: offset.value, ..Message::default() };
            messages.push((offset.topic, vec![message]));
        }
        let mut by_topic = Vec::with_capacity(messages.len());
        for (topic, messages) in messages {
            by_topic.push((self.inner.topic_or_create(&topic).await?, messages));
        }
        let parts = self.encode(&by_topic)?;
        let bytes: usize = parts.iter().flat_map(|part| &part.chunks).map(Chunk::len).sum();
        let room = self.room(bytes + OVERHEAD).await?;
        let (answer, durable) = oneshot::channel();
        let failed = Arc::clone(&self.failed);
        self.inner.send(Request::Append { parts, failed, room, answer })?;
        Ok(Box::pin(async move { durable.await.unwrap_or_else(|_| Err(error::writer_gone())) }))
    }
}
