//! The transport on Apache Kafka, by librdkafka. The only crate that links it for connect (invariant 5).

mod config;
mod consumer;
mod membership;
mod producer;
mod reader;
mod transactional;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{
        Consumer, ConsumerOptions, Membership, MembershipOptions, NewTopic, Producer, Reader,
        TopicDescription, Transport,
    },
};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{self, AdminClient, AdminOptions, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    config::ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

/// How long one request to the brokers may take before it is reported as a retriable error.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks for a topic that was created.
const METADATA_PAUSE: Duration = Duration::from_millis(50);

/// A Kafka cluster.
pub struct KafkaTransport {
    client: ClientConfig,
    admin: Arc<AdminClient<DefaultClientContext>>,
    /// Asks about topics: a consumer, since a producer's question makes the brokers create the topic.
    metadata: Arc<BaseConsumer>,
}

impl KafkaTransport {
    /// Prepares clients of the brokers at `bootstrap_servers` (`host:port,...`), with settings that all of them
    /// share, such as `security.protocol`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) for a setting that librdkafka doesn't know
    /// or take.
    pub fn new(bootstrap_servers: &str, properties: &BTreeMap<String, String>) -> Result<Self> {
        let client = config::client(bootstrap_servers, properties);
        let mut asking = client.clone();
        // The end of a partition is where transactions that are open will end, too.
        asking.set("isolation.level", "read_uncommitted");
        let admin = asking.create().map_err(config_error)?;
        asking.set("allow.auto.create.topics", "false").set("isolation.level", "read_committed");
        let metadata = asking.create().map_err(config_error)?;
        Ok(Self { client, admin: Arc::new(admin), metadata: Arc::new(metadata) })
    }

    /// Waits until the brokers tell of a topic that one of them has just created.
    async fn await_topic(&self, name: &str) -> Result<()> {
        let told = async {
            loop {
                if self.partitions(name).await?.is_some() {
                    return Ok(());
                }
                tokio::time::sleep(METADATA_PAUSE).await;
            }
        };
        let late = |_| Error::connection("the topic was created, but no broker tells of it");
        tokio::time::timeout(REQUEST_TIMEOUT, told).await.map_err(late)?
    }

    /// The number of partitions of a topic, if it exists.
    async fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        let (metadata, topic) = (Arc::clone(&self.metadata), topic.to_owned());
        blocking(move || partitions(&metadata, &topic)).await
    }

    /// Runs a blocking call of librdkafka away from the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&AdminClient<DefaultClientContext>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let admin = Arc::clone(&self.admin);
        blocking(move || call(&admin)).await
    }
}

/// Runs a blocking call away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|e| Error::internal("a call of librdkafka panicked").with_source(e))?
}

/// An error of creating a client: a wrong setting.
pub(crate) fn config_error(error: KafkaError) -> Error {
    Error::config("the Kafka client refuses its configuration").with_source(error)
}

/// An error of a request: retriable unless the broker's answer is final.
pub(crate) fn request_error(message: &'static str, error: KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    let refused = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::MessageSizeTooLarge
                | Code::InvalidTopic
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::PolicyViolation
                | Code::Authentication
                | Code::SaslAuthenticationFailed
        )
    );
    let error_ = if refused { Error::refused(message) } else { Error::connection(message) };
    error_.with_source(error)
}

#[async_trait]
impl Transport for KafkaTransport {
    async fn cluster_id(&self) -> Result<String> {
        self.blocking(|admin| {
            let id = admin.inner().fetch_cluster_id(REQUEST_TIMEOUT);
            id.ok_or_else(|| Error::connection("no Kafka broker answers"))
        })
        .await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<bool> {
        let mut new = admin::NewTopic::new(
            &topic.name,
            topic.partitions.unwrap_or(-1),
            TopicReplication::Fixed(i32::from(topic.replication_factor.unwrap_or(-1))),
        );
        if topic.compacted {
            new = new.set("cleanup.policy", "compact");
        }
        for (key, value) in &topic.properties {
            new = new.set(key, value);
        }
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let results = self.admin.create_topics([&new], &options).await;
        let failed = |e| request_error("cannot create topic", e).context("topic", &topic.name);
        match results.map_err(failed)?.pop() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
            _ => {
                self.await_topic(&topic.name).await?;
                Ok(true)
            }
        }
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        let partitions = self.partitions(name).await?;
        let Some(partitions) = partitions else { return Ok(None) };
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let resource = ResourceSpecifier::Topic(name);
        // Describing may be forbidden where reading is not: then the policy is unknown.
        let described = self.admin.describe_configs([&resource], &options).await;
        let compacted = described.ok().and_then(|mut all| all.pop()?.ok()).and_then(|resource| {
            resource.get("cleanup.policy")?.value.as_ref().map(|policy| policy.contains("compact"))
        });
        Ok(Some(TopicDescription { partitions, compacted }))
    }

