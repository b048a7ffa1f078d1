//! Takes a record: first the store, then the log, in the same order for every id.

use std::{
    collections::hash_map::RandomState, future::Future, hash::BuildHasher, sync::Arc,
    time::Duration,
};

use connect_core::{
    error::{Error, Result},
    transport::Transport,
};
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

use crate::{Record, Store, outbox::Outbox};

/// Locks that ids share: two ids rarely have the same.
const LOCKS: usize = 4096;

/// How carga serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address to serve HTTP on, `host:port`; port 0 is any free one.
    pub listen: String,
    /// Topic that records are announced in.
    pub topic: String,
    /// Records that are being taken at once; more wait.
    pub in_flight: usize,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// How long the store and the log may take, each, before the client is told that they are down.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:8000".into(),
            topic: "carga_topic".into(),
            in_flight: 512,
            // Kafka's own limit for a message is a megabyte, key and overhead included.
            max_body: 1_000_000,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What a record could not be taken by.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Too many records are being taken.
    Busy,
    /// The store cannot write it.
    Store(Error),
    /// The store has it, the log doesn't: sending it again puts it there.
    Log(Error),
}

/// Store and log.
pub(crate) struct Service {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    outbox: Outbox,
    options: Options,
    room: Arc<Semaphore>,
    locks: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

impl Service {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        options: Options,
    ) -> Self {
        let outbox = Outbox::start(Arc::clone(&transport), &options.topic);
        let room = Arc::new(Semaphore::new(options.in_flight));
        let locks = (0..LOCKS).map(|_| Arc::default()).collect();
        Self { store, transport, outbox, options, room, locks, hasher: RandomState::new() }
    }

    /// Takes a record; it is durable in both on return. A record whose taking has begun is not given up halfway when
    /// the client goes away.
    pub(crate) async fn take(self: &Arc<Self>, record: Record) -> Result<(), Refusal> {
        let limit = self.options.timeout;
        let lock = &self.locks[self.hasher.hash_one(&record.id) as usize % LOCKS];
        let turn = async {
            let turn = Arc::clone(lock).lock_owned().await;
            let room = Arc::clone(&self.room).acquire_owned().await;
            (turn, room)
        };
        let turn = timeout(limit, turn).await.map_err(|_| Refusal::Busy)?;
        let service = Arc::clone(self);
        let taken = tokio::spawn(async move {
            let _turn = turn;
            service.write(&record).await
        });
        let lost = |e| Refusal::Store(Error::internal("the request's task failed").with_source(e));
        taken.await.map_err(lost)?
    }

    async fn write(&self, record: &Record) -> Result<(), Refusal> {
        self.limited(self.store.upsert(record)).await.map_err(Refusal::Store)?;
        tracing::debug!(target: "ferrovia::stop", stop = "store", id = record.id, valor = record.valor);
        self.limited(self.outbox.append(record)).await.map_err(Refusal::Log)?;
        tracing::debug!(target: "ferrovia::stop", stop = "log", id = record.id, valor = record.valor);
        Ok(())
    }

    /// What is down, if anything: the store's and the log's errors.
    pub(crate) async fn check(&self) -> (Result<()>, Result<()>) {
        let log = async { self.transport.topic(&self.options.topic).await.map(drop) };
        tokio::join!(self.limited(self.store.check()), self.limited(log))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    async fn limited<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.options.timeout;
        let late = |_| Error::connection(format!("no answer within {} s", limit.as_secs_f32()));
        timeout(limit, future).await.map_err(late)?
    }
}
