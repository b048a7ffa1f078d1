//! What happens to a record that cannot be transformed, converted or written: the policy of `errors.*`, in one place.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use connect_core::{
    config::Properties,
    converter::{Converter, ConverterClass, JsonConverter},
    data::{Text, Value},
    error::{Error, Result},
    record::Record,
    sink::TopicPartition,
    transport::{Append, Message, NewTopic, Producer, Transport},
};
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::config::{ConnectorConfig, QueueConfig, Tolerance};

/// First pause between attempts (`RetryWithToleranceOperator.RETRIES_DELAY_MIN_MS`).
const FIRST_DELAY: Duration = Duration::from_millis(300);
/// Shortest time between two log lines that count records which were passed over.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Where a record failed (`org.apache.kafka.connect.runtime.errors.Stage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// With its class.
    Transformation(&'static str),
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    TaskPoll,
    TaskPut,
    KafkaProduce,
}

impl Stage {
    /// As the headers of the dead letter queue have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transformation(_) => "TRANSFORMATION",
            Self::KeyConverter => "KEY_CONVERTER",
            Self::ValueConverter => "VALUE_CONVERTER",
            Self::HeaderConverter => "HEADER_CONVERTER",
            Self::TaskPoll => "TASK_POLL",
            Self::TaskPut => "TASK_PUT",
            Self::KafkaProduce => "KAFKA_PRODUCE",
        }
    }
}

/// A record that failed.
pub(crate) enum Errant<'m> {
    /// Of a sink: the message, as it was fetched.
    Fetched { origin: &'m TopicPartition, offset: i64, message: &'m Message },
    /// Of a source: the record as far as it came, where it was going, and the source partition it is from.
    Polled { record: &'m Record, topic: &'m Text, partition: &'m Json },
}

/// How often a failed operation is tried again (`errors.retry.*`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// None: for ever.
    timeout: Option<Duration>,
    longest: Duration,
}

impl RetryPolicy {
    pub(crate) fn new(config: &ConnectorConfig) -> Self {
        Self {
            timeout: u64::try_from(config.retry_timeout).ok().map(Duration::from_millis),
            longest: Duration::from_millis(config.retry_delay.max(0).unsigned_abs()),
        }
    }

    /// Whether anything is tried again at all.
    pub(crate) fn is_on(self) -> bool {
        self.timeout != Some(Duration::ZERO)
    }

    /// A fresh count of attempts, for one operation.
    pub(crate) fn attempts(self) -> Attempts {
        Attempts { policy: self, until: None, delay: FIRST_DELAY }
    }
}

/// Attempts at one operation.
pub(crate) struct Attempts {
    policy: RetryPolicy,
    until: Option<Instant>,
    delay: Duration,
}

impl Attempts {
    /// The pause before the next attempt after this error; none if there is to be none.
    pub(crate) fn after(&mut self, error: &Error) -> Option<Duration> {
        if !error.is_retriable() || !self.policy.is_on() {
            return None;
        }
        let now = Instant::now();
        if let Some(timeout) = self.policy.timeout
            && now >= *self.until.get_or_insert_with(|| now + timeout)
        {
            return None;
        }
        // Half of it at random, so that tasks which failed together don't come back together.
        let random = RandomState::new().hash_one(0u8) % 500;
        let pause = self.delay.min(self.policy.longest).mul_f64(0.5 + random as f64 / 1000.0);
        self.delay = self.delay.saturating_mul(2);
        Some(pause)
    }
}

/// Decides about errant records of one task.
pub(crate) struct ErrorPolicy {
    tolerance: Tolerance,
    log: bool,
    log_messages: bool,
    connector: String,
    task: u32,
    classes: Classes,
    queue: Option<DeadLetterQueue>,
    passed_over: PassedOver,
}

/// Counts the records that were passed over, so that none is without a line in the log.
#[derive(Debug, Default)]
struct PassedOver {
    total: u64,
    /// Of these, how many the log does not count yet.
    unsaid: u64,
    said_at: Option<Instant>,
}

