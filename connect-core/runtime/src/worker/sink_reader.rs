//! The half of a sink task that reads: it goes on while the other half writes.

use std::sync::Arc;

use connect_core::{
    data::Text,
    error::{Error, Result},
    sink::{Offsets, SinkBatch, SinkRecord, TopicPartition},
    transform::Fate,
    transport::{Consumer, Fetch, Fetched},
};

use super::{chain::Chain, codec::Codec, topics::TaskTopics};
use crate::errors::{Attempts, RetryPolicy, Stage};

/// Fetches, converts and transforms.
pub(super) struct Reader {
    consumer: Box<dyn Consumer>,
    codec: Codec,
    chain: Chain,
    retry: RetryPolicy,
    topics: TaskTopics,
    owned: Vec<Arc<TopicPartition>>,
    /// What was fetched and is not decoded to its end: kept here, so that reading is cancel safe.
    partial: Option<Partial>,
}

/// What the reader found.
pub(super) enum Read {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Batch(Decoded),
}

/// A batch, with the messages it was decoded from and those that could not be.
#[derive(Default)]
pub(super) struct Decoded {
    pub(super) batch: SinkBatch,
    pub(super) fetched: Vec<Fetched>,
    /// Position in `fetched`, stage, and error.
    pub(super) errant: Vec<((usize, usize), Stage, Error)>,
    /// Topics that the task has not used before.
    pub(super) new_topics: Vec<Text>,
}

impl Decoded {
    /// Offsets after everything that was fetched, decodable or not.
    pub(super) fn next_offsets(&self) -> Offsets {
        let last = self
            .fetched
            .iter()
            .filter_map(|part| Some((part.origin.clone(), part.messages.last()?.0 + 1)));
        last.collect()
    }
}

struct Partial {
    decoded: Decoded,
    part: usize,
    message: usize,
    attempts: Option<Attempts>,
}

impl Reader {
    pub(super) fn new(
        consumer: Box<dyn Consumer>,
        codec: Codec,
        chain: Chain,
        retry: RetryPolicy,
        topics: TaskTopics,
    ) -> Self {
        Self { consumer, codec, chain, retry, topics, owned: Vec::new(), partial: None }
    }

    pub(super) fn consumer(&mut self) -> &mut dyn Consumer {
        &mut *self.consumer
    }

    /// Cancel safe: what was fetched stays here until it is handed out.
    pub(super) async fn read(&mut self) -> Result<Read> {
        if self.partial.is_none() {
            let fetched = match self.consumer.fetch().await? {
                Fetch::Assigned(partitions) => return Ok(Read::Assigned(partitions)),
                Fetch::Revoked(partitions) => return Ok(Read::Revoked(partitions)),
                Fetch::Lost(partitions) => return Ok(Read::Lost(partitions)),
                Fetch::Messages(fetched) => fetched,
            };
            let count = fetched.iter().map(|part| part.messages.len()).sum();
            let mut decoded = Decoded { fetched, ..Decoded::default() };
            decoded.batch.records.reserve(count);
            self.partial = Some(Partial { decoded, part: 0, message: 0, attempts: None });
        }
        self.decode().await;
        let decoded = self.partial.take().map(|partial| partial.decoded).unwrap_or_default();
        Ok(Read::Batch(decoded))
    }

    /// Decodes and transforms what is left. The only await is the pause before another attempt.
    async fn decode(&mut self) {
        let Some(partial) = &mut self.partial else { return };
        let Partial { decoded, part, message, attempts } = partial;
        while let Some(fetched) = decoded.fetched.get(*part) {
            let origin = match self.owned.iter().find(|known| ***known == fetched.origin) {
                Some(known) => Arc::clone(known),
                None => {
                    let new = Arc::new(fetched.origin.clone());
                    self.owned.push(Arc::clone(&new));
                    new
                }
            };
            while let Some((offset, raw)) = fetched.messages.get(*message) {
                let done = self.codec.decode(&origin.topic, origin.partition, raw);
                let done = done.and_then(|mut record| {
                    let fate = self.chain.apply(&mut record, Some(*offset));
                    match fate? {
                        Fate::Keep => Ok(Some(record)),
                        Fate::Drop => Ok(None),
                    }
                });
                match done {
                    Ok(Some(record)) => {
                        let (origin, offset) = (Arc::clone(&origin), *offset);
                        decoded.batch.records.push(SinkRecord { record, origin, offset });
                    }
                    Ok(None) => {}
                    Err((stage, error)) => {
                        let tried = attempts.get_or_insert_with(|| self.retry.attempts());
                        if let Some(pause) = tried.after(&error) {
                            tracing::warn!(stage = stage.name(), %error, "trying again");
                            tokio::time::sleep(pause).await;
                            continue;
                        }
                        decoded.errant.push(((*part, *message), stage, error));
                    }
                }
                *attempts = None;
                *message += 1;
            }
            // As on the JVM, a topic of which every record is dropped is not used.
            let kept = decoded.batch.records.last().is_some_and(|last| *last.origin == *origin);
            if kept && self.topics.is_new(&origin.topic) {
                decoded.new_topics.push(origin.topic.clone());
            }
            *message = 0;
            *part += 1;
        }
    }
}
