//! Reads a topic from its beginning, as `org.apache.kafka.connect.util.KafkaBasedLog`.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use connect_core::{
    error::{Error, Result},
    transport::{Entry, Reader, ToEnd, Undecided},
};
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    client::Client,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;

use crate::{
    REQUEST_TIMEOUT, admin, blocking, config_error,
    context::{Asking, Trouble},
    oauth::Supply,
    request_error,
};

/// How long the polling thread waits before it looks whether it should end.
const POLL: Duration = Duration::from_millis(100);
/// How long the tail, once at an end, may take to show more before it is looked whether it ever will.
const QUIET: Duration = Duration::from_millis(100);
/// How long reading up to an end that is there may take.
const REACHED: Duration = Duration::from_secs(90);

enum Event {
    Entry { partition: i32, offset: i64, entry: Entry },
    End { partition: i32 },
}

pub(crate) struct KafkaReader {
    /// A connection of its own for asking where the end is: on the reader's, the question would wait behind a fetch.
    admin: Arc<admin::Client>,
    /// Knows where the first open transaction begins.
    committed: Arc<BaseConsumer<Asking>>,
    config: ClientConfig,
    tokens: Supply,
    topic: String,
    events: mpsc::UnboundedReceiver<Event>,
    /// Next offset and whether the end was seen since, by partition.
    progress: Vec<(i64, bool)>,
    /// Read while looking for the end, not yet handed out.
    ahead: Vec<Entry>,
}

/// Offsets of a partition, from the first up to the one before the second.
type Span = (i32, i64, i64);

impl KafkaReader {
    /// Reads what the tail has not shown and never will up to these ends; returns what open transactions hold back of it.
    async fn read_behind(&mut self, parts: Vec<Span>) -> Result<Vec<Undecided>> {
        let (config, tokens) = (self.config.clone(), self.tokens.clone());
        let (committed, topic) = (Arc::clone(&self.committed), self.topic.clone());
        let read = move || {
            let (decided, open) = split(&committed, &topic, &parts)?;
            let entries = read_spans(&config, &tokens, &topic, &decided)?;
            let held = read_spans(&uncommitted(config), &tokens, &topic, &open)?;
            Ok((decided, entries, held))
        };
        let (decided, entries, held) = blocking(read).await?;
        entries.into_iter().for_each(|event| self.take(event));
        for (partition, _, end) in decided {
            let progress = &mut self.progress[partition as usize];
            progress.0 = progress.0.max(end);
        }
        Ok(held.into_iter().filter_map(undecided).collect())
    }

    pub(crate) fn open(
        mut config: ClientConfig,
        tokens: Supply,
        (admin, committed): (Arc<admin::Client>, Arc<BaseConsumer<Asking>>),
        topic: String,
        partitions: i32,
    ) -> Result<Self> {
        config
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100");
        let starts = (0..partitions).map(|partition| (partition, Offset::Beginning));
        let client = assigned(&config, &tokens, &topic, starts)?;
        let (sender, events) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name(format!("read-{topic}"))
            .spawn(move || poll(&client, &sender))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        let progress = vec![(0, false); partitions as usize];
        let ahead = Vec::new();
        Ok(Self { admin, committed, config, tokens, topic, events, progress, ahead })
    }

    fn take(&mut self, event: Event) {
        match event {
            // One that was read past the tail already.
            Event::Entry { partition, offset, .. }
                if offset < self.progress[partition as usize].0 => {}
            Event::Entry { partition, offset, entry } => {
                self.ahead.push(entry);
                self.progress[partition as usize] = (offset + 1, false);
            }
            Event::End { partition } => self.progress[partition as usize].1 = true,
        }
    }
}

fn assigned(
    config: &ClientConfig,
    tokens: &Supply,
    topic: &str,
    starts: impl IntoIterator<Item = (i32, Offset)>,
) -> Result<Arc<BaseConsumer<Asking>>> {
    let failed = |e| request_error("cannot read topic", e);
    let trouble = Trouble::default();
    let client: BaseConsumer<Asking> =
        config.create_with_context(Asking { trouble: trouble.clone() }).map_err(config_error)?;
    let client = Arc::new(client);
    tokens.join(&client, &trouble);
    let mut assignment = TopicPartitionList::new();
    for (partition, offset) in starts {
        assignment.add_partition_offset(topic, partition, offset).map_err(failed)?;
    }
    client.assign(&assignment).map_err(failed)?;
    Ok(client)
}