impl PassedOver {
    /// Counts one more; the number to log, if it is time for that.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.total += 1;
        self.unsaid += 1;
        if self.said_at.is_some_and(|at| now < at + COUNT_INTERVAL) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Drop for ErrorPolicy {
    /// Logs what was not counted yet: the task ends.
    fn drop(&mut self) {
        if self.passed_over.unsaid > 0 {
            tracing::warn!(
                connector = self.connector,
                task = self.task,
                records = self.passed_over.unsaid,
                total = self.passed_over.total,
                "records were passed over (errors.tolerance=all)"
            );
        }
    }
}

/// Names of what a record goes through, for the headers of the dead letter queue.
pub(crate) struct Classes {
    pub(crate) key_converter: String,
    pub(crate) value_converter: String,
    pub(crate) header_converter: String,
    pub(crate) task: String,
}

impl Classes {
    fn of(&self, stage: Stage) -> &str {
        match stage {
            Stage::Transformation(class) => class,
            Stage::KeyConverter => &self.key_converter,
            Stage::ValueConverter => &self.value_converter,
            Stage::HeaderConverter => &self.header_converter,
            Stage::TaskPoll | Stage::TaskPut | Stage::KafkaProduce => &self.task,
        }
    }
}

struct DeadLetterQueue {
    topic: Text,
    headers: bool,
    producer: Box<dyn Producer>,
    /// For what a source could not convert: it has no message yet.
    json: JsonConverter,
}

impl DeadLetterQueue {
    async fn open(
        transport: &dyn Transport,
        client_id: &str,
        config: &QueueConfig,
        client: &Properties,
    ) -> Result<Option<Self>> {
        if config.topic.trim().is_empty() {
            return Ok(None);
        }
        let new = NewTopic {
            name: config.topic.clone(),
            partitions: Some(1),
            replication_factor: Some(config.replication),
            compacted: false,
            properties: BTreeMap::new(),
        };
        if transport.topic(&config.topic).await?.is_none() {
            transport.create_topic(&new).await?;
        }
        let producer = transport.producer(client_id, client).await?;
        let schemaless = [("schemas.enable", "false"), ("converter.type", "value")];
        let schemaless = schemaless.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let json = JsonConverter::new(connect_core::config::parse(&schemaless)?)?;
        let topic = config.topic.as_str().into();
        Ok(Some(Self { topic, headers: config.headers, producer, json }))
    }

    /// What can be said of a record that has no message: its key and value as JSON without schema.
    fn message(&mut self, record: &Record) -> Message {
        let mut encode = |schema, value: &Value| {
            let mut out = BytesMut::new();
            match self.json.encode(schema, value, &mut out) {
                Ok(true) => Some(out.freeze()),
                // A value that JSON cannot hold: the headers tell what was wrong.
                Ok(false) | Err(_) => None,
            }
        };
        Message {
            partition: None,
            key: encode(record.key_schema.as_ref(), &record.key),
            value: encode(record.value_schema.as_ref(), &record.value),
            headers: Vec::new(),
            timestamp: record.timestamp,
        }
    }
}

impl ErrorPolicy {
    /// Opens the dead letter queue, if there is to be one; its topic is created where it is missing.
    pub(crate) async fn open(
        transport: &dyn Transport,
        (connector, task): (&str, u32),
        common: &ConnectorConfig,
        queue: &QueueConfig,
        classes: Classes,
        client: &Properties,
    ) -> Result<Self> {
        let client_id = format!("connect-dlq-producer-{connector}-{task}");
        Ok(Self {
            tolerance: common.tolerance,
            log: common.log_errors,
            log_messages: common.log_messages,
            connector: connector.to_owned(),
            task,
            classes,
            queue: DeadLetterQueue::open(transport, &client_id, queue, client).await?,
            passed_over: PassedOver::default(),
        })
    }

    /// Whether the records of a source that fail are needed.
    pub(crate) fn shows_records(&self) -> bool {
        self.queue.is_some() || (self.log && self.log_messages)
    }

