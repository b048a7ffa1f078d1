//! The transport of `connect-core` in this process: a durable log in one directory, for demos, tests, laptops and edge
//! boxes. What runs on Kafka runs on it: topics with partitions, consumer groups, compacted topics, and messages that
//! become durable together with the source offset that covers them.
//!
//! ```no_run
//! # async fn example() -> connect_core::error::Result<()> {
//! use connect_core::transport::{Append, Transport};
//! let log = connect_core_log::EmbeddedLog::open("/var/lib/ferrovia/log")?;
//! let mut producer = log.producer("docs", &Default::default()).await?;
//! producer.append(Append::default()).await?.await
//! # }
//! ```
//!
//! Why it stands on SQLite, and what it costs: `docs/decisions/20261123-embedded-log.md`.

mod batch;
mod compaction;
mod consumer;
mod error;
mod fetch;
mod group;
mod groups;
mod lock;
mod membership;
mod partitioner;
mod producer;
mod reader;
mod store;
mod topics;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{
        Consumer, ConsumerOptions, Membership, MembershipOptions, NewTopic, Producer, Reader,
        TopicDescription, Transport,
    },
};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    consumer::EmbeddedConsumer,
    lock::Lock,
    producer::EmbeddedProducer,
    reader::EmbeddedReader,
    store::{Loaded, Store},
    topics::Topic,
    writer::{Request, Shared, Writer},
};

/// How many bytes of appends may wait for the writer.
const QUEUE_BYTES: usize = 32 << 20;

/// A log in a directory. Clones share it; the directory is free again when the last clone, producer, consumer and
/// reader are dropped.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

/// What producers, consumers and readers share.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    store: Arc<Store>,
    cluster_id: String,
    queue: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    // Dropped last: after the writer has ended.
    _lock: Lock,
}

impl Inner {
    fn send(&self, request: Request) -> Result<()> {
        self.queue.send(request).map_err(|_| error::writer_gone())
    }

    async fn create(&self, name: &str, partitions: i32, compacted: bool) -> Result<bool> {
        error::check_topic_name(name)?;
        let (answer, created) = oneshot::channel();
        self.send(Request::Create { name: name.into(), partitions, compacted, answer })?;
        created.await.unwrap_or_else(|_| Err(error::writer_gone()))
    }

    /// A topic, made with one partition when it doesn't exist, as Kafka's `auto.create.topics.enable` does.
    async fn topic_or_create(&self, name: &str) -> Result<Arc<Topic>> {
        if let Some(topic) = self.shared.topics.get(name) {
            return Ok(topic);
        }
        self.create(name, 1, false).await?;
        let created = self.shared.topics.get(name);
        created.ok_or_else(|| Error::internal("a topic vanished").context("topic", name))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Fails only when the thread is gone already.
        let _ = self.queue.send(Request::Stop);
        if let Some(writer) = topics::lock(&self.writer).take() {
            let _ = writer.join();
        }
    }
}

impl EmbeddedLog {
    /// Opens the log in `dir`, making both when missing. Blocks for as long as compacted topics need to be compacted.
    ///
    /// # Errors
    /// When another process has it open, naming the directory and the process; when the directory or its file cannot be used.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir)
            .map_err(|e| error::io("cannot create the log's directory", dir, e))?;
        let lock = Lock::take(dir)?;
        let (store, connection, loaded) = Store::open(dir, &new_cluster_id()?)?;
        let Loaded { cluster_id, topics, committed } = loaded;
        let shared = Shared { committed: Mutex::new(committed), ..Shared::default() };
        for topic in topics {
            shared.topics.add(Arc::new(topic));
        }
        let shared = Arc::new(shared);
        let writer = Writer::new(connection, Arc::clone(&shared))?;
        let (queue, requests) = mpsc::channel();
        let thread = std::thread::Builder::new().name("log-writer".into());
        let thread = thread.spawn(move || writer.run(&requests));
        let thread = thread.map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        let inner = Inner {
            shared,
            store: Arc::new(store),
            cluster_id,
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            writer: Mutex::new(Some(thread)),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// 22 characters, as Kafka makes its own.
fn new_cluster_id() -> Result<String> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)
        .map_err(|e| Error::internal("no randomness").context("cause", e.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(id))
}

#[async_trait]
impl Transport for EmbeddedLog {
    async fn cluster_id(&self) -> Result<String> {
        Ok(self.inner.cluster_id.clone())
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<bool> {
        let partitions = topic.partitions.unwrap_or(1);
        if partitions < 1 {
            return Err(Error::config(format!(
                "Invalid value {partitions} for the partitions of topic {}: it must be at least 1",
                topic.name
            )));
        }
        self.inner.create(&topic.name, partitions, topic.compacted).await
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        Ok(self.inner.shared.topics.get(name).map(|topic| TopicDescription {
            partitions: topic.partitions.len() as i32,
            compacted: Some(topic.compacted),
            max_bytes: None,
        }))
    }

    /// The properties, which are those of Kafka's client, mean nothing here.
    async fn producer(
        &self,
        _client_id: &str,
        _properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        Ok(Box::new(EmbeddedProducer::new(Arc::clone(&self.inner))))
    }

    /// Every append is a transaction, and this process is the only one: there is nobody to fence.
    async fn transactional(
        &self,
        _transactional_id: &str,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        self.producer(client_id, properties).await
    }

    async fn fence(&self, _transactional_ids: &[String]) -> Result<()> {
        Ok(())
    }

    async fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(EmbeddedConsumer::open(Arc::clone(&self.inner), options).await?))
    }

    async fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        let found = self.inner.shared.topics.get(topic);
        let found = found.ok_or_else(|| {
            Error::refused(format!("Topic {topic} does not exist: create it first"))
        })?;
        Ok(Box::new(EmbeddedReader::new(Arc::clone(&self.inner), &found)))
    }

    async fn committed(&self, group: &str) -> Result<Offsets> {
        Ok(topics::lock(&self.inner.shared.committed).get(group).cloned().unwrap_or_default())
    }

    async fn alter_committed(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        if self.inner.shared.groups.has_members(group) {
            return Err(Error::refused("the consumer group has members").context("group", group));
        }
        let (answer, committed) = oneshot::channel();
        let (group, offsets) = (group.to_owned(), offsets.clone());
        self.inner.send(Request::Commit { group, offsets, answer })?;
        committed.await.unwrap_or_else(|_| Err(error::writer_gone()))
    }

    /// The log belongs to one process: its worker is the only one, and leads.
    async fn join(&self, options: MembershipOptions) -> Result<Box<dyn Membership>> {
        Ok(Box::new(membership::Alone::new(options.member)))
    }
}
