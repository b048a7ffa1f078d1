//! Fetches in a consumer group. One thread polls librdkafka and hands over batches; a rebalance waits there until
//! the task has committed what it delivered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc as blocking,
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{Consumer, ConsumerOptions, Fetch, Fetched, Message, Subscription},
};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    REQUEST_TIMEOUT, blocking as run_blocking,
    config::Prepared,
    config_error,
    context::{Trouble, hears},
    groups::{list, offsets},
    oauth::{Logins, Supply},
    permission, request_error,
};

/// A batch is closed when it holds this many bytes.
const BATCH_BYTES: usize = 512 << 10;
/// How long the polling thread waits before it looks whether it should end.
const POLL: Duration = Duration::from_secs(1);
/// First and last pause between two looks for a topic that is not there.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(4));

type Client = BaseConsumer<Rebalances>;

/// Tells the task of rebalances and waits until it has dealt with them.
struct Rebalances {
    events: mpsc::Sender<Result<Fetch>>,
    /// Answered by the next fetch: the offsets to start from, where the task knows better than the group.
    resumed: Mutex<blocking::Receiver<Offsets>>,
    closed: Arc<AtomicBool>,
    trouble: Trouble,
}

hears!(Rebalances);

impl Rebalances {
    /// Sends the event and waits for the fetch after the one that returned it.
    fn tell(&self, event: Fetch) -> Offsets {
        if self.closed.load(Ordering::Acquire) || self.events.blocking_send(Ok(event)).is_err() {
            return Offsets::new();
        }
        let resumed = self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        // An error means that the task is gone: there is nothing left to wait for.
        resumed.recv().unwrap_or_default()
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    let partition = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        TopicPartition { topic: e.topic().into(), partition: e.partition() }
    };
    elements.iter().map(partition).collect()
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &Client, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        let result = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let starts = self.tell(Fetch::Assigned(partitions(tpl)));
                for (tp, offset) in starts {
                    let set =
                        tpl.set_partition_offset(&tp.topic, tp.partition, Offset::Offset(offset));
                    if let Err(error) = set {
                        tracing::error!(%error, topic = %tp.topic, "cannot set the starting offset");
                    }
                }
                consumer.assign(tpl)
            }
            _ => {
                let lost = consumer.assignment_lost();
                let gone = partitions(tpl);
                self.tell(if lost { Fetch::Lost(gone) } else { Fetch::Revoked(gone) });
                consumer.unassign()
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "cannot take over the new assignment");
        }
    }
}

/// A member of a consumer group.
pub(crate) struct GroupConsumer {
    client: Arc<Client>,
    events: mpsc::Receiver<Result<Fetch>>,
    resume: blocking::Sender<Offsets>,
    /// Whether the polling thread waits for the next fetch, and with which offsets it will be told to go on.
    rebalancing: Option<Offsets>,
    closed: Arc<AtomicBool>,
    trouble: Trouble,
    _tokens: Supply,
}

impl GroupConsumer {
    pub(crate) fn open(
        prepared: Prepared,
        options: ConsumerOptions,
        logins: &Logins,
    ) -> Result<Self> {
        let Prepared { config, login } = prepared;
        let trouble = Trouble::default();
        let (events, receiver) = mpsc::channel(1);
        let (resume, resumed) = blocking::channel();
        let closed = Arc::new(AtomicBool::new(false));
        let context = Rebalances {
            events: events.clone(),
            resumed: Mutex::new(resumed),
            closed: Arc::clone(&closed),
            trouble: trouble.clone(),
        };
        let client: Client = config.create_with_context(context).map_err(config_error)?;
        let client = Arc::new(client);
        let tokens = logins.supply(login)?;
        tokens.join(&client, &trouble);
        let pattern;
        let topics: Vec<&str> = match &options.subscription {
            Subscription::Topics(topics) => topics.iter().map(String::as_str).collect(),
            Subscription::Pattern(whole) => {
                pattern = format!("^({whole})$");
                vec![&pattern]
            }
        };
        client.subscribe(&topics).map_err(|e| request_error("cannot subscribe", e))?;
        let (polled, ended, max) = (Arc::clone(&client), Arc::clone(&closed), options.max_messages);
        std::thread::Builder::new()
            .name(format!("fetch-{}", options.client_id))
            .spawn(move || poll(&polled, &events, &ended, max))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        let (events, rebalancing, _tokens) = (receiver, None, tokens);
        Ok(Self { client, events, resume, rebalancing, closed, trouble, _tokens })
    }

