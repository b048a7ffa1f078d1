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

/// As `KafkaBasedLog`'s producers: what is written twice does no harm, as long as the order is kept. librdkafka would wait half a
/// second before it asks for an idempotent producer's id.
fn plain() -> BTreeMap<String, String> {
    let properties =
        [("enable.idempotence", "false"), ("max.in.flight.requests.per.connection", "1")];
    properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// One of the worker's topics.
pub(crate) struct StateLog {
    transport: Arc<dyn Transport>,
    topic: Text,
    producer: Box<dyn Producer>,
    transactional_id: Option<String>,
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
            if let Some(found) = &found
                && partitions == 1
                && found.partitions != 1
            {
                return Err(Error::config(format!(
                    "Topic '{topic}' supplied via the '{key}' property is required to have a single partition in order \
                     to guarantee consistency of connector configurations, but found {} partitions.",
                    found.partitions
                )));
            }
            if found.and_then(|found| found.compacted) == Some(false) {
                return Err(Error::config(format!(
                    "Topic '{topic}' supplied via the '{key}' property is required to have \
                     'cleanup.policy=compact' to guarantee consistency and durability"
                )));
            }
        }
        let client_id = format!("connect-{topic}");
        let producer = transport.producer(&client_id, &plain()).await?;
        let reader = transport.reader(topic).await?;
        let (transport, broken) = (Arc::clone(transport), Arc::default());
        let (topic, transactional_id) = (topic.into(), None);
        Ok(Self { transport, topic, producer, transactional_id, reader, broken })
    }

    /// Appends in transactions from now on. An earlier writer of this transactional id cannot append any more.
    pub(crate) async fn fence(&mut self, transactional_id: &str) -> Result<()> {
        self.transactional_id = Some(transactional_id.to_owned());
        self.producer = self.new_producer().await?;
        Ok(())
    }

    async fn new_producer(&mut self) -> Result<Box<dyn Producer>> {
        let client_id = format!("connect-{}", self.topic);
        match &self.transactional_id {
            Some(id) => self.transport.transactional(id, &client_id, &BTreeMap::new()).await,
            None => self.transport.producer(&client_id, &plain()).await,
        }
    }

    /// Appends entries in order; resolves when they are durable.
    pub(crate) async fn append(&mut self, entries: Vec<(Bytes, Option<Bytes>)>) -> Result<Durable> {
        let message = |(key, value)| Message { key: Some(key), value, ..Message::default() };
        let messages = entries.into_iter().map(message).collect();
        let append = Append { messages: vec![(self.topic.clone(), messages)], offset: None };
        if self.broken.swap(false, Ordering::AcqRel) {
            self.producer = self.new_producer().await?;
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
