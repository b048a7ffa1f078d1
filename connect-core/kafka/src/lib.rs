//! The transport on Apache Kafka, by librdkafka. The only crate that links it for connect (invariant 5).

mod admin;
mod config;
mod consumer;
mod context;
mod delivery;
mod dormant;
mod groups;
mod idle;
mod members;
mod membership;
mod oauth;
mod producer;
mod reader;
mod transactional;
mod watch;

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
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

pub use config::reference;

use admin::Admin;
use config::Clients;
use dormant::Shared;
use idle::IdleConsumers;
use oauth::Logins;
use transactional::TransactionalProducer;
use watch::Watchers;

/// How long one request to the brokers may take before it is reported as a retriable error.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kafka cluster.
pub struct KafkaTransport {
    clients: Clients,
    /// Keys of the admin client alone.
    admin_properties: BTreeMap<String, String>,
    admin: Admin,
    logins: Arc<Logins>,
    idle: Arc<IdleConsumers>,
    watchers: Arc<Watchers>,
}

impl KafkaTransport {
    /// Prepares clients of the brokers at `bootstrap_servers` (`host:port,...`), with settings that all of them
    /// share, such as `security.protocol`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) for a setting that cannot be had, naming it.
    pub fn new(bootstrap_servers: &str, properties: &BTreeMap<String, String>) -> Result<Self> {
        Self::with_admin(bootstrap_servers, properties, &BTreeMap::new())
    }

    /// The same, with settings of the client that asks about topics and creates them (`admin.`).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_admin(
        bootstrap_servers: &str,
        properties: &BTreeMap<String, String>,
        admin: &BTreeMap<String, String>,
    ) -> Result<Self> {
        Self::open(Clients::new(bootstrap_servers, properties), admin.clone(), Arc::default())
    }

    fn open(
        clients: Clients,
        admin_properties: BTreeMap<String, String>,
        logins: Arc<Logins>,
    ) -> Result<Self> {
        let admin = Admin::open(clients.with(&admin_properties).admin()?, &logins)?;
        let idle = Arc::new(IdleConsumers::new(None, Duration::MAX));
        let watchers = Arc::default();
        Ok(Self { clients, admin_properties, admin, logins, idle, watchers })
    }

    /// Of the consumers that have read nothing for as long as `after`, so many keep their place in their group; beyond it, those
    /// that are idle for the longest time leave, until there is something for them to read.
    #[must_use]
    pub fn with_idle(self, most: usize, after: Duration) -> Self {
        Self { idle: Arc::new(IdleConsumers::new(Some(most), after)), ..self }
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

/// An error of creating a client: settings that don't go together.
pub(crate) fn config_error(error: KafkaError) -> Error {
    let message = "the Kafka client refuses its configuration";
    match error {
        // It would repeat the value, which may be a password.
        KafkaError::ClientConfig(_, _, key, _) => Error::config(message).context("key", key),
        error => Error::config(message).with_source(error),
    }
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
                | Code::TransactionalIdAuthorizationFailed
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

/// What a principal lacks where the brokers forbid to do so with a topic or a group.
pub(crate) fn permission(
    error: Error,
    cause: Option<RDKafkaErrorCode>,
    topic: &'static str,
) -> Error {
    use RDKafkaErrorCode as Code;
    match cause {
        Some(Code::TopicAuthorizationFailed) => error.context("missing permission", topic),
        Some(Code::GroupAuthorizationFailed) => {
            error.context("missing permission", "READ on the group")
        }
        _ => error,
    }
}

#[async_trait]
impl Transport for KafkaTransport {
    async fn cluster_id(&self) -> Result<String> {
        self.admin.cluster_id().await
    }

    async fn create_topic(&self, topic: &NewTopic) -> Result<bool> {
        self.admin.create_topic(topic).await
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        self.admin.topic(name).await
    }

    async fn administrator(
        &self,
        properties: &BTreeMap<String, String>,
    ) -> Result<Option<Box<dyn Transport>>> {
        if properties.is_empty() {
            return Ok(None);
        }
        let mut own = self.admin_properties.clone();
        own.extend(properties.clone());
        let (clients, logins) = (self.clients.clone(), Arc::clone(&self.logins));
        Ok(Some(Box::new(Self::open(clients, own, logins)?)))
    }

    async fn producer(
        &self,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        let prepared = self.clients.producer(client_id, properties)?;
        Ok(Box::new(producer::KafkaProducer::open(prepared, &self.logins)?))
    }

    async fn transactional(
        &self,
        transactional_id: &str,
        client_id: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Producer>> {
        let prepared = self.clients.producer(client_id, properties)?;
        let id = transactional_id;
        Ok(Box::new(TransactionalProducer::open(prepared, &self.logins, id).await?))
    }

    /// As `Admin.fenceProducers`, which librdkafka lacks: a producer that does nothing but begin.
    async fn fence(&self, transactional_ids: &[String]) -> Result<()> {
        let fence = async |id: &String| {
            let prepared = self.clients.producer(&format!("fence-{id}"), &BTreeMap::new())?;
            TransactionalProducer::open(prepared, &self.logins, id).await
        };
        futures_util::future::try_join_all(transactional_ids.iter().map(fence)).await.map(drop)
    }

    async fn join(&self, options: MembershipOptions) -> Result<Box<dyn Membership>> {
        let MembershipOptions { member, group, properties, .. } = &options;
        let prepared = self.clients.consumer(member, group, properties)?;
        Ok(Box::new(membership::KafkaMembership::join(prepared, options, &self.logins)?))
    }

    async fn consumer(&self, options: ConsumerOptions) -> Result<Box<dyn Consumer>> {
        let ConsumerOptions { client_id, group, properties, .. } = &options;
        let prepared = self.clients.consumer(client_id, group, properties)?;
        let shared = Shared {
            logins: Arc::clone(&self.logins),
            idle: Arc::clone(&self.idle),
            watchers: Arc::clone(&self.watchers),
        };
        Ok(Box::new(dormant::KafkaConsumer::open(prepared, options, shared)?))
    }

    async fn reader(&self, topic: &str) -> Result<Box<dyn Reader>> {
        let partitions = self.admin.partitions(topic).await?;
        let partitions = partitions
            .ok_or_else(|| Error::refused("topic does not exist").context("topic", topic))?;
        let name = format!("reader-{topic}");
        // librdkafka wants a group; without subscription and commits none comes to exist.
        let prepared = self.clients.consumer(&name, "ferrovia-reader", &BTreeMap::new())?;
        let tokens = self.logins.supply(prepared.login)?;
        let ends = (Arc::clone(self.admin.client()), Arc::clone(self.admin.metadata()));
        let (config, topic) = (prepared.config, topic.to_owned());
        Ok(Box::new(reader::KafkaReader::open(config, tokens, ends, topic, partitions)?))
    }

    async fn committed(&self, group: &str) -> Result<Offsets> {
        groups::committed(self.outside(group)?, &self.logins).await
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
            self.admin.delete_group(group).await?;
        }
        let kept: Offsets = kept.into_iter().filter_map(|(tp, o)| Some((tp, o?))).collect();
        if kept.is_empty() {
            return Ok(());
        }
        groups::commit(self.outside(group)?, &self.logins, kept).await
    }
}

impl KafkaTransport {
    /// A client that asks about a group.
    fn outside(&self, group: &str) -> Result<config::Prepared> {
        self.clients.consumer("ferrovia-groups", group, &BTreeMap::new())
    }
}
