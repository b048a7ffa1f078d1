//! What a source author writes.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    config::{ConfigSpec, Invalid, Properties},
    data::Text,
    error::{Error, Result},
    record::Record,
};

/// Part of a source's progress: exactly the JSON object that Connect stores in the offsets topic.
pub trait Progress: Serialize + DeserializeOwned + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Progress for T {}

/// A partition and the offset that an operator wants it to have, as REST gives them; none forgets the offset.
pub type OffsetChange = (Json, Option<Json>);

/// Knows the external system as a whole: what there is to read.
#[async_trait]
pub trait SourceConnector: Sized + Send + Sync + 'static {
    /// Name in `connector.class`.
    const NAME: &'static str;
    /// Other class names under which people's configurations know this plugin.
    const ALIASES: &'static [&'static str] = &[];
    /// Version shown by REST.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Configuration, see [`crate::config`].
    type Config: ConfigSpec;
    /// Reads one share of the partitions.
    type Task: SourceTask;

    /// Whether this plugin is the one meant, among several that share an alias: the two JDBC classes exist for
    /// every database, and the URL's scheme decides.
    fn claims(_: &Properties) -> bool {
        true
    }
    /// Checks what no single key shows; called when a configuration is submitted, before it is stored.
    async fn validate(_: &Self::Config) -> Vec<Invalid> {
        Vec::new()
    }
    /// Checks the offsets that an operator wants to set, and sets those that are kept elsewhere; called before they
    /// are stored, while no task runs. False says that there may be offsets elsewhere, which nobody has set.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for offsets that this connector cannot resume after.
    async fn alter_offsets(_: &Self::Config, _: &[OffsetChange]) -> Result<bool> {
        Ok(false)
    }
    /// Whether a source with this configuration resumes exactly after the offset of its last batch: then each record can be
    /// delivered exactly once (KIP-618, `SourceConnector.exactlyOnceSupport`).
    fn exactly_once(_: &Self::Config) -> bool {
        true
    }
    /// Whether its tasks say where transactions end, see [`SourceTask::ends_transaction`]: needed for
    /// `transaction.boundary=connector` (`SourceConnector.canDefineTransactionBoundaries`).
    fn bounds_transactions(_: &Self::Config) -> bool {
        false
    }
    /// Connects, and refuses a configuration that the live system contradicts.
    async fn connect(config: Self::Config) -> Result<Self>;
    /// Lists what there is to read now: tables, files, shards. The runtime groups them into at most `tasks.max`
    /// tasks of neighbours.
    async fn partitions(&self) -> Result<Vec<<Self::Task as SourceTask>::Partition>>;
    /// Other partitions under which the offset of this one may have been stored by earlier versions: where it has none of
    /// its own, the first that has one counts.
    fn earlier(
        &self,
        _: &<Self::Task as SourceTask>::Partition,
    ) -> Vec<<Self::Task as SourceTask>::Partition> {
        Vec::new()
    }
    /// What an operator should know although all is well, as of the last [`partitions`](Self::partitions): shown in the
    /// connector's status.
    fn notice(&self) -> Option<String> {
        None
    }
    /// How often [`partitions`](Self::partitions) should be asked again; a change makes the runtime reassign
    /// the tasks. None: never.
    fn partitions_interval(&self) -> Option<Duration> {
        None
    }
    /// Opens a task on its share, each partition with the offset to resume after.
    async fn task(&self, assigned: Vec<Assigned<Self::Task>>) -> Result<Self::Task>;
}

/// One partition of a task, with the offset to resume after.
pub struct Assigned<T: SourceTask> {
    /// The partition.
    pub partition: T::Partition,
    /// Last durable offset; none on the first start.
    pub offset: Option<T::Offset>,
}

/// Reads records.
#[async_trait]
pub trait SourceTask: Sized + Send + 'static {
    /// Connect's source partition.
    type Partition: Progress;
    /// Connect's source offset.
    type Offset: Progress;

    /// Returns the next batch, or says for how long there is nothing to do. Never sleeps; waiting for the
    /// external system's answer is fine.
    ///
    /// Cancel safe (invariant 9): the runtime drops the future on stop and pause, and may poll again.
    async fn poll(&mut self) -> Result<Polled<SourceBatch<Self>>>;
    /// Resolves when the external system says that there is something before the time of [`Polled::Idle`] is over; the
    /// runtime then polls at once. Never, for a system that does not say so.
    ///
    /// Cancel safe (invariant 9): dropped and asked again, it must not forget what it was told. Asked between polls only,
    /// so what is told during a poll must be kept too.
    async fn woken(&mut self) {
        std::future::pending().await
    }
    /// What an operator should know although all is well, such as what is not read: shown in the task's status.
    fn notice(&self) -> Option<String> {
        None
    }
    /// With `transaction.boundary=connector`: whether the batch that the last poll returned is the last of its transaction.
    fn ends_transaction(&self) -> bool {
        true
    }
    /// Called after a batch and its offset are durable, in poll order.
    async fn commit(&mut self, _partition: &Self::Partition, _offset: &Self::Offset) -> Result<()> {
        Ok(())
    }
}

/// Outcome of a poll.
#[derive(Debug)]
pub enum Polled<B> {
    /// Records to deliver.
    Batch(B),
    /// Nothing now; poll again after this long, or when the task is [woken](SourceTask::woken).
    Idle(Duration),
}

/// Records of one partition, with the offset that holds once all of them are durable.
pub struct SourceBatch<T: SourceTask> {
    /// Where the records came from.
    pub partition: T::Partition,
    /// Offset after the last record; none where nothing can be resumed (bulk copies).
    pub offset: Option<T::Offset>,
    /// Target topic.
    pub topic: Text,
    /// The records, in order.
    pub records: Vec<Record>,
    /// Why the records cannot be delivered as they are: there was something in the system that they cannot hold. What becomes
    /// of them is for `errors.tolerance` to say; the offset holds after them.
    pub unreadable: Option<Error>,
}

impl<T: SourceTask> SourceBatch<T> {
    /// Builds a batch whose progress is `offset`.
    pub fn new(
        partition: &T::Partition,
        offset: T::Offset,
        topic: impl Into<Text>,
        records: Vec<Record>,
    ) -> Self
    where
        T::Partition: Clone,
    {
        let (partition, offset, topic) = (partition.clone(), Some(offset), topic.into());
        Self { partition, offset, topic, records, unreadable: None }
    }
}