/// First and next offset of a partition. Waits while the partition has no leader: one that was just created, or
/// whose broker has just died, gets one soon.
fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Result<(i64, i64)> {
    use RDKafkaErrorCode as Code;
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    loop {
        let error = match client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT) {
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
        if let Some(event) = next_event(client)
            && events.send(event).is_err()
        {
            return;
        }
    }
}

fn next_event(client: &BaseConsumer<Asking>) -> Option<Event> {
    match client.poll(POLL)? {
        Err(KafkaError::PartitionEOF(partition)) => Some(Event::End { partition }),
        Err(error) => {
            tracing::debug!(%error, "the reader recovers by itself");
            None
        }
        Ok(message) => {
            // An entry without key says nothing: Connect's topics have none.
            let key = Bytes::copy_from_slice(message.key()?);
            let value = message.payload().map(Bytes::copy_from_slice);
            let (partition, offset) = (message.partition(), message.offset());
            Some(Event::Entry { partition, offset, entry: Entry { key, value } })
        }
    }
}

/// Cuts spans where the first open transaction begins: the last offsets of transactions are markers, so that an end may be
/// decided and yet never be shown to a consumer.
fn split(
    committed: &BaseConsumer<Asking>,
    topic: &str,
    parts: &[Span],
) -> Result<(Vec<Span>, Vec<Span>)> {
    let (mut decided, mut open) = (Vec::new(), Vec::new());
    for &(partition, start, end) in parts {
        let stable = watermarks(committed.client(), topic, partition)?.1.clamp(start, end);
        decided.extend((start < stable).then_some((partition, start, stable)));
        open.extend((stable < end).then_some((partition, stable, end)));
    }
    Ok((decided, open))
}

fn uncommitted(mut config: ClientConfig) -> ClientConfig {
    config.set("isolation.level", "read_uncommitted");
    config
}

fn undecided(event: Event) -> Option<Undecided> {
    match event {
        Event::Entry { partition, offset, entry } => {
            Some(Undecided { partition, offset, key: entry.key })
        }
        Event::End { .. } => None,
    }
}

/// Reads spans with a new consumer: unlike the tail, it tells for sure when it has reached an end.
fn read_spans(
    config: &ClientConfig,
    tokens: &Supply,
    topic: &str,
    spans: &[Span],
) -> Result<Vec<Event>> {
    let mut left: BTreeSet<i32> = spans.iter().map(|(partition, ..)| *partition).collect();
    let mut events = Vec::new();
    if left.is_empty() {
        return Ok(events);
    }
    let starts = spans.iter().map(|(partition, start, _)| (*partition, Offset::Offset(*start)));
    let client = assigned(config, tokens, topic, starts)?;
    let deadline = Instant::now() + REACHED;
    while !left.is_empty() {
        match next_event(&client) {
            Some(Event::End { partition }) => drop(left.remove(&partition)),
            Some(entry) => events.push(entry),
            None if Instant::now() > deadline => {
                return Err(
                    Error::connection("the end of a topic was not reached").context("topic", topic)
                );
            }
            None => {}
        }
    }
    Ok(events)
}

#[async_trait]
impl Reader for KafkaReader {
    async fn read_to_end(&mut self) -> Result<ToEnd> {
        let (admin, topic) = (Arc::clone(&self.admin), self.topic.clone());
        let partitions = self.progress.len() as i32;
        let ends = blocking(move || {
            (0..partitions)
                .map(|partition| watermarks(admin.inner(), &topic, partition))
                .collect::<Result<Vec<_>>>()
        })
        .await?;
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.take(event);
            }
            let behind = self.progress.iter().zip(&ends).enumerate();
            let behind = behind.filter(|(_, ((next, _), (low, high)))| next < high && low < high);
            let behind: Vec<_> = behind
                .map(|(partition, ((next, ended), (low, high)))| {
                    (*ended, (partition as i32, *next.max(low), *high))
                })
                .collect();
            if behind.is_empty() {
                return Ok(ToEnd {
                    entries: std::mem::take(&mut self.ahead),
                    undecided: Vec::new(),
                });
            }
            let gone = || Error::internal("the reader's thread has ended");
            let event = match behind.iter().all(|(ended, _)| *ended) {
                false => self.events.recv().await.ok_or_else(gone)?,
                true => match tokio::time::timeout(QUIET, self.events.recv()).await {
                    Ok(event) => event.ok_or_else(gone)?,
                    Err(_) => {
                        let parts = behind.into_iter().map(|(_, part)| part).collect();
                        let undecided = self.read_behind(parts).await?;
                        let entries = std::mem::take(&mut self.ahead);
                        return Ok(ToEnd { entries, undecided });
                    }
                },
            };
            self.take(event);
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
