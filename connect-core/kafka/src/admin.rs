//! Asks about topics and groups, and changes them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use connect_core::{
    error::{Error, Result},
    transport::{NewTopic, TopicDescription},
};
use rdkafka::{
    admin::{self, AdminClient, AdminOptions, ResourceSpecifier, TopicReplication},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    REQUEST_TIMEOUT, blocking,
    config::Prepared,
    config_error,
    context::{Asking, Trouble},
    oauth::{Logins, Supply},
    request_error,
};

/// Pause between two looks for a topic that was created.
const METADATA_PAUSE: Duration = Duration::from_millis(50);
/// How long the thread that hears of the connections waits before it looks whether it should end.
const POLL: Duration = Duration::from_millis(200);

/// The client.
pub(crate) type Client = AdminClient<Asking>;

/// What the brokers tell of a topic.
enum Found {
    Missing,
    /// They don't say whether it is there.
    Hidden,
    Partitions(i32),
}

/// A client that asks, and one that is asked about topics.
pub(crate) struct Admin {
    client: Arc<Client>,
    /// Asks about topics: a consumer, since a producer's question makes the brokers create the topic.
    metadata: Arc<BaseConsumer<Asking>>,
    trouble: Trouble,
    _tokens: Supply,
}

impl Admin {
    pub(crate) fn open(prepared: Prepared, logins: &Logins) -> Result<Self> {
        let Prepared { mut config, login } = prepared;
        let trouble = Trouble::default();
        let mut asking = config.clone();
        asking.set("allow.auto.create.topics", "false").set("isolation.level", "read_committed");
        // The end of a partition is where transactions that are open will end, too.
        config.set("isolation.level", "read_uncommitted");
        // The other client's events and log lines would pile up on a queue that nothing reads; this one hears the same.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        let client: Client = config
            .create_with_context(Asking { trouble: trouble.clone() })
            .map_err(config_error)?;
        let metadata: BaseConsumer<Asking> = asking
            .create_with_context(Asking { trouble: trouble.clone() })
            .map_err(config_error)?;
        let (client, metadata) = (Arc::new(client), Arc::new(metadata));
        let tokens = logins.supply(login)?;
        tokens.join(&client, &trouble);
        tokens.join(&metadata, &trouble);
        let heard = Arc::downgrade(&metadata);
        std::thread::Builder::new()
            .name("kafka-events".into())
            .spawn(move || hear(&heard))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        Ok(Self { client, metadata, trouble, _tokens: tokens })
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The client that is asked about topics; ends of partitions, asked of it, are those of records that are committed.
    pub(crate) fn metadata(&self) -> &Arc<BaseConsumer<Asking>> {
        &self.metadata
    }

    pub(crate) async fn cluster_id(&self) -> Result<String> {
        self.ask(|client| {
            let id = client.inner().fetch_cluster_id(REQUEST_TIMEOUT);
            id.ok_or_else(|| Error::connection("no Kafka broker answers"))
        })
        .await
    }

    /// Runs a blocking call of librdkafka away from the async threads.
    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Client) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let client = Arc::clone(&self.client);
        self.trouble.unless_denied(blocking(move || call(&client))).await
    }

    async fn find(&self, topic: &str) -> Result<Found> {
        let (metadata, topic) = (Arc::clone(&self.metadata), topic.to_owned());
        self.trouble.unless_denied(blocking(move || find(&metadata, &topic))).await
    }

    /// The number of partitions of a topic, if it exists and may be seen.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        match self.find(topic).await? {
            Found::Partitions(n) => Ok(Some(n)),
            Found::Missing | Found::Hidden => Ok(None),
        }
    }

    /// As `org.apache.kafka.connect.util.TopicAdmin.createOrFindTopics`: who may not create topics can do with those
    /// that are there.
    pub(crate) async fn create_topic(&self, topic: &NewTopic) -> Result<bool> {
        use RDKafkaErrorCode as Code;
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
        let failed = |e| request_error("cannot create topic", e).context("topic", &topic.name);
        let request = async {
            let results = self.client.create_topics([&new], &options).await;
            results.map_err(failed)
        };
        match self.trouble.unless_denied(request).await?.pop() {
            Some(Err((_, Code::TopicAlreadyExists))) => {
                // Another worker may have made it just now.
                self.await_topic(&topic.name).await?;
                Ok(false)
            }
            Some(Err((_, code))) => {
                let error = failed(KafkaError::AdminOp(code));
                let forbidden = matches!(
                    code,
                    Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed
                );
                match forbidden && self.partitions(&topic.name).await?.is_some() {
                    true => Ok(false),
                    false if forbidden => {
                        Err(error
                            .context("missing permission", "CREATE on the topic or the cluster"))
                    }
                    false => Err(error),
                }
            }
            _ => {
                self.await_topic(&topic.name).await?;
                Ok(true)
            }
        }
    }

    /// Waits until the brokers tell of a topic that one of them has just created.
    async fn await_topic(&self, name: &str) -> Result<()> {
        let told = async {
            while let Found::Missing = self.find(name).await? {
                tokio::time::sleep(METADATA_PAUSE).await;
            }
            Ok(())
        };
        let late = |_| Error::connection("the topic was created, but no broker tells of it");
        tokio::time::timeout(REQUEST_TIMEOUT, told).await.map_err(late)?
    }

    pub(crate) async fn topic(&self, name: &str) -> Result<Option<TopicDescription>> {
        let Some(partitions) = self.partitions(name).await? else { return Ok(None) };
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let resource = ResourceSpecifier::Topic(name);
        // Describing may be forbidden where reading is not: then the policy is unknown.
        let described = self.client.describe_configs([&resource], &options).await;
        let resource = described.ok().and_then(|mut all| all.pop()?.ok());
        let setting = |name| resource.as_ref()?.get(name)?.value.as_ref();
        let compacted = setting("cleanup.policy").map(|policy| policy.contains("compact"));
        let max_bytes = setting("max.message.bytes").and_then(|bytes| bytes.parse().ok());
        Ok(Some(TopicDescription { partitions, compacted, max_bytes }))
    }

    pub(crate) async fn delete_group(&self, group: &str) -> Result<()> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
        let failed = |e| request_error("cannot delete a consumer group", e).context("group", group);
        let results = self.client.delete_groups(&[group], &options).await.map_err(failed)?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::GroupIdNotFound))) => Ok(()),
            Some(Err((_, code))) => Err(failed(KafkaError::AdminOp(code))),
            _ => Ok(()),
        }
    }
}

/// Lets a client that is only asked tell what it hears, until it is gone.
pub(crate) fn hear(client: &Weak<BaseConsumer<Asking>>) {
    while let Some(client) = client.upgrade() {
        // What it hears goes to its context.
        let _ = client.poll(POLL);
    }
}

fn find(consumer: &BaseConsumer<Asking>, topic: &str) -> Result<Found> {
    let metadata = consumer
        .fetch_metadata(Some(topic), REQUEST_TIMEOUT)
        .map_err(|e| request_error("cannot describe topic", e).context("topic", topic))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(Found::Missing);
    };
    if found.error().map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    {
        return Ok(Found::Hidden);
    }
    let partitions = found.partitions().len() as i32;
    Ok(match found.error().is_none() && partitions > 0 {
        true => Found::Partitions(partitions),
        false => Found::Missing,
    })
}
