//! The log between sources and sinks, which also keeps the worker's state. Kafka is one; an embedded log is
//! another. Small on purpose: topics, append with a source offset in the same step, fetch in a consumer group,
//! and compacted topics that are read from end to end.

mod membership;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    data::Text,
    error::Result,
    sink::{Offsets, TopicPartition},
};

pub use membership::{Membership, MembershipOptions, Role};

/// An encoded record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Topic partition to append to; none chooses by key (murmur2, as Kafka's own clients).
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<(Text, Option<Bytes>)>,
    /// Milliseconds since the epoch; none means now.
    pub timestamp: Option<i64>,
}

impl Message {
    /// Bytes of key, value and headers.
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + length(value));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

/// Progress to be stored with the messages it covers: a record of the offsets topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The offsets topic.
    pub topic: Text,
    /// `["connector",{partition}]`.
    pub key: Bytes,
    /// `{offset}`.
    pub value: Option<Bytes>,
}

/// What is appended in one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Append {
    /// Messages by topic, each list in order.
    pub messages: Vec<(Text, Vec<Message>)>,
    /// Progress that holds once all of them are durable.
    pub offset: Option<OffsetCommit>,
}

/// An answer that is on its way.
pub type Promise<T> = BoxFuture<'static, Result<T>>;

/// Resolves when what was appended is durable.
pub type Durable = Promise<()>;

/// Writes to the log.
#[async_trait]
pub trait Producer: Send {
    /// Takes the messages over; waits only while the log has no room for more. The returned future resolves when
    /// messages and offset are durable.
    ///
    /// # Behaviour
    /// * Appends become durable in the order of the calls; after one failed, no later offset is stored.
    /// * The offset is never durable before the messages (invariant 1). A transport that has transactions stores
    ///   both or none.
    /// * Topics that don't exist are created, as far as the log's own settings allow it.
    async fn append(&mut self, append: Append) -> Result<Durable>;

    /// Like [`append`](Self::append), but the transaction goes on: what was appended becomes durable together with the next
    /// append that is not held. A producer without transactions holds nothing.
    async fn hold(&mut self, append: Append) -> Result<Durable> {
        self.append(append).await
    }

    /// Most bytes that a message may have, its key, value and headers together, in a topic that takes so many; none if nothing
    /// is known that bounds them. Asked before the first message is appended to the topic.
    fn longest(&mut self, _topic: Option<usize>) -> Option<usize> {
        None
    }
}

/// Messages of one topic partition, as fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where they are from.
    pub origin: TopicPartition,
    /// Messages with their offsets, which grow but may have gaps.
    pub messages: Vec<(i64, Message)>,
}

/// What a consumer's fetch came back with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetch {
    /// The group gave this consumer partitions. Their messages follow.
    Assigned(Vec<TopicPartition>),
    /// The group takes partitions away. Commit what is durable before the next fetch: it lets them go.
    Revoked(Vec<TopicPartition>),
    /// Partitions were lost without notice; what was not committed will be read by another consumer.
    Lost(Vec<TopicPartition>),
    /// Messages.
    Messages(Vec<Fetched>),
}

/// Which topics a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// These.
    Topics(Vec<String>),
    /// Those whose whole name matches, the ones created later included.
    Pattern(String),
}

/// How to open a consumer.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// Consumer group.
    pub group: String,
    /// Name of this client in the log's own logs and metrics.
    pub client_id: String,
    /// What to read. Without a committed offset, reading starts at the beginning.
    pub subscription: Subscription,
    /// Most messages in one fetch.
    pub max_messages: usize,
    /// Settings of the transport's own client (`consumer.*`).
    pub properties: BTreeMap<String, String>,
}