    /// Whether records that fail are passed over.
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
            let record = if self.log_messages { describe(&errant) } else { String::new() };
            tracing::error!(
                connector = self.connector, task = self.task, stage = stage.name(), record,
                error = %error.trace().trim_end(), "Error encountered in task"
            );
        }
        // As on the JVM, also a record that fails the task.
        self.report(stage, &errant, &error).await?;
        if self.tolerance != Tolerance::All {
            let failed =
                Error::data("Tolerance exceeded in error handler").context("stage", stage.name());
            return Err(match errant {
                Errant::Fetched { origin, offset, .. } => failed
                    .context("topic", &origin.topic)
                    .context("partition", origin.partition)
                    .context("offset", offset),
                Errant::Polled { topic, partition, .. } => {
                    failed.context("topic", topic).context("source partition", partition)
                }
            }
            .with_source(error));
        }
        if let Some(records) = self.passed_over.add(Instant::now()) {
            tracing::warn!(
                connector = self.connector, task = self.task, stage = stage.name(), records,
                total = self.passed_over.total, dead_letters = self.queue.is_some(),
                error = %error, "records were passed over (errors.tolerance=all); this is the last one's error"
            );
        }
        Ok(())
    }

    /// Tells the dead letter queue, if there is one.
    async fn report(&mut self, stage: Stage, errant: &Errant<'_>, error: &Error) -> Result<()> {
        let Some(queue) = &mut self.queue else { return Ok(()) };
        let mut message = match errant {
            Errant::Fetched { message, .. } => Message { partition: None, ..(*message).clone() },
            Errant::Polled { record, .. } => queue.message(record),
        };
        if queue.headers {
            let mut header = |name: &'static str, value: String| {
                let name = Text::from_static(name);
                message.headers.push((name, Some(Bytes::from(value))));
            };
            match errant {
                Errant::Fetched { origin, offset, .. } => {
                    header("__connect.errors.topic", origin.topic.to_string());
                    header("__connect.errors.partition", origin.partition.to_string());
                    header("__connect.errors.offset", offset.to_string());
                }
                Errant::Polled { topic, partition, .. } => {
                    header("__connect.errors.topic", topic.to_string());
                    header("__connect.errors.source.partition", partition.to_string());
                }
            }
            header("__connect.errors.connector.name", self.connector.clone());
            header("__connect.errors.task.id", self.task.to_string());
            header("__connect.errors.stage", stage.name().to_owned());
            header("__connect.errors.class.name", self.classes.of(stage).to_owned());
            let class = "org.apache.kafka.connect.errors.DataException";
            header("__connect.errors.exception.class.name", class.to_owned());
            header("__connect.errors.exception.message", error.to_string());
            header("__connect.errors.exception.stacktrace", error.trace());
        }
        // What is too large for a topic is so for the queue, too: the headers tell whose it was.
        let longest = queue.producer.longest(None).unwrap_or(usize::MAX);
        if message.size() > longest {
            message.value = None;
        }
        if message.size() > longest {
            message.key = None;
        }
        let append = Append { messages: vec![(queue.topic.clone(), vec![message])], offset: None };
        queue.producer.append(append).await?.await
    }
}

/// The record for the log (`errors.log.include.messages`): of a sink where it is, of a source what it is.
fn describe(errant: &Errant<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match errant {
        Errant::Fetched { origin, offset, message } => write!(
            text,
            "topic='{}', partition={}, offset={offset}, timestamp={:?}",
            origin.topic, origin.partition, message.timestamp
        ),
        Errant::Polled { record, topic, partition } => write!(
            text,
            "topic='{topic}', source partition={partition}, key={:?}, value={:?}, headers={:?}",
            record.key, record.value, record.headers
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(timeout: i64, longest: u64) -> RetryPolicy {
        let timeout = u64::try_from(timeout).ok().map(Duration::from_millis);
        RetryPolicy { timeout, longest: Duration::from_millis(longest) }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_the_longest_until_the_time_is_over() {
        let error = Error::connection("not now");
        let mut attempts = policy(10_000, 1_000).attempts();
        let mut pauses = Vec::new();
        while let Some(pause) = attempts.after(&error) {
            pauses.push(pause.as_millis());
            tokio::time::advance(pause).await;
        }
        assert!((150..=300).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses.len() > 8 && pauses.iter().all(|pause| *pause <= 1_000), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn passed_over_records_are_counted_in_few_lines() {
        let mut counted = PassedOver::default();
        let mut said = Vec::new();
        for _ in 0..100 {
            said.extend(counted.add(Instant::now()));
            tokio::time::advance(Duration::from_millis(250)).await;
        }
        assert_eq!(said, [1, 40, 40]);
        assert_eq!((counted.total, counted.unsaid), (100, 19));
    }

    #[tokio::test]
    async fn only_what_may_help_is_tried_again() {
        assert_eq!(policy(0, 1_000).attempts().after(&Error::connection("no")), None);
        assert_eq!(policy(-1, 1_000).attempts().after(&Error::data("bad")), None);
        assert!(policy(-1, 1_000).attempts().after(&Error::connection("no")).is_some());
    }
}
