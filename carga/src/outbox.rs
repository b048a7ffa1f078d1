//! The one producer, shared by all requests: what arrives while it is busy is appended together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{Append, Message, Producer, Transport},
};
use tokio::sync::{mpsc, oneshot};

use crate::Record;

/// Most messages of one append.
const BATCH: usize = 1000;

type Waiting = (Message, oneshot::Sender<Result<()>>);

/// Takes records to be announced.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Waiting>,
}

impl Outbox {
    /// Starts the task that owns the producer; it ends when all clones of the outbox are dropped.
    pub(crate) fn start(transport: Arc<dyn Transport>, topic: &str) -> Self {
        let (queue, waiting) = mpsc::channel(BATCH);
        let sender =
            Sender { transport, topic: topic.into(), producer: None, broken: Arc::default() };
        tokio::spawn(sender.run(waiting));
        Self { queue }
    }

    /// Announces a record, keyed by its id; it is in the log durably on return.
    pub(crate) async fn append(&self, record: &Record) -> Result<()> {
        let gone = || Error::internal("the producer's task has ended");
        let value = serde_json::to_vec(record)
            .map_err(|e| Error::internal("cannot write JSON").with_source(e))?;
        let message = Message {
            key: Some(record.id.clone().into()),
            value: Some(value.into()),
            ..Message::default()
        };
        let (answer, durable) = oneshot::channel();
        self.queue.send((message, answer)).await.map_err(|_| gone())?;
        durable.await.unwrap_or_else(|_| Err(gone()))
    }
}

struct Sender {
    transport: Arc<dyn Transport>,
    topic: Text,
    producer: Option<Box<dyn Producer>>,
    /// Set when an append of the present producer failed: it may take no more.
    broken: Arc<AtomicBool>,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            // Who has given up waiting was told so, and may send it again.
            batch.retain(|(_, answer): &Waiting| !answer.is_closed());
            let (messages, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            if messages.is_empty() {
                continue;
            }
            match self.append(messages).await {
                Ok(durable) => {
                    let broken = Arc::clone(&self.broken);
                    // Not awaited here: the next batch is appended meanwhile.
                    tokio::spawn(async move {
                        let result = durable.await;
                        broken.fetch_or(result.is_err(), Ordering::AcqRel);
                        answer(answers, &result);
                    });
                }
                Err(error) => {
                    self.producer = None;
                    answer(answers, &Err(error));
                }
            }
        }
    }

    async fn append(&mut self, messages: Vec<Message>) -> Result<connect_core::transport::Durable> {
        if self.broken.load(Ordering::Acquire) {
            self.producer = None;
        }
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => {
                self.broken = Arc::default();
                none.insert(self.transport.producer("carga", &BTreeMap::new()).await?)
            }
        };
        producer
            .append(Append { messages: vec![(self.topic.clone(), messages)], offset: None })
            .await
    }
}

fn answer(answers: Vec<oneshot::Sender<Result<()>>>, result: &Result<()>) {
    for answer in answers {
        let copy = result.as_ref().copied().map_err(|e| {
            Error::new(e.kind(), e.trace().trim_end().to_owned()).retriable(e.is_retriable())
        });
        // Whoever has gone doesn't need it.
        let _ = answer.send(copy);
    }
}
