//! A compacted topic that is written and read back (`org.apache.kafka.connect.util.KafkaBasedLog`).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{
        Append, Durable, Entry, Message, NewTopic, Producer, Reader, ToEnd, Transport, Undecided,
    },
};
use tokio::time::{Instant, sleep};

/// How long an open transaction is waited for: more than transactions may take by default.
const OPEN: Duration = Duration::from_secs(90);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(100);

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
    /// Read while waiting for an open transaction, not yet handed out.
    ahead: Vec<Entry>,
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
        let (topic, transactional_id, ahead) = (topic.into(), None, Vec::new());
        Ok(Self { transport, topic, producer, transactional_id, reader, ahead, broken })
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
        let mut open = OpenTransactions::new();
        loop {
            let ToEnd { entries, undecided } = self.reader.read_to_end().await?;
            self.ahead.extend(entries);
            if open.ended(&self.topic, undecided).await? {
                return Ok(std::mem::take(&mut self.ahead));
            }
        }
    }

    /// What the topic holds that was not read yet and does not wait for an open transaction.
    pub(crate) async fn look(&mut self) -> Result<ToEnd> {
        self.reader.read_to_end().await
    }

    /// Waits for what the topic tells next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Entry>> {
        self.reader.next().await
    }
}

/// Waits for what transactions held back at a first look.
pub(crate) struct OpenTransactions {
    since: Instant,
    /// What of it was not decided at the latest look; none before the first.
    left: Option<Vec<Undecided>>,
}

impl OpenTransactions {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), left: None }
    }

    /// Whether all of it is decided, as a new look has it. When not, the next look is due on return.
    ///
    /// # Errors
    /// If that takes longer than transactions do.
    pub(crate) async fn ended(&mut self, topic: &str, undecided: Vec<Undecided>) -> Result<bool> {
        let left = match self.left.take() {
            None => undecided,
            Some(left) => left.into_iter().filter(|entry| undecided.contains(entry)).collect(),
        };
        let Some(first) = left.first() else { return Ok(true) };
        if self.since.elapsed() > OPEN {
            let open = "a transaction is open for too long; if `kafka-transactions.sh find-hanging` names it, stop the connector that wrote it, \
                        and `abort` it";
            return Err(Error::connection(open)
                .context("topic", topic)
                .context("partition", first.partition));
        }
        self.left = Some(left);
        sleep(LOOK).await;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undecided(offsets: &[i64]) -> Vec<Undecided> {
        let entry = |&offset| Undecided { partition: 2, offset, key: Bytes::from("key") };
        offsets.iter().map(entry).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn transactions_that_begin_later_are_not_waited_for() {
        let mut open = OpenTransactions::new();
        assert!(!open.ended("t", undecided(&[5, 7])).await.unwrap());
        assert!(!open.ended("t", undecided(&[7, 9])).await.unwrap());
        assert!(open.ended("t", undecided(&[9, 11])).await.unwrap());
        assert!(OpenTransactions::new().ended("t", Vec::new()).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_end_is_told() {
        let mut open = OpenTransactions::new();
        let told = loop {
            match open.ended("t", undecided(&[5])).await {
                Ok(ended) => assert!(!ended),
                Err(error) => break format!("{error:?}"),
            }
        };
        assert!(told.contains("topic=t, partition=2"), "{told}");
    }
}
