//! What a sink author writes.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{
    config::{ConfigSpec, Invalid, Properties},
    data::Text,
    error::{Error, Result},
    record::Record,
    source::OffsetChange,
};

/// Knows the target as a whole.
#[async_trait]
pub trait SinkConnector: Sized + Send + Sync + 'static {
    /// Name in `connector.class`.
    const NAME: &'static str;
    /// Other class names under which people's configurations know this plugin.
    const ALIASES: &'static [&'static str] = &[];
    /// Version shown by REST.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Configuration, see [`crate::config`].
    type Config: ConfigSpec;
    /// Writes one share of the topic partitions.
    type Task: SinkTask;

    /// Whether this plugin is the one meant, among several that share an alias.
    fn claims(_: &Properties) -> bool {
        true
    }
    /// Checks what no single key shows; called when a configuration is submitted, before it is stored.
    async fn validate(_: &Self::Config) -> Vec<Invalid> {
        Vec::new()
    }
    /// As a source's: see [`SourceConnector::alter_offsets`](crate::source::SourceConnector::alter_offsets). A
    /// partition is `{"kafka_topic":…,"kafka_partition":…}`, an offset `{"kafka_offset":…}`.
    async fn alter_offsets(_: &Self::Config, _: &[OffsetChange]) -> Result<bool> {
        Ok(false)
    }
    /// Prepares the tasks; it need not reach the target, which may still be starting.
    async fn connect(config: Self::Config) -> Result<Self>;
    /// Opens a task.
    async fn task(&self) -> Result<Self::Task>;
}

/// Writes records.
#[async_trait]
pub trait SinkTask: Send + 'static {
    /// Tells the topic partitions that this task now owns. A target that stores offsets in its own transactions
    /// returns the next offset of each, and the runtime reads on from there.
    async fn open(&mut self, _partitions: &[TopicPartition]) -> Result<Offsets> {
        Ok(Offsets::new())
    }
    /// Tells that these topic partitions are another task's now. What was put is durable, so that there is nothing to
    /// flush.
    async fn close(&mut self, _partitions: &[TopicPartition]) {}
    /// Writes the batch; what it reports as written is durable when it returns.
    ///
    /// `Err` means that nothing of the batch was written: the runtime retries it, or halves it to find the
    /// record that the dead letter queue gets.
    async fn put(&mut self, batch: &SinkBatch) -> Result<Delivered>;
    /// How a retriable error of [`put`](Self::put) is to be retried.
    fn retry(&self) -> Retry {
        Retry::default()
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Text,
    /// Partition.
    pub partition: i32,
}

/// Next offset to read, by topic partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// How often and how soon a refused batch is put again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Further attempts before the task fails; none: for as long as the error is retriable.
    pub attempts: Option<u32>,
    /// Pause before each.
    pub backoff: std::time::Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: None, backoff: std::time::Duration::from_secs(1) }
    }
}

/// A record with the place it was fetched from, which no transformation changes.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRecord {
    /// The record; its topic is set.
    pub record: Record,
    /// Topic partition it was fetched from, shared by its neighbours.
    pub origin: std::sync::Arc<TopicPartition>,
    /// Offset in that partition.
    pub offset: i64,
}

/// Records in the order of the log, of one or several topic partitions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SinkBatch {
    /// The records.
    pub records: Vec<SinkRecord>,
}

impl SinkBatch {
    /// The offsets to read on from, once every record is durable.
    pub fn next_offsets(&self) -> Offsets {
        let mut offsets = Offsets::new();
        for record in &self.records {
            match offsets.get_mut(&*record.origin) {
                Some(next) => *next = record.offset + 1,
                None => {
                    offsets.insert((*record.origin).clone(), record.offset + 1);
                }
            }
        }
        offsets
    }
}

/// What became of a batch.
#[derive(Debug)]
pub enum Delivered {
    /// All records are durable.
    All,
    /// One result per record, in order. A wrong length fails the task (invariant 3).
    Each(Vec<Result<(), Error>>),
}
