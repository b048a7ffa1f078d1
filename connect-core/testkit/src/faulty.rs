//! A transport that fails on purpose.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{
        Append, Consumer, ConsumerOptions, Durable, Membership, MembershipOptions, NewTopic,
        Producer, Reader, TopicDescription, Transport,
    },
};

/// Passes everything on to a real transport, but refuses appends when its budget is spent.
pub struct Faulty {
    inner: Arc<dyn Transport>,
    budget: Arc<AtomicI64>,
    /// Clients whose appends count.
    prefix: &'static str,
}

impl Faulty {
    /// Wraps a transport: after `appends` appends of clients whose id starts with `prefix`, each further one fails.
    pub fn new(inner: Arc<dyn Transport>, prefix: &'static str, appends: i64) -> Self {
        Self { inner, budget: Arc::new(AtomicI64::new(appends)), prefix }
    }

    /// Allows so many more appends.
    pub fn allow(&self, appends: i64) {
        self.budget.store(appends, Ordering::Release);
    }

    fn wrap(&self, client_id: &str, inner: Box<dyn Producer>) -> Box<dyn Producer> {
        match client_id.starts_with(self.prefix) {
            true => Box::new(FaultyProducer { inner, budget: Arc::clone(&self.budget) }),
            false => inner,
        }
    }
}

struct FaultyProducer {
    inner: Box<dyn Producer>,
    budget: Arc<AtomicI64>,
}

#[async_trait]
impl Producer for FaultyProducer {
    async fn append(&mut self, append: Append) -> Result<Durable> {
        if self.budget.fetch_sub(1, Ordering::AcqRel) <= 0 {
            return Err(Error::connection("broken on purpose").retriable(false));
        }
        self.inner.append(append).await
    }
}

#[async_trait]
impl Transport for Faulty {
    async fn cluster_id(&self) -> Result<String> {
        self.inner.cluster_id().await
    }
    async fn create_topic(&self, topic: &NewTopic) -> Result<bool> {
        self.inner.create_topic(topic).await
    }
    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        self.inner.topic(name).await
    }
    async fn producer(
        &self,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        let inner = self.inner.producer(client_id, properties).await?;
        Ok(self.wrap(client_id, inner))
    }
    async fn transactional(
        &self,
        transactional_id: &str,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        let inner = self.inner.transactional(transactional_id, client_id, properties).await?;
        Ok(self.wrap(client_id, inner))
    }
    async fn fence(&self, transactional_ids: &[String]) -> Result<()> {
        self.inner.fence(transactional_ids).await
    }
    async fn join(&self, options: MembershipOptions) -> Result<Box<dyn Membership>> {
        self.inner.join(options).await
    }
    async fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        self.inner.consumer(options).await
    }
    async fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        self.inner.reader(topic).await
    }
    async fn committed(&self, group: &str) -> Result<Offsets> {
        self.inner.committed(group).await
    }
    async fn alter_committed(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        self.inner.alter_committed(group, offsets).await
    }
}
