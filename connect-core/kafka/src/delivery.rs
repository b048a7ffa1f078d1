//! What librdkafka is handed, and what becomes of it.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::Message,
};
use rdkafka::{
    config::ClientConfig,
    error::KafkaError,
    message::{DeliveryResult, Header, Message as _, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, ProducerContext},
    types::RDKafkaErrorCode,
};
use tokio::sync::{Notify, oneshot};

use crate::{
    config_error,
    context::{Trouble, hears},
    permission, request_error,
};

/// How long the polling thread waits for deliveries. rdkafka 0.39 spins for the last millisecond of each wait, so that short
/// ones are dear; rdkafka's own threaded producer waits for 100 of them.
const POLL: Duration = Duration::from_secs(1);

/// What is still to be acknowledged of one append.
pub(crate) struct Pending {
    left: AtomicUsize,
    /// The first error, with the topic, and the largest size of a message that failed.
    failed: Mutex<Option<(KafkaError, String, usize)>>,
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

    pub(crate) fn failed(&self, error: KafkaError, topic: &str, size: usize) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, _, largest) = failed.get_or_insert_with(|| (error, topic.to_owned(), size));
        *largest = size.max(*largest);
    }

    pub(crate) fn finished(&self, messages: usize) {
        if self.left.fetch_sub(messages, Ordering::AcqRel) > messages {
            return;
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result = match failed {
            Some((error, topic, size)) => Err(append_error(error, &topic, size)),
            None => Ok(()),
        };
        if let Some(done) = self.done.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Nobody waits for a task that has been dropped.
            let _ = done.send(result);
        }
    }
}

/// Why a message of so many bytes was not appended, with what would be right.
pub(crate) fn append_error(error: KafkaError, topic: &str, size: usize) -> Error {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let failed = request_error("cannot append to the log", error).context("topic", topic);
    let needed = "WRITE on the topic; where it is missing, CREATE on it or on the cluster";
    let failed = permission(failed, code, needed);
    match code {
        Some(Code::MessageSizeTooLarge) => failed
            .context("bytes", size)
            .context("limits", "max.request.size of the producer, max.message.bytes of the topic"),
        _ => failed,
    }
}

/// Hears from librdkafka what became of each message.
pub(crate) struct Deliveries {
    pub(crate) room: Arc<Notify>,
    pub(crate) trouble: Trouble,
}

hears!(Deliveries);

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Pending>;
    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        if let Err((error, message)) = result {
            pending.failed(
                error.clone(),
                message.topic(),
                message.key_len() + message.payload_len(),
            );
        }
        pending.finished(1);
        self.room.notify_one();
    }
}

/// A producing client, whose deliveries a thread hears as long as it is there.
pub(crate) type Client = BaseProducer<Deliveries>;

/// Opens a client.
pub(crate) fn open(
    config: &ClientConfig,
    trouble: &Trouble,
    room: &Arc<Notify>,
) -> Result<Arc<Client>> {
    let context = Deliveries { room: Arc::clone(room), trouble: trouble.clone() };
    let client: Client = config.create_with_context(context).map_err(config_error)?;
    let client = Arc::new(client);
    let polled = Arc::downgrade(&client);
    std::thread::Builder::new()
        .name("deliveries".into())
        .spawn(move || poll(&polled))
        .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
    Ok(client)
}

fn poll(client: &Weak<Client>) {
    while let Some(client) = client.upgrade() {
        client.poll(POLL);
    }
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