    /// Begins to leave the group: its partitions are revoked next.
    pub(crate) fn leave(&self) {
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || client.unsubscribe());
    }

    /// How many partitions these topics have, each that there is.
    pub(crate) fn partitions(
        &self,
        topics: Vec<String>,
    ) -> JoinHandle<Result<BTreeMap<String, usize>>> {
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || {
            let count = |topic: String| {
                let metadata = client.fetch_metadata(Some(&topic), REQUEST_TIMEOUT);
                let metadata =
                    metadata.map_err(|e| request_error("cannot ask about a topic", e))?;
                let count = metadata.topics().iter().map(|topic| topic.partitions().len()).sum();
                Ok((topic, count))
            };
            topics.into_iter().map(count).collect()
        })
    }

    /// What the group has committed of these partitions.
    pub(crate) async fn committed(&self, partitions: Vec<TopicPartition>) -> Result<Offsets> {
        // Let the rebalance that revoked them go on.
        let _ = self.resume.send(Offsets::new());
        if partitions.is_empty() {
            return Ok(Offsets::new());
        }
        let client = Arc::clone(&self.client);
        run_blocking(move || {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for tp in &partitions {
                list.add_partition(&tp.topic, tp.partition);
            }
            let failed = |e| request_error("cannot ask for committed offsets", e);
            let list = client.committed_offsets(list, REQUEST_TIMEOUT).map_err(failed)?;
            list.elements().iter().try_for_each(|e| e.error()).map_err(failed)?;
            Ok(offsets(&list))
        })
        .await
    }
}

/// Looks for a topic that is not there yet: librdkafka itself finds one that is made in this moment after two seconds, and later
/// ones when it asks for all it knows again.
struct Looks {
    due: Instant,
    pause: Duration,
}

impl Looks {
    fn begin() -> Self {
        Self { due: Instant::now() + LOOKS.0, pause: LOOKS.0 }
    }

    /// Asks, if it is time; the group hears of what is new. None when this was the last time.
    fn next(self, client: &Client) -> Option<Self> {
        if Instant::now() < self.due {
            return Some(self);
        }
        // Only what lists all topics is taken for news of the subscription.
        if let Err(error) = client.fetch_metadata(None, REQUEST_TIMEOUT) {
            tracing::debug!(%error, "cannot look for a topic");
        }
        let pause = self.pause * 3 / 2;
        (pause <= LOOKS.1).then(|| Self { due: Instant::now() + pause, pause })
    }
}

/// Polls until the task is gone.
fn poll(client: &Client, events: &mpsc::Sender<Result<Fetch>>, closed: &AtomicBool, max: usize) {
    let mut looks: Option<Looks> = None;
    while !closed.load(Ordering::Acquire) && !events.is_closed() {
        let mut batch = Batch::default();
        looks = looks.and_then(|looks| looks.next(client));
        let until =
            looks.as_ref().map_or(POLL, |l| l.due.saturating_duration_since(Instant::now()));
        let mut next = client.poll(until);
        while let Some(polled) = next {
            match polled {
                Ok(message) => batch.push(&message),
                Err(error) => {
                    if is_missing(&error) {
                        looks.get_or_insert_with(Looks::begin);
                    }
                    if let Some(error) = fatal(error, &client.context().trouble)
                        && events.blocking_send(Err(error)).is_err()
                    {
                        return;
                    }
                }
            }
            if batch.count >= max || batch.bytes.len() >= BATCH_BYTES {
                break;
            }
            next = client.poll(Duration::ZERO);
        }
        if batch.count > 0 && events.blocking_send(Ok(Fetch::Messages(batch.finish()))).is_err() {
            return;
        }
    }
}

/// Whether a topic is not there.
fn is_missing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::UnknownTopicOrPartition | Code::UnknownTopic))
}

/// The error to report, if the client doesn't recover from it by itself.
fn fatal(error: KafkaError, trouble: &Trouble) -> Option<Error> {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    match code {
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::Fatal) => {
            let failed = request_error("cannot fetch", error);
            let needed = "READ on the topic; where it is missing, CREATE on it or on the cluster";
            let failed = permission(failed, code, needed);
            // librdkafka's words name the topic.
            Some(match trouble.last() {
                Some(reason) => failed.context("reason", reason),
                None => failed,
            })
        }
        Some(Code::PartitionEOF) => None,
        // Waited for, as the JVM does; librdkafka's words name it, once.
        _ if is_missing(&error) => {
            tracing::warn!(reason = trouble.last(), "a topic is not there; waiting for it");
            None
        }
        _ => {
            tracing::debug!(%error, "the consumer recovers by itself");
            None
        }
    }
}

/// Messages on their way to a [`Fetch`]: the bytes of all of them in one buffer.
#[derive(Default)]
struct Batch {
    bytes: BytesMut,
    parts: Vec<(TopicPartition, Vec<Part>)>,
    last: usize,
    count: usize,
}

