//! What happens to a record that cannot be read, converted or written: the policy of `errors.*`, in one place.

use std::collections::BTreeMap;

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    sink::TopicPartition,
    transport::{Append, Message, NewTopic, Producer, Transport},
};

use crate::config::{SinkConfig, Tolerance};

/// Where a record failed (`org.apache.kafka.connect.runtime.errors.Stage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    TaskPut,
}

impl Stage {
    /// As the headers of the dead letter queue have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::TaskPut => "TASK_PUT",
        }
    }
}

/// A message that failed, as it was fetched.
pub(crate) struct Errant<'m> {
    pub(crate) origin: &'m TopicPartition,
    pub(crate) offset: i64,
    pub(crate) message: &'m Message,
}

/// Decides about errant records of one sink task.
pub(crate) struct ErrorPolicy {
    tolerance: Tolerance,
    log: bool,
    connector: String,
    task: u32,
    queue: Option<DeadLetterQueue>,
}

struct DeadLetterQueue {
    topic: Text,
    headers: bool,
    producer: Box<dyn Producer>,
}

impl ErrorPolicy {
    /// Opens the dead letter queue, if there is to be one; its topic is created where it is missing.
    pub(crate) async fn open(
        transport: &dyn Transport,
        (connector, task): (&str, u32),
        (tolerance, log): (Tolerance, bool),
        sink: &SinkConfig,
    ) -> Result<Self> {
        let queue = match &sink.dlq_topic {
            None => None,
            Some(topic) => {
                let new = NewTopic {
                    name: topic.clone(),
                    partitions: Some(1),
                    replication_factor: Some(sink.dlq_replication),
                    compacted: false,
                    properties: BTreeMap::new(),
                };
                if transport.topic(topic).await?.is_none() {
                    transport.create_topic(&new).await?;
                }
                let client_id = format!("connector-dlq-producer-{connector}-{task}");
                let producer = transport.producer(&client_id, &BTreeMap::new()).await?;
                let topic = topic.as_str().into();
                Some(DeadLetterQueue { topic, headers: sink.dlq_headers, producer })
            }
        };
        Ok(Self { tolerance, log, connector: connector.to_owned(), task, queue })
    }

    /// Whether a bad record may be passed over.
    pub(crate) fn tolerates(&self) -> bool {
        self.tolerance == Tolerance::All
    }

    /// Passes a record over, or says why not. When this returns, the dead letter queue has it durably
    /// (invariant 2).
    pub(crate) async fn errant(
        &mut self,
        stage: Stage,
        errant: Errant<'_>,
        error: Error,
    ) -> Result<()> {
        if self.log {
            tracing::error!(
                connector = self.connector, task = self.task, stage = stage.name(),
                topic = %errant.origin.topic, partition = errant.origin.partition, offset = errant.offset,
                error = %error.trace().trim_end(), "record refused"
            );
        }
        if !self.tolerates() {
            return Err(Error::data("Tolerance exceeded in error handler")
                .context("stage", stage.name())
                .context("topic", &errant.origin.topic)
                .context("partition", errant.origin.partition)
                .context("offset", errant.offset)
                .with_source(error));
        }
        let Some(queue) = &mut self.queue else { return Ok(()) };
        let mut message = Message { partition: None, ..errant.message.clone() };
        if queue.headers {
            let (task, class) =
                (self.task.to_string(), "org.apache.kafka.connect.errors.DataException");
            let added: [(&'static str, String); 9] = [
                ("__connect.errors.topic", errant.origin.topic.to_string()),
                ("__connect.errors.partition", errant.origin.partition.to_string()),
                ("__connect.errors.offset", errant.offset.to_string()),
                ("__connect.errors.connector.name", self.connector.clone()),
                ("__connect.errors.task.id", task),
                ("__connect.errors.stage", stage.name().to_owned()),
                ("__connect.errors.exception.class.name", class.to_owned()),
                ("__connect.errors.exception.message", error.to_string()),
                ("__connect.errors.exception.stacktrace", error.trace()),
            ];
            let header = |(name, value)| (Text::from_static(name), Some(Bytes::from(value)));
            message.headers.extend(added.into_iter().map(header));
        }
        let append = Append { messages: vec![(queue.topic.clone(), vec![message])], offset: None };
        queue.producer.append(append).await?.await
    }
}
