//! Appends batches: the records first, and when all of them are durable, the offset that covers them.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{Append, Durable, Message, OffsetCommit, Producer},
};
use futures_util::FutureExt;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{DeliveryResult, Header, Message as _, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    config::Prepared,
    config_error,
    context::{Trouble, log},
    oauth::{Logins, Supply},
    permission, request_error,
};

/// What is still to be acknowledged of one append.
pub(crate) struct Pending {
    left: AtomicUsize,
    /// The first error, with the topic.
    failed: Mutex<Option<(KafkaError, String)>>,
    done: Mutex<Option<oneshot::Sender<Result<()>>>>,
}

impl Pending {
    /// One more than the messages, for the append itself: nothing is complete before all have been sent.
    pub(crate) fn new(messages: usize) -> (Arc<Self>, oneshot::Receiver<Result<()>>) {
        let (sender, receiver) = oneshot::channel();
        let pending = Self {
            left: AtomicUsize::new(messages + 1),
            failed: Mutex::new(None),
            done: Mutex::new(Some(sender)),
        };
        (Arc::new(pending), receiver)
    }

    fn failed(&self, error: KafkaError, topic: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert_with(|| (error, topic.to_owned()));
    }

    fn finished(&self, messages: usize) {
        if self.left.fetch_sub(messages, Ordering::AcqRel) > messages {
            return;
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result = match failed {
            Some((error, topic)) => Err(append_error(error, &topic)),
            None => Ok(()),
        };
        if let Some(done) = self.done.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody waits for a task that has been dropped.
            let _ = done.send(result);
        }
    }
}

fn append_error(error: KafkaError, topic: &str) -> Error {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let failed = request_error("cannot append to the log", error).context("topic", topic);
    let needed = "WRITE on the topic; where it is missing, CREATE on it or on the cluster";
    let failed = permission(failed, code, needed);
    match code {
        Some(Code::MessageSizeTooLarge) => failed
            .context("limits", "max.request.size of the producer, max.message.bytes of the topic"),
        _ => failed,
    }
}

/// Hears from librdkafka what became of each message.
pub(crate) struct Deliveries {
    pub(crate) room: Arc<Notify>,
    pub(crate) trouble: Trouble,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.hear(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Pending>;
    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        if let Err((error, message)) = result {
            pending.failed(error.clone(), message.topic());
        }
        pending.finished(1);
        self.room.notify_one();
    }
}

pub(crate) type Client = ThreadedProducer<Deliveries>;

/// An append whose records are on their way, in the order of the calls.
struct Ordered {
    records: oneshot::Receiver<Result<()>>,
    offset: Option<OffsetCommit>,
    durable: oneshot::Sender<Result<()>>,
}

/// The producer of one task.
pub(crate) struct KafkaProducer {
    client: Arc<Client>,
    room: Arc<Notify>,
    order: mpsc::UnboundedSender<Ordered>,
    trouble: Trouble,
    _tokens: Supply,
}

impl KafkaProducer {
    pub(crate) fn open(prepared: Prepared, logins: &Logins) -> Result<Self> {
        let Prepared { config, login } = prepared;
        let (room, trouble) = (Arc::new(Notify::new()), Trouble::default());
        let context = Deliveries { room: Arc::clone(&room), trouble: trouble.clone() };
        let client: Client = config.create_with_context(context).map_err(config_error)?;
        let client = Arc::new(client);
        let tokens = logins.supply(login)?;
        tokens.join(&client, &trouble);
        let (order, receiver) = mpsc::unbounded_channel();
        tokio::spawn(commit_in_order(Arc::clone(&client), Arc::clone(&room), receiver));
        Ok(Self { client, room, order, trouble, _tokens: tokens })
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    async fn append(&mut self, append: Append) -> Result<Durable> {
        let count = append.messages.iter().map(|(_, messages)| messages.len()).sum();
        let (pending, records) = Pending::new(count);
        let (durable, wait) = oneshot::channel();
        let ordered = Ordered { records, offset: append.offset, durable };
        self.order.send(ordered).map_err(|_| Error::internal("the producer has been closed"))?;
        let mut sent = 0;
        for (topic, messages) in &append.messages {
            for message in messages {
                let sending = send(&self.client, &self.room, topic, message, &pending);
                let result = tokio::select! {
                    biased;
                    result = sending => result,
                    // Nothing that waits will ever be sent, and no room come.
                    refused = self.trouble.until_denied() => return Err(refused),
                };
                if let Err(error) = result {
                    // The rest was not sent: the append fails once the messages before have been answered.
                    pending.failed(error, topic);
                    pending.finished(count - sent + 1);
                    return Ok(durable_when(wait, self.trouble.clone()));
                }
                sent += 1;
            }
        }
        pending.finished(1);
        Ok(durable_when(wait, self.trouble.clone()))
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // Nobody waits for what is left; without this it would be tried for ever.
        self.client.purge(PurgeConfig::default().queue().inflight());
    }
}

/// Waits for the brokers' answer, but no longer than until they have refused the client.
fn durable_when(wait: oneshot::Receiver<Result<()>>, trouble: Trouble) -> Durable {
    async move { trouble.unless_denied(wait.map(answered)).await }.boxed()
}

fn answered(result: Result<Result<()>, oneshot::error::RecvError>) -> Result<()> {
    result.unwrap_or_else(|e| Err(Error::internal("the producer has been closed").with_source(e)))
}

/// Hands one message to librdkafka, waiting for room in its queue.
pub(crate) async fn send(
    client: &Client,
    room: &Notify,
    topic: &Text,
    message: &Message,
    pending: &Arc<Pending>,
) -> Result<(), KafkaError> {
    let mut record = record(topic, message, pending);
    loop {
        // Registered before the attempt: a delivery in between is not missed.
        let more = room.notified();
        record = match client.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
            Err((error, _)) => return Err(error),
        };
        more.await;
    }
}

