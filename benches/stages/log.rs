//! The embedded log, on a disk: until an append is durable, and all of a fetch.

use std::{collections::BTreeMap, mem};

use connect_core::{
    sink::TopicPartition,
    transport::{Append, Consumer, ConsumerOptions, Fetch, Message, Subscription, Transport},
};
use connect_core_log::EmbeddedLog;
use tokio::runtime::{Builder, Runtime};

use crate::{Bench, Result, shapes::Shape};

/// Batches to fetch before it begins again.
const BATCHES: usize = 8;
const TOPIC: &str = "bench";

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Measures append and fetch, and returns a batch as it was fetched.
pub(crate) fn stages(
    bench: &mut Bench,
    shape: &Shape,
    messages: &[Message],
) -> Result<Vec<Message>> {
    let (runtime, dir) = (runtime()?, tempfile::tempdir()?);
    let batch = || Append { messages: vec![(TOPIC.into(), messages.to_vec())], offset: None };
    // Each measurement has a log of its own: one grows, the other must not.
    let written = EmbeddedLog::open(dir.path().join("append"))?;
    let mut producer = runtime.block_on(written.producer("bench", &BTreeMap::new()))?;
    bench.stage("append", shape, batch, |append| {
        let append = mem::take(append);
        Ok(runtime.block_on(async { producer.append(append).await?.await })?)
    })?;
    let log = EmbeddedLog::open(dir.path().join("fetch"))?;
    let mut producer = runtime.block_on(log.producer("bench", &BTreeMap::new()))?;
    for _ in 0..BATCHES {
        runtime.block_on(async { producer.append(batch()).await?.await })?;
    }
    let options = ConsumerOptions {
        group: "bench".to_owned(),
        client_id: "bench".to_owned(),
        subscription: Subscription::Topics(vec![TOPIC.to_owned()]),
        max_messages: messages.len(),
        properties: BTreeMap::new(),
    };
    let consumer = runtime.block_on(log.consumer(options))?;
    let mut reading = Reading { consumer, left: BATCHES, rest: Vec::new() };
    let fetched = runtime.block_on(reading.batch(messages.len()))?;
    bench.stage("fetch", shape, || (), |()| runtime.block_on(reading.batch(messages.len())))?;
    Ok(fetched)
}

struct Reading {
    consumer: Box<dyn Consumer>,
    /// Batches before the end.
    left: usize,
    /// What a fetch brought of the next one.
    rest: Vec<Message>,
}

impl Reading {
    /// The next so many messages.
    async fn batch(&mut self, count: usize) -> Result<Vec<Message>> {
        if self.left == 0 {
            let start = TopicPartition { topic: TOPIC.into(), partition: 0 };
            self.consumer.seek(&[(start, 0)].into()).await?;
            self.left = BATCHES;
        }
        self.left -= 1;
        while self.rest.len() < count {
            if let Fetch::Messages(parts) = self.consumer.fetch().await? {
                let parts = parts.into_iter().flat_map(|part| part.messages);
                self.rest.extend(parts.map(|(_, message)| message));
            }
        }
        let next = self.rest.split_off(count);
        Ok(mem::replace(&mut self.rest, next))
    }
}
