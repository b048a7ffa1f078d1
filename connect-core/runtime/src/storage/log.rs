//! A compacted topic that is written and read back (`org.apache.kafka.connect.util.KafkaBasedLog`).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{Append, Durable, Entry, Message, NewTopic, Producer, Reader, Transport},
};

/// One of the worker's topics.
pub(crate) struct StateLog {
    transport: Arc<dyn Transport>,
    topic: Text,
    producer: Box<dyn Producer>,
    reader: Box<dyn Reader>,
    /// An append has failed: the next one needs a new producer, since some failures are for good.
    broken: Arc<AtomicBool>,
}

impl StateLog {
    /// Opens the topic; creates it compacted where it is missing.
    ///
    /// # Errors
    /// If the topic is there but not compacted: its entries would be deleted in time. `key` is the property that
    /// names it.
    pub(crate) async fn open(
        transport: &Arc<dyn Transport>,
        key: &'static str,
        topic: &str,
        partitions: i32,
        replication_factor: i16,
    ) -> Result<Self> {
        let new = NewTopic {
            name: topic.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(replication_factor),
            compacted: true,
            properties: BTreeMap::new(),
        };
        if !transport.create_topic(&new).await? {
            let found = transport.topic(topic).await?;
            if found.and_then(|found| found.compacted) == Some(false) {
                return Err(Error::config(format!(
                    "Topic '{topic}' supplied via the '{key}' property is required to have \
                     'cleanup.policy=compact' to guarantee consistency and durability"
                )));
            }
        }
        let producer = producer(&**transport, topic).await?;
        let reader = transport.reader(topic).await?;
        let (transport, broken) = (Arc::clone(transport), Arc::default());
        Ok(Self { transport, topic: topic.into(), producer, reader, broken })
    }

    /// Appends entries in order; resolves when they are durable.
    pub(crate) async fn append(&mut self, entries: Vec<(Bytes, Option<Bytes>)>) -> Result<Durable> {
        let message = |(key, value)| Message { key: Some(key), value, ..Message::default() };
        let messages = entries.into_iter().map(message).collect();
        let append = Append { messages: vec![(self.topic.clone(), messages)], offset: None };
        if self.broken.swap(false, Ordering::AcqRel) {
            self.producer = producer(&*self.transport, &self.topic).await?;
        }
        let broken = Arc::clone(&self.broken);
        let durable = self.producer.append(append).await.inspect_err(|_| {
            broken.store(true, Ordering::Release);
        })?;
        Ok(Box::pin(
            async move { durable.await.inspect_err(|_| broken.store(true, Ordering::Release)) },
        ))
    }

    /// What the topic holds that was not read yet.
    pub(crate) async fn read_to_end(&mut self) -> Result<Vec<Entry>> {
        self.reader.read_to_end().await
    }

    /// Waits for what the topic tells next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Entry>> {
        self.reader.next().await
    }
}

async fn producer(transport: &dyn Transport, topic: &str) -> Result<Box<dyn Producer>> {
    transport.producer(&format!("connect-{topic}"), &BTreeMap::new()).await
}
