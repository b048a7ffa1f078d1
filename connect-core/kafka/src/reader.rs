//! Reads a topic from its beginning, as `org.apache.kafka.connect.util.KafkaBasedLog`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use connect_core::{
    error::{Error, Result},
    transport::{Entry, Reader},
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;

use crate::{
    REQUEST_TIMEOUT, admin, blocking,
    config::Prepared,
    config_error,
    context::{Asking, Trouble},
    oauth::{Logins, Supply},
    request_error,
};

/// How long the polling thread waits before it looks whether it should end.
const POLL: Duration = Duration::from_millis(100);
/// A partition whose end was reached counts as read even if its last offsets are transaction markers, which no
/// consumer gets to see: when nothing more has come for this long.
const QUIET: Duration = Duration::from_millis(300);

enum Event {
    Entry { partition: i32, offset: i64, entry: Entry },
    End { partition: i32 },
}

pub(crate) struct KafkaReader {
    /// A connection of its own for asking where the end is: on the reader's, the question would wait behind a fetch.
    admin: Arc<admin::Client>,
    topic: String,
    events: mpsc::UnboundedReceiver<Event>,
    /// Next offset and whether the end was seen since, by partition.
    progress: Vec<(i64, bool)>,
    /// Read while looking for the end, not yet handed out.
    ahead: Vec<Entry>,
    _tokens: Supply,
}

impl KafkaReader {
    pub(crate) fn open(
        prepared: Prepared,
        logins: &Logins,
        admin: Arc<admin::Client>,
        topic: &str,
        partitions: i32,
    ) -> Result<Self> {
        let Prepared { mut config, login } = prepared;
        config
            .set("enable.partition.eof", "true")
            // Offsets that a transaction has not made visible yet are not there.
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", "100");
        let trouble = Trouble::default();
        let client: BaseConsumer<Asking> =
            config.create_with_context(Asking(trouble.clone())).map_err(config_error)?;
        let client = Arc::new(client);
        let tokens = logins.supply(login)?;
        tokens.join(&client, &trouble);
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment
                .add_partition_offset(topic, partition, Offset::Beginning)
                .map_err(|e| request_error("cannot read topic", e))?;
        }
        client.assign(&assignment).map_err(|e| request_error("cannot read topic", e))?;
        let (sender, events) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name(format!("read-{topic}"))
            .spawn(move || poll(&client, &sender))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        let progress = vec![(0, false); partitions as usize];
        let (topic, ahead) = (topic.to_owned(), Vec::new());
        Ok(Self { admin, topic, events, progress, ahead, _tokens: tokens })
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Entry { partition, offset, entry } => {
                self.ahead.push(entry);
                self.progress[partition as usize] = (offset + 1, false);
            }
            Event::End { partition } => self.progress[partition as usize].1 = true,
        }
    }
}

/// First and next offset of a partition. Waits while the partition has no leader: one that was just created, or
/// whose broker has just died, gets one soon.
fn watermarks(client: &admin::Client, topic: &str, partition: i32) -> Result<(i64, i64)> {
    use RDKafkaErrorCode as Code;
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let error = match client.inner().fetch_watermarks(topic, partition, REQUEST_TIMEOUT) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) => error,
        };
        let soon = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::NotLeaderForPartition
                    | Code::LeaderNotAvailable
                    | Code::UnknownTopicOrPartition
            )
        );
        if !soon || Instant::now() > deadline {
            return Err(
                request_error("cannot read the end of a topic", error).context("topic", topic)
            );
        }
        std::thread::sleep(POLL);
    }
}

fn poll(client: &BaseConsumer<Asking>, events: &mpsc::UnboundedSender<Event>) {
    while !events.is_closed() {
        let event = match client.poll(POLL) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => Event::End { partition },
            Some(Err(error)) => {
                tracing::debug!(%error, "the reader recovers by itself");
                continue;
            }
            // An entry without key says nothing: Connect's topics have none.
            Some(Ok(message)) => match message.key() {
                None => continue,
                Some(key) => Event::Entry {
                    partition: message.partition(),
                    offset: message.offset(),
                    entry: Entry {
                        key: Bytes::copy_from_slice(key),
                        value: message.payload().map(Bytes::copy_from_slice),
                    },
                },
            },
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn read_to_end(&mut self) -> Result<Vec<Entry>> {
        let (admin, topic) = (Arc::clone(&self.admin), self.topic.clone());
        let partitions = self.progress.len() as i32;
        let ends = blocking(move || {
            (0..partitions)
                .map(|partition| watermarks(&admin, &topic, partition))
                .collect::<Result<Vec<_>>>()
        })
        .await?;
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.take(event);
            }
            let mut behind = self
                .progress
                .iter()
                .zip(&ends)
                .filter(|((next, _), (low, high))| next < high && low < high);
            let mut quiet = None;
            if let Some(((_, ended), _)) = behind.next() {
                if *ended && behind.all(|((_, ended), _)| *ended) {
                    quiet = Some(QUIET);
                }
            } else {
                return Ok(std::mem::take(&mut self.ahead));
            }
            let event = match quiet {
                None => self.events.recv().await,
                Some(quiet) => match tokio::time::timeout(quiet, self.events.recv()).await {
                    Ok(event) => event,
                    Err(_) => return Ok(std::mem::take(&mut self.ahead)),
                },
            };
            let ended = || Error::internal("the reader's thread has ended");
            self.take(event.ok_or_else(ended)?);
        }
    }

    async fn next(&mut self) -> Result<Vec<Entry>> {
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.take(event);
            }
            if !self.ahead.is_empty() {
                return Ok(std::mem::take(&mut self.ahead));
            }
            let ended = || Error::internal("the reader's thread has ended");
            let event = self.events.recv().await.ok_or_else(ended)?;
            self.take(event);
        }
    }
}
