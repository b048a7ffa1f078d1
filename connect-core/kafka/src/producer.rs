//! Appends batches: the records first, and when all of them are durable, the offset that covers them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{Append, Durable, Message, OffsetCommit, Producer},
};
use futures_util::FutureExt;
use rdkafka::{
    config::ClientConfig,
    producer::{Producer as _, PurgeConfig},
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    config::Prepared,
    context::Trouble,
    delivery::{self, Client, Pending, send},
    oauth::{Logins, Supply},
    request_error,
};

/// A client that nothing was appended by for this long is closed: a thousand idle sources need none.
const IDLE: Duration = Duration::from_secs(60);
/// How long a new client may take to hear of its first topic before it is left to its own timers.
const HASTE: Duration = Duration::from_secs(2);
/// Pauses between its questions. The first may go to the connection of `bootstrap.servers`, which librdkafka then replaces.
const QUESTIONS: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(60), Duration::from_millis(60)];

/// An append whose records are on their way, in the order of the calls.
struct Ordered {
    records: oneshot::Receiver<Result<()>>,
    offset: Option<OffsetCommit>,
    durable: oneshot::Sender<Result<()>>,
}

/// The producer of one task. Its client, with threads and connections, is there while something is appended now and then.
pub(crate) struct KafkaProducer {
    config: ClientConfig,
    tokens: Supply,
    live: Option<Live>,
}

struct Live {
    /// Gone when nothing was appended for long.
    client: Weak<Client>,
    room: Arc<Notify>,
    order: mpsc::UnboundedSender<Ordered>,
    trouble: Trouble,
}

impl KafkaProducer {
    pub(crate) fn open(prepared: Prepared, logins: &Logins) -> Result<Self> {
        let Prepared { config, login } = prepared;
        Ok(Self { config, tokens: logins.supply(login)?, live: None })
    }

    /// The client, and where what is appended goes next: a new one if there is none, or no longer. It will append to `topic`.
    fn live(
        &mut self,
        ordered: Ordered,
        topic: Option<&Text>,
    ) -> Result<(Arc<Client>, Arc<Notify>, Trouble)> {
        let mut ordered = ordered;
        if let Some(live) = &self.live
            && let Some(client) = live.client.upgrade()
        {
            match live.order.send(ordered) {
                Ok(()) => return Ok((client, Arc::clone(&live.room), live.trouble.clone())),
                Err(unsent) => ordered = unsent.0,
            }
        }
        let (room, trouble) = (Arc::new(Notify::new()), Trouble::default());
        let client = delivery::open(&self.config, &trouble, &room)?;
        self.tokens.join(&client, &trouble);
        if let Some(topic) = topic {
            hasten(&client, topic);
        }
        let (order, receiver) = mpsc::unbounded_channel();
        let live = Live {
            client: Arc::downgrade(&client),
            room: Arc::clone(&room),
            order,
            trouble: trouble.clone(),
        };
        let closed = |_| Error::internal("the producer has been closed");
        live.order.send(ordered).map_err(closed)?;
        self.live = Some(live);
        tokio::spawn(commit_in_order(Arc::clone(&client), Arc::clone(&room), receiver));
        Ok((client, room, trouble))
    }
}

/// Has a new client ask about the topic that it is about to append to. An idempotent one asks for its id when it starts, before
/// there is a connection, and then again after half a second, or when it hears of a topic.
fn hasten(client: &Arc<Client>, topic: &str) {
    let (client, topic) = (Arc::downgrade(client), topic.to_owned());
    tokio::spawn(async move {
        for pause in QUESTIONS {
            tokio::time::sleep(pause).await;
            let Some(client) = client.upgrade() else { return };
            let topic = topic.clone();
            let ask = move || client.client().fetch_metadata(Some(&topic), HASTE);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(ask).await {
                tracing::debug!(%error, "cannot ask about a topic before appending to it");
            }
        }
    });
}

/// Most bytes of a message in a topic that takes so many at once. Compressed, a larger one may fit into the topic: the brokers
/// say whether it did.
pub(crate) fn longest(config: &ClientConfig, topic: Option<usize>) -> Option<usize> {
    /// What a batch of one message has around it, at most.
    const AROUND: usize = 128;
    let own = config.get("message.max.bytes").and_then(|bytes| bytes.parse().ok());
    let compression =
        ["compression.codec", "compression.type"].iter().find_map(|key| config.get(key));
    let plain = compression.is_none_or(|codec| codec == "none");
    let topic = topic.filter(|_| plain).map(|bytes| bytes.saturating_sub(AROUND));
    own.into_iter().chain(topic).min()
}

#[async_trait]
impl Producer for KafkaProducer {
    fn longest(&mut self, topic: Option<usize>) -> Option<usize> {
        if let Some(bytes) = topic {
            /// librdkafka's own.
            const BATCH: usize = 1_000_000;
            let batch =
                self.config.get("batch.size").and_then(|bytes| bytes.parse().ok()).unwrap_or(BATCH);
            // A batch that the topic does not take would take all of its messages with it.
            if bytes < batch {
                self.config.set("batch.size", bytes.to_string());
            }
        }
        longest(&self.config, topic)
    }

    async fn append(&mut self, append: Append) -> Result<Durable> {
        let count = append.messages.iter().map(|(_, messages)| messages.len()).sum();
        let (pending, records) = Pending::new(count);
        let (durable, wait) = oneshot::channel();
        let ordered = Ordered { records, offset: append.offset, durable };
        let topic = append.messages.first().map(|(topic, _)| topic);
        let (client, room, trouble) = self.live(ordered, topic)?;
        let mut sent = 0;
        for (topic, messages) in &append.messages {
            for message in messages {
                let sending = send(&client, &room, topic, message, &pending);
                let result = tokio::select! {
                    biased;
                    result = sending => result,
                    // Nothing that waits will ever be sent, and no room come.
                    refused = trouble.until_denied() => return Err(refused),
                };
                if let Err(error) = result {
                    // The rest was not sent: the append fails once the messages before have been answered.
                    pending.failed(error, topic, message.size());
                    pending.finished(count - sent + 1);
                    return Ok(durable_when(wait, trouble));
                }
                sent += 1;
            }
        }
        pending.finished(1);
        Ok(durable_when(wait, trouble))
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        // Nobody waits for what is left; without this it would be tried for ever.
        if let Some(client) = self.live.as_ref().and_then(|live| live.client.upgrade()) {
            client.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

/// Waits for the brokers' answer, but no longer than until they have refused the client.
fn durable_when(wait: oneshot::Receiver<Result<()>>, trouble: Trouble) -> Durable {
    async move { trouble.unless_denied(wait.map(answered)).await }.boxed()
}

fn answered(result: Result<Result<()>, oneshot::error::RecvError>) -> Result<()> {
    result.unwrap_or_else(|e| Err(Error::internal("the producer has been closed").with_source(e)))
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
            None => match tokio::time::timeout(IDLE, appends.recv()).await {
                Ok(Some(ordered)) => ordered,
                Ok(None) => return,
                Err(_) => {
                    // What came just now is still seen to; what comes next finds a new client.
                    appends.close();
                    match appends.try_recv() {
                        Ok(ordered) => ordered,
                        Err(_) => return,
                    }
                }
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