/// Reads from the log in a consumer group.
#[async_trait]
pub trait Consumer: Send {
    /// Next messages, or a change of what this consumer owns; waits for either. Cancel safe (invariant 9).
    async fn fetch(&mut self) -> Result<Fetch>;
    /// Stores the next offsets to read, durably.
    async fn commit(&mut self, offsets: &Offsets) -> Result<()>;
    /// Reads on from these offsets. Messages that were fetched before and not yet handed out are dropped.
    async fn seek(&mut self, offsets: &Offsets) -> Result<()>;
    /// Leaves the group, so that others need not wait for a time-out.
    async fn close(&mut self) -> Result<()>;
}

/// An entry of a compacted topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key.
    pub key: Bytes,
    /// Value; none means that the key was removed.
    pub value: Option<Bytes>,
}

/// What a topic holds up to its end that was not read yet.
#[derive(Debug)]
pub struct ToEnd {
    /// Entries, of each partition in order.
    pub entries: Vec<Entry>,
    /// What transactions that are still open hold back.
    pub undecided: Vec<Undecided>,
}

/// An entry in or behind a transaction that is still open: whether it counts cannot be told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// Partition.
    pub partition: i32,
    /// Where it is in the partition.
    pub offset: i64,
    /// Key.
    pub key: Bytes,
}

/// Reads a topic from its beginning, all partitions, without a group.
#[async_trait]
pub trait Reader: Send {
    /// Everything up to the end that the topic has at the time of the call, from where the last call ended. Waits for no
    /// transaction: what an open one holds back is handed out by a call after its end.
    async fn read_to_end(&mut self) -> Result<ToEnd>;
    /// Waits for entries after those read so far. Cancel safe.
    async fn next(&mut self) -> Result<Vec<Entry>>;
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Number of partitions; none: the log's default.
    pub partitions: Option<i32>,
    /// Copies of each partition; none: the log's default. The embedded log has one whatever this says.
    pub replication_factor: Option<i16>,
    /// Keep only the last message of each key.
    pub compacted: bool,
    /// Further settings of the topic.
    pub properties: BTreeMap<String, String>,
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Number of partitions.
    pub partitions: i32,
    /// Whether only the last message of each key is kept; none where the log won't say.
    pub compacted: Option<bool>,
    /// Most bytes of a batch that it takes; none where the log won't say.
    pub max_bytes: Option<usize>,
}

/// Opens producers, consumers and readers. Cheap to share.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Identity of the log, as `GET /` shows it (`kafka_cluster_id`).
    async fn cluster_id(&self) -> Result<String>;
    /// Creates a topic; false if it existed.
    async fn create_topic(&self, topic: &NewTopic) -> Result<bool>;
    /// Describes a topic, if it exists.
    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>>;
    /// The same log as a client with other settings (`admin.override.*`) sees it, to create topics with; none where
    /// that makes no difference.
    async fn administrator(
        &self,
        _properties: &BTreeMap<String, String>,
    ) -> Result<Option<Box<dyn Transport>>> {
        Ok(None)
    }
    /// A producer with settings of the transport's own client (`producer.*`).
    async fn producer(
        &self,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>>;
    /// A producer whose appends are transactions: each becomes visible as a whole, with its offset, or not at all. It fences
    /// what an earlier producer of the same id left: that one's appends fail from now on, and what of them was not complete
    /// is never seen (KIP-98).
    async fn transactional(
        &self,
        transactional_id: &str,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>>;
    /// Fences what producers of these transactional ids have left, without a producer in their place.
    async fn fence(&self, transactional_ids: &[String]) -> Result<()>;
    /// A consumer.
    async fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>>;
    /// A reader of one topic.
    async fn reader(&self, topic: &str) -> Result<Box<dyn Reader>>;
    /// The offsets that a consumer group has committed.
    async fn committed(&self, group: &str) -> Result<Offsets>;
    /// Changes the offsets that a consumer group has committed; none forgets one. A group of which nothing is left is
    /// removed.
    ///
    /// # Errors
    /// If the group has members: what they commit would be lost.
    async fn alter_committed(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()>;
    /// Joins a group of workers. Until the group has answered, the role is [`Role::Outside`].
    async fn join(&self, options: MembershipOptions) -> Result<Box<dyn Membership>>;
}
