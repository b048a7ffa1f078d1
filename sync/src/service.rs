//! The loop: fetch, upsert, and only then commit.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use connect_core::{
    data::Text,
    error::Error,
    sink::{Offsets, TopicPartition},
    transport::{
        Append, Consumer, ConsumerOptions, Fetch, Fetched, Message, Producer, Subscription,
        Transport,
    },
};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    health::{self, Trouble},
    message::{self, Row},
    store::{Store, StoreError},
};

/// Most messages in one statement.
const MAX_MESSAGES: usize = 1000;
/// Pause before another attempt.
const BACKOFF: Duration = Duration::from_millis(500);

/// Runs the service until stopped.
///
/// # Errors
/// If the port is taken, or the log refuses for good. A database or broker that is down is waited for.
pub async fn run(
    config: Config,
    transport: Arc<dyn Transport>,
    stop: CancellationToken,
) -> Result<()> {
    let listener = TcpListener::bind(&config.listen).await;
    let listener =
        listener.with_context(|| format!("SYNC_LISTEN: cannot listen on {}", config.listen))?;
    let (trouble, health) = watch::channel(Some("starting".to_owned()));
    let server = tokio::spawn(health::serve(listener, health, stop.clone()));
    let result = consume(&config, &*transport, trouble, &stop).await;
    stop.cancel();
    server.await.context("the health endpoint panicked")??;
    result
}

async fn consume(
    config: &Config,
    transport: &dyn Transport,
    trouble: watch::Sender<Trouble>,
    stop: &CancellationToken,
) -> Result<()> {
    let mut service = Service {
        store: Store::new(&config.postgres, &config.table, &config.resolve),
        dlq: (
            config.dlq_topic.as_str().into(),
            transport.producer("sync-dlq", &BTreeMap::new()).await?,
        ),
        trouble,
        stop,
    };
    if service.until_written(&[]).await.is_none() {
        return Ok(());
    }
    let options = ConsumerOptions {
        group: config.group.clone(),
        client_id: "sync".into(),
        subscription: Subscription::Topics(vec![config.topic.clone()]),
        max_messages: MAX_MESSAGES,
        properties: BTreeMap::new(),
    };
    let mut consumer = transport.consumer(options).await?;
    let result = service.fetch_all(&mut *consumer).await;
    consumer.close().await?;
    result
}

struct Service<'s> {
    store: Store,
    dlq: (Text, Box<dyn Producer>),
    trouble: watch::Sender<Trouble>,
    stop: &'s CancellationToken,
}

/// A message with where it was fetched from.
type Origin<'m> = (&'m TopicPartition, i64, &'m Message);

impl Service<'_> {
    async fn fetch_all(&mut self, consumer: &mut dyn Consumer) -> Result<()> {
        loop {
            let fetched = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                fetched = consumer.fetch() => fetched,
            };
            match fetched {
                // Whatever was delivered has been committed: there is nothing to do before letting go.
                Ok(Fetch::Assigned(_) | Fetch::Revoked(_) | Fetch::Lost(_)) => {}
                Ok(Fetch::Messages(parts)) => {
                    if !self.deliver(&parts).await? {
                        return Ok(());
                    }
                    commit(consumer, &parts).await?;
                }
                Err(error) if error.is_retriable() => {
                    if !self.pause("the log", &error.to_string()).await {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes every message, or puts it aside for good. False when told to stop before.
    async fn deliver(&mut self, parts: &[Fetched]) -> Result<bool> {
        let mut rows: Vec<(Row, Origin<'_>)> = Vec::new();
        let mut bad: Vec<(Origin<'_>, String)> = Vec::new();
        for part in parts {
            for (offset, message) in &part.messages {
                let origin = (&part.origin, *offset, message);
                match message::parse(message.value.as_ref()) {
                    Ok(row) => rows.push((row, origin)),
                    Err(why) => bad.push((origin, why)),
                }
            }
        }
        // In halves until what cannot be written is alone; in order, so that the last of an id stays the last.
        let mut pending = vec![&rows[..]];
        while let Some(chunk) = pending.pop().filter(|chunk| !chunk.is_empty()) {
            match self.until_written(chunk).await {
                None => return Ok(false),
                Some(Ok(())) => report(chunk),
                Some(Err(why)) => match chunk {
                    [(_, origin)] => bad.push((*origin, why)),
                    _ => {
                        let (head, tail) = chunk.split_at(chunk.len() / 2);
                        pending.extend([tail, head]);
                    }
                },
            }
        }
        self.put_aside(bad).await?;
        Ok(true)
    }

    /// Tries until the rows are written, or one of them can never be. None when told to stop.
    async fn until_written(&mut self, rows: &[(Row, Origin<'_>)]) -> Option<Result<(), String>> {
        // A statement must not touch a row twice: the last of an id counts.
        let mut last: HashMap<&str, &Row> = HashMap::with_capacity(rows.len());
        for (row, _) in rows {
            last.insert(&row.id, row);
        }
        let last: Vec<&Row> = last.into_values().collect();
        loop {
            let result = if last.is_empty() {
                self.store.ready().await
            } else {
                self.store.upsert(&last).await
            };
            match result {
                Ok(()) => {
                    self.trouble.send_replace(None);
                    return Some(Ok(()));
                }
                Err(StoreError::Data(why)) => return Some(Err(why)),
                Err(StoreError::Unavailable(why)) => {
                    if !self.pause("PostgreSQL", &why).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Says what doesn't work, and waits a little. False when told to stop.
    async fn pause(&mut self, what: &str, why: &str) -> bool {
        tracing::warn!("{what} is not available, trying again: {why}");
        self.trouble.send_replace(Some(format!("{what} is not available")));
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = sleep(BACKOFF) => true,
        }
    }

    /// Puts messages into the dead letter queue; on return it has them durably.
    async fn put_aside(&mut self, bad: Vec<(Origin<'_>, String)>) -> Result<(), Error> {
        if bad.is_empty() {
            return Ok(());
        }
        let letter = |((origin, offset, message), why): (Origin<'_>, String)| {
            tracing::error!(topic = %origin.topic, partition = origin.partition, offset, "message put aside: {why}");
            let mut letter = Message { partition: None, ..message.clone() };
            let context = [
                ("__connect.errors.topic", origin.topic.to_string()),
                ("__connect.errors.partition", origin.partition.to_string()),
                ("__connect.errors.offset", offset.to_string()),
                ("__connect.errors.exception.message", why),
            ];
            let header = |(name, value)| (Text::from_static(name), Some(Bytes::from(value)));
            letter.headers.extend(context.into_iter().map(header));
            letter
        };
        let letters = bad.into_iter().map(letter).collect();
        let append = Append { messages: vec![(self.dlq.0.clone(), letters)], offset: None };
        self.dlq.1.append(append).await?.await
    }
}

async fn commit(consumer: &mut dyn Consumer, parts: &[Fetched]) -> Result<()> {
    let next =
        parts.iter().filter_map(|part| Some((part.origin.clone(), part.messages.last()?.0 + 1)));
    let offsets: Offsets = next.collect();
    match consumer.commit(&offsets).await {
        // The rows are there: at worst they are written again.
        Err(error) if error.is_retriable() => {
            tracing::warn!(%error, "committing offsets failed; a later commit covers them");
            Ok(())
        }
        result => Ok(result?),
    }
}

/// Logs what was synchronised, in the words of the user's service.
fn report(rows: &[(Row, Origin<'_>)]) {
    for (row, _) in rows {
        tracing::info!("Dados sincronizados: {}", message::shown(row));
    }
}
