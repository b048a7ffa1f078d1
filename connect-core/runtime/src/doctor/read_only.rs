//! A log that is only looked at: whatever would change it is refused.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{
        Append, Consumer, ConsumerOptions, Durable, Membership, MembershipOptions, NewTopic,
        Producer, Reader, TopicDescription, Transport,
    },
};

/// The log behind it.
pub(super) struct ReadOnly(pub(super) Arc<dyn Transport>);

struct NoProducer;

fn refused() -> Error {
    Error::refused("the log is only looked at")
}

#[async_trait]
impl Producer for NoProducer {
    async fn append(&mut self, _: Append) -> Result<Durable> {
        Err(refused())
    }
}

#[async_trait]
impl Transport for ReadOnly {
    async fn cluster_id(&self) -> Result<String> {
        self.0.cluster_id().await
    }
    /// None is created; that it existed is for the caller to find out.
    async fn create_topic(&self, _: &NewTopic) -> Result<bool> {
        Ok(false)
    }
    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        self.0.topic(name).await
    }
    /// One that refuses every append, since stores open theirs before they read.
    async fn producer(&self, _: &str, _: &BTreeMap<String, String>) -> Result<Box<dyn Producer>> {
        Ok(Box::new(NoProducer))
    }
    async fn transactional(
        &self,
        _: &str,
        _: &str,
        _: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        Err(refused())
    }
    async fn fence(&self, _: &[String]) -> Result<()> {
        Err(refused())
    }
    async fn consumer(&self, _: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Err(refused())
    }
    async fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        self.0.reader(topic).await
    }
    async fn committed(&self, group: &str) -> Result<Offsets> {
        self.0.committed(group).await
    }
    async fn alter_committed(
        &self,
        _: &str,
        _: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        Err(refused())
    }
    async fn join(&self, _: MembershipOptions) -> Result<Box<dyn Membership>> {
        Err(refused())
    }
}