/// A message whose key and value are the next bytes of the buffer.
struct Part {
    offset: i64,
    key: Option<usize>,
    value: Option<usize>,
    timestamp: Option<i64>,
    headers: Vec<(connect_core::data::Text, Option<Bytes>)>,
    start: usize,
}

impl Batch {
    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let (topic, partition) = (message.topic(), message.partition());
        let same = |tp: &TopicPartition| tp.partition == partition && tp.topic == topic;
        if !self.parts.get(self.last).is_some_and(|(tp, _)| same(tp)) {
            self.last = self.parts.iter().position(|(tp, _)| same(tp)).unwrap_or_else(|| {
                self.parts.push((TopicPartition { topic: topic.into(), partition }, Vec::new()));
                self.parts.len() - 1
            });
        }
        let start = self.bytes.len();
        let key = message.key().inspect(|key| self.bytes.extend_from_slice(key)).map(<[u8]>::len);
        let value =
            message.payload().inspect(|value| self.bytes.extend_from_slice(value)).map(<[u8]>::len);
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|h| (h.key.into(), h.value.map(Bytes::copy_from_slice)));
        self.parts[self.last].1.push(Part {
            offset: message.offset(),
            key,
            value,
            timestamp: message.timestamp().to_millis(),
            headers: headers.collect(),
            start,
        });
        self.count += 1;
    }

    fn finish(self) -> Vec<Fetched> {
        let bytes = self.bytes.freeze();
        let message = |part: Part| {
            let value_at = part.start + part.key.unwrap_or(0);
            let message = Message {
                partition: None,
                key: part.key.map(|len| bytes.slice(part.start..part.start + len)),
                value: part.value.map(|len| bytes.slice(value_at..value_at + len)),
                headers: part.headers,
                timestamp: part.timestamp,
            };
            (part.offset, message)
        };
        let fetched = self.parts.into_iter().map(|(origin, parts)| Fetched {
            origin,
            messages: parts.into_iter().map(message).collect(),
        });
        fetched.collect()
    }
}

fn commit(client: &Client, offsets: &Offsets) -> Result<(), KafkaError> {
    if offsets.is_empty() {
        return Ok(());
    }
    client.commit(&list(offsets)?, CommitMode::Sync)
}

#[async_trait]
impl Consumer for GroupConsumer {
    async fn fetch(&mut self) -> Result<Fetch> {
        if let Some(offsets) = self.rebalancing.take() {
            // The thread is gone only if it failed, which the channel tells next.
            let _ = self.resume.send(offsets);
        }
        let event = tokio::select! {
            biased;
            event = self.events.recv() => event,
            refused = self.trouble.until_denied() => return Err(refused),
        };
        let fetch =
            event.unwrap_or_else(|| Err(Error::internal("the consumer's thread has ended")))?;
        self.trouble.over();
        if !matches!(fetch, Fetch::Messages(_)) {
            self.rebalancing = Some(Offsets::new());
        }
        Ok(fetch)
    }

    async fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        let client = Arc::clone(&self.client);
        let offsets = offsets.clone();
        run_blocking(move || {
            let failed = |e| request_error("cannot commit offsets", e);
            let Err(error) = commit(&client, &offsets) else { return Ok(()) };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                return Err(failed(error));
            }
            let known = client.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
            let mut kept = offsets.clone();
            kept.retain(|tp, _| known.topics().iter().any(|topic| *topic.name() == *tp.topic));
            if kept.len() == offsets.len() {
                return Err(failed(error));
            }
            // Were they kept until the topic is made again, its first records would be passed over.
            tracing::warn!("a topic was deleted; what was read of it is not committed");
            commit(&client, &kept).map_err(failed)
        })
        .await
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        if let Some(starts) = &mut self.rebalancing {
            starts.extend(offsets.clone());
            return Ok(());
        }
        let client = Arc::clone(&self.client);
        let list = list(offsets).map_err(|e| request_error("cannot seek", e))?;
        run_blocking(move || {
            let sought = client.seek_partitions(list, REQUEST_TIMEOUT);
            sought.map(drop).map_err(|e| request_error("cannot seek", e))
        })
        .await?;
        // What was fetched before is not what the task wants now.
        while let Ok(event) = self.events.try_recv() {
            if let Ok(fetch @ (Fetch::Assigned(_) | Fetch::Revoked(_) | Fetch::Lost(_))) = event {
                return Err(Error::connection("a rebalance came between")
                    .context("event", format!("{fetch:?}")));
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        // Let a rebalance that waits for this task go on.
        let _ = self.resume.send(Offsets::new());
        self.events.close();
        while self.events.recv().await.is_some() {}
        let client = Arc::clone(&self.client);
        run_blocking(move || {
            client.unsubscribe();
            Ok(())
        })
        .await
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}