    async fn producer(
        &self,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        let config = config::producer(&self.client, client_id, properties);
        Ok(Box::new(producer::KafkaProducer::open(&config)?))
    }

    async fn transactional(
        &self,
        transactional_id: &str,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        let mut config = config::producer(&self.client, client_id, properties);
        config.set("transactional.id", transactional_id);
        Ok(Box::new(transactional::TransactionalProducer::open(config).await?))
    }

    /// As `Admin.fenceProducers`, which librdkafka lacks: a producer that does nothing but begin.
    async fn fence(&self, transactional_ids: &[String]) -> Result<()> {
        let fence = |id: &String| {
            let client_id = format!("fence-{id}");
            let mut config = config::producer(&self.client, &client_id, &BTreeMap::new());
            config.set("transactional.id", id);
            transactional::TransactionalProducer::open(config)
        };
        futures_util::future::try_join_all(transactional_ids.iter().map(fence)).await.map(drop)
    }

    async fn join(&self, options: MembershipOptions) -> Result<Box<dyn Membership>> {
        Ok(Box::new(membership::KafkaMembership::join(&self.client, options)?))
    }

    async fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        Ok(Box::new(consumer::KafkaConsumer::open(&self.client, options)?))
    }

    async fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        let partitions = self.partitions(topic).await?;
        let partitions = partitions
            .ok_or_else(|| Error::refused("topic does not exist").context("topic", topic))?;
        Ok(Box::new(reader::KafkaReader::open(
            &self.client,
            Arc::clone(&self.admin),
            Arc::clone(&self.metadata),
            topic,
            partitions,
        )?))
    }

    async fn committed(&self, group: &str) -> Result<Offsets> {
        let mut config = self.client.clone();
        config.set("group.id", group).set("enable.auto.commit", "false");
        blocking(move || committed(&config)).await
    }

    async fn alter_committed(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Option<i64>>,
    ) -> Result<()> {
        let mut kept = offsets.clone();
        if offsets.values().any(Option::is_none) {
            // librdkafka can forget a group, but not one of its offsets: the others are committed again.
            for (tp, offset) in self.committed(group).await? {
                kept.entry(tp).or_insert(Some(offset));
            }
            self.delete_group(group).await?;
        }
        let kept: Offsets = kept.into_iter().filter_map(|(tp, o)| Some((tp, o?))).collect();
        if kept.is_empty() {
            return Ok(());
        }
        let mut config = self.client.clone();
        config.set("group.id", group).set("enable.auto.commit", "false");
        blocking(move || commit(&config, &kept)).await
    }
}

impl KafkaTransport {
    async fn delete_group(&self, group: &str) -> Result<()> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let failed = |e| request_error("cannot delete a consumer group", e).context("group", group);
        let results = self.admin.delete_groups(&[group], &options).await.map_err(failed)?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::GroupIdNotFound))) => Ok(()),
            Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
            _ => Ok(()),
        }
    }
}

/// Commits from outside of the group, which the brokers allow while it has no members.
fn commit(config: &ClientConfig, offsets: &Offsets) -> Result<()> {
    let failed = |e| request_error("cannot alter the offsets of a consumer group", e);
    let consumer: BaseConsumer = config.create().map_err(config_error)?;
    let mut list = TopicPartitionList::new();
    for (tp, offset) in offsets {
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(*offset))
            .map_err(failed)?;
    }
    consumer.commit(&list, CommitMode::Sync).map_err(failed)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Option<i32>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
        .map_err(|e| request_error("cannot describe topic", e).context("topic", topic))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.filter(|found| found.error().is_none());
    Ok(found.map(|found| found.partitions().len() as i32).filter(|n| *n > 0))
}

fn committed(config: &ClientConfig) -> Result<Offsets> {
    let failed = |e| request_error("cannot read the offsets of a consumer group", e);
    let consumer: BaseConsumer = config.create().map_err(config_error)?;
    let metadata = consumer.fetch_metadata(None, REQUEST_TIMEOUT).map_err(failed)?;
    let mut asked = TopicPartitionList::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            asked.add_partition(topic.name(), partition.id());
        }
    }
    let answered = consumer.committed_offsets(asked, REQUEST_TIMEOUT).map_err(failed)?;
    let offsets = answered.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(offset) => {
            let (topic, partition) = (element.topic().into(), element.partition());
            Some((TopicPartition { topic, partition }, offset))
        }
        _ => None,
    });
    Ok(offsets.collect())
}
