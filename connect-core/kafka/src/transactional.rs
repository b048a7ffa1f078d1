//! Appends that are transactions: the records and the offset that covers them become visible together (KIP-98, KIP-618).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    transport::{Append, Durable, Message, Producer},
};
use futures_util::FutureExt;
use rdkafka::{
    config::ClientConfig,
    error::KafkaError,
    producer::{Producer as _, PurgeConfig},
};
use tokio::sync::{Notify, oneshot};

use crate::{
    REQUEST_TIMEOUT, blocking,
    config::Prepared,
    context::Trouble,
    delivery::{self, Client, Pending, append_error, send},
    oauth::{Logins, Supply},
    permission,
    producer::longest,
    request_error,
};

/// How long one attempt to end a transaction may take; it is repeated.
const COMMIT: Duration = Duration::from_secs(10);

/// The producer of one task. No other one of its transactional id is alive.
pub(crate) struct TransactionalProducer {
    client: Arc<Client>,
    config: ClientConfig,
    room: Arc<Notify>,
    /// Whether a transaction has begun that no commit has been asked for.
    open: bool,
    /// What became of the messages of each append in the open transaction.
    sent: Vec<oneshot::Receiver<Result<()>>>,
    /// Who waits for the open transaction.
    waiting: Vec<oneshot::Sender<Result<()>>>,
    /// The commit that is on its way: the next transaction begins after it.
    committing: Option<oneshot::Receiver<bool>>,
    broken: bool,
    _tokens: Supply,
}

impl TransactionalProducer {
    /// Fences earlier producers of the id that the configuration names.
    pub(crate) async fn open(
        prepared: Prepared,
        logins: &Logins,
        transactional_id: &str,
    ) -> Result<Self> {
        let Prepared { mut config, login } = prepared;
        config.set("transactional.id", transactional_id);
        // A message is tried for as long as its transaction may take.
        config.remove("message.timeout.ms");
        let room = Arc::new(Notify::new());
        let trouble = Trouble::default();
        let client = delivery::open(&config, &trouble, &room)?;
        let tokens = logins.supply(login)?;
        tokens.join(&client, &trouble);
        let (inner, id) = (Arc::clone(&client), transactional_id.to_owned());
        let begin = blocking(move || {
            inner.init_transactions(REQUEST_TIMEOUT).map_err(|error| {
                let code = error.rdkafka_error_code();
                let failed = request_error("cannot begin to write transactions", error);
                permission(failed, code, "WRITE and DESCRIBE on the transactional id")
                    .context("transactional.id", id)
            })
        });
        trouble.unless_denied(begin).await?;
        Ok(Self {
            client,
            config,
            room,
            open: false,
            sent: Vec::new(),
            waiting: Vec::new(),
            committing: None,
            broken: false,
            _tokens: tokens,
        })
    }

    async fn begin(&mut self) -> Result<()> {
        if let Some(committing) = &mut self.committing {
            // No answer is that of a commit that panicked. Forgotten only when it is there: this call may be given up.
            let committed = committing.await.unwrap_or(false);
            self.committing = None;
            self.broken |= !committed;
        }
        if self.broken {
            return Err(Error::connection("an earlier transaction failed"));
        }
        if !self.open {
            let begun = self.client.begin_transaction();
            begun.map_err(|e| self.fail(request_error("cannot begin a transaction", e)))?;
            self.open = true;
        }
        Ok(())
    }

    fn fail(&mut self, error: Error) -> Error {
        self.broken = true;
        error
    }

    async fn send(&mut self, append: Append) -> Result<()> {
        let Append { mut messages, offset } = append;
        messages.extend(offset.map(|offset| {
            let message =
                Message { key: Some(offset.key), value: offset.value, ..Message::default() };
            (offset.topic, vec![message])
        }));
        let count = messages.iter().map(|(_, messages)| messages.len()).sum();
        let (pending, sent) = Pending::new(count);
        self.sent.push(sent);
        for (topic, messages) in &messages {
            for message in messages {
                let sent = send(&self.client, &self.room, topic, message, &pending).await;
                sent.map_err(|error| append_error(error, topic, message.size()))?;
            }
        }
        pending.finished(1);
        Ok(())
    }

    fn commit(&mut self) {
        self.open = false;
        let (done, committing) = oneshot::channel();
        self.committing = Some(committing);
        let (client, waiting) = (Arc::clone(&self.client), std::mem::take(&mut self.waiting));
        let mut sent = std::mem::take(&mut self.sent);
        tokio::spawn(async move {
            let result = blocking(move || commit(&client)).await;
            // A message that was refused says more than the transaction that failed for it.
            let result = result.map_err(|error| {
                let mut failed = sent.iter_mut().filter_map(|sent| sent.try_recv().ok()?.err());
                failed.find(|error| !error.is_retriable()).unwrap_or(error)
            });
            // The producer may be gone, as may be whoever waits: a task that was dropped.
            let _ = done.send(result.is_ok());
            let shown = result.as_ref().err().map(|error| format!("{error:?}"));
            let mut result = Some(result);
            for waiting in waiting {
                let result =
                    result.take().unwrap_or_else(|| match &shown {
                        None => Ok(()),
                        Some(cause) => Err(Error::connection("cannot commit a transaction")
                            .context("cause", cause)),
                    });
                let _ = waiting.send(result);
            }
        });
    }

    async fn add(&mut self, append: Append) -> Result<Durable> {
        self.begin().await?;
        if let Err(error) = self.send(append).await {
            return Err(self.fail(error));
        }
        let (durable, wait) = oneshot::channel();
        self.waiting.push(durable);
        let gone = |e| Error::connection("the transaction was given up").with_source(e);
        Ok(wait.map(move |result| result.unwrap_or_else(|e| Err(gone(e)))).boxed())
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // Else readers of committed records would wait for it until it has timed out.
        let client = Arc::clone(&self.client);
        client.purge(PurgeConfig::default().queue().inflight());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || {
                if let Err(error) = client.abort_transaction(COMMIT) {
                    tracing::warn!(%error, "cannot abort a transaction");
                }
            });
        }
    }
}

#[async_trait]
impl Producer for TransactionalProducer {
    fn longest(&mut self, topic: Option<usize>) -> Option<usize> {
        longest(&self.config, topic)
    }

    async fn append(&mut self, append: Append) -> Result<Durable> {
        let durable = self.add(append).await?;
        self.commit();
        Ok(durable)
    }

    async fn hold(&mut self, append: Append) -> Result<Durable> {
        self.add(append).await
    }
}

/// Commits, and tries again what may be tried again. What cannot be committed is aborted.
fn commit(client: &Client) -> Result<()> {
    loop {
        let Err(error) = client.commit_transaction(COMMIT) else { return Ok(()) };
        let KafkaError::Transaction(cause) = &error else {
            return Err(request_error("cannot commit a transaction", error));
        };
        if cause.is_retriable() {
            tracing::debug!(%error, "committing a transaction again");
            continue;
        }
        let aborts = cause.txn_requires_abort();
        let failed = request_error("cannot commit a transaction", error);
        if aborts {
            client.purge(PurgeConfig::default().queue().inflight());
            // What was not aborted now is by the next producer of this id.
            if let Err(error) = client.abort_transaction(COMMIT) {
                tracing::warn!(%error, "cannot abort a transaction");
            }
        }
        return Err(failed);
    }
}