fn record<'m>(
    topic: &'m Text,
    message: &'m Message,
    pending: &Arc<Pending>,
) -> BaseRecord<'m, [u8], [u8], Arc<Pending>> {
    let mut record = BaseRecord::with_opaque_to(topic, Arc::clone(pending));
    record.partition = message.partition;
    record.key = message.key.as_deref();
    record.payload = message.value.as_deref();
    record.timestamp = message.timestamp;
    if !message.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in &message.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        record.headers = Some(headers);
    }
    record
}

/// Stores the offsets in the order of the appends, each after its records (invariant 1). Offsets that became due
/// while one was being written are written as one: only the last of a source partition counts.
async fn commit_in_order(
    client: Arc<Client>,
    room: Arc<Notify>,
    mut appends: mpsc::UnboundedReceiver<Ordered>,
) {
    let mut broken: Option<String> = None;
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(ordered) => ordered,
            None => match appends.recv().await {
                Some(ordered) => ordered,
                None => return,
            },
        };
        let mut due: Vec<OffsetCommit> = Vec::new();
        let mut waiting = Vec::new();
        let mut current = Some((first.records.await, first.offset, first.durable));
        while let Some((result, offset, durable)) = current.take() {
            let result = match (&broken, answered(result)) {
                // Its offset would pass over the records of the one that failed.
                (Some(first), _) if offset.is_some() => {
                    Err(Error::connection("an earlier append failed").context("first", first))
                }
                (_, result) => result,
            };
            if let Err(error) = result {
                broken.get_or_insert_with(|| error.to_string());
                let _ = durable.send(Err(error));
                break;
            }
            if let Some(offset) = offset {
                due.retain(|earlier| {
                    (&earlier.topic, &earlier.key) != (&offset.topic, &offset.key)
                });
                due.push(offset);
            }
            waiting.push(durable);
            // Take what is complete by now; what is not waits for its own turn.
            if let Ok(mut ordered) = appends.try_recv() {
                match ordered.records.try_recv() {
                    Ok(result) => current = Some((Ok(result), ordered.offset, ordered.durable)),
                    Err(_) => next = Some(ordered),
                }
            }
        }
        let stored = store(&client, &room, due).await;
        if let Err(error) = &stored {
            broken.get_or_insert_with(|| error.to_string());
        }
        for durable in waiting {
            let result = match &stored {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::connection("cannot store source offsets")
                    .context("cause", format!("{error:?}"))),
            };
            // Nobody waits for a task that has been dropped.
            let _ = durable.send(result);
        }
    }
}

async fn store(client: &Client, room: &Notify, offsets: Vec<OffsetCommit>) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let (pending, done) = Pending::new(offsets.len());
    for offset in &offsets {
        let message = Message {
            key: Some(offset.key.clone()),
            value: offset.value.clone(),
            ..Message::default()
        };
        if let Err(error) = send(client, room, &offset.topic, &message, &pending).await {
            return Err(request_error("cannot store source offsets", error));
        }
    }
    pending.finished(1);
    answered(done.await)
}
