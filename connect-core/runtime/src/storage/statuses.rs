//! The status topic (`org.apache.kafka.connect.storage.KafkaStatusBackingStore`): `status-connector-N`,
//! `status-task-N-0`, and `status-topic-T:connector-N` for the topics that a connector has used.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use connect_core::{
    error::Result,
    transport::{Durable, Entry, Transport},
};
use serde::{Deserialize, Serialize};

use super::StateLog;
use crate::{
    config::WorkerConfig,
    herder::{State, Status},
};

/// Whose status it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    Connector(String),
    Task(String, u32),
}

impl Subject {
    /// The connector's name.
    pub(crate) fn name(&self) -> &str {
        let (Self::Connector(name) | Self::Task(name, _)) = self;
        name
    }

    fn key(&self) -> Bytes {
        match self {
            Self::Connector(name) => format!("status-connector-{name}"),
            Self::Task(name, task) => format!("status-task-{name}-{task}"),
        }
        .into()
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let key = std::str::from_utf8(key).ok()?;
        if let Some(name) = key.strip_prefix("status-connector-") {
            return Some(Self::Connector(name.to_owned()));
        }
        let (name, task) = key.strip_prefix("status-task-")?.rsplit_once('-')?;
        Some(Self::Task(name.to_owned(), task.parse().ok()?))
    }
}

#[derive(Serialize, Deserialize)]
struct Value {
    state: String,
    trace: Option<String>,
    worker_id: String,
    generation: i32,
    #[serde(default)]
    version: Option<String>,
}

/// Between topic and connector in a key.
const CONNECTOR: &str = ":connector-";

#[derive(Serialize)]
struct TopicValue<'a> {
    topic: TopicStatus<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicStatus<'a> {
    name: &'a str,
    connector: &'a str,
    task: u32,
    discover_timestamp: i64,
}

/// What the status topic tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum StatusChange {
    /// The status of a connector or task; none is removed.
    Status(Subject, Option<Status>),
    /// Whether a connector has used a topic.
    Topic { connector: String, topic: String, used: bool },
}

pub(crate) struct StatusStore(StateLog);

impl StatusStore {
    pub(crate) async fn open(
        transport: &Arc<dyn Transport>,
        config: &WorkerConfig,
    ) -> Result<Self> {
        let (topic, replication) = (&config.status_topic, config.status_replication);
        let partitions = config.status_partitions;
        let log = StateLog::open(transport, "status.storage.topic", topic, partitions, replication);
        log.await.map(Self)
    }

    /// What the topic tells since the last call, up to its present end.
    pub(crate) async fn read(&mut self) -> Result<Vec<StatusChange>> {
        Ok(self.0.read_to_end().await?.iter().filter_map(from_entry).collect())
    }

    /// Waits for what the topic tells next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<StatusChange>> {
        Ok(self.0.next().await?.iter().filter_map(from_entry).collect())
    }

    /// Writes that a task has used a topic, or, without task, that it is forgotten.
    pub(crate) async fn write_topic(
        &mut self,
        connector: &str,
        topic: &str,
        task: Option<u32>,
    ) -> Result<Durable> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let discover_timestamp = now.as_millis() as i64;
        let value = task.map(|task| TopicValue {
            topic: TopicStatus { name: topic, connector, task, discover_timestamp },
        });
        let value = value.and_then(|value| serde_json::to_vec(&value).ok()).map(Bytes::from);
        let key = format!("status-topic-{topic}{CONNECTOR}{connector}");
        self.0.append(vec![(key.into(), value)]).await
    }

    /// Writes a status, or that there is none any more. The caller need not wait: a status that was lost in a
    /// crash is written again when the worker starts.
    pub(crate) async fn write(
        &mut self,
        subject: &Subject,
        status: Option<&Status>,
    ) -> Result<Durable> {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let value = status.map(|status| Value {
            state: status.state.name().to_owned(),
            trace: text(&status.trace),
            worker_id: status.worker_id.clone(),
            generation: 1,
            version: text(&status.version),
        });
        let value = value.and_then(|value| serde_json::to_vec(&value).ok()).map(Bytes::from);
        self.0.append(vec![(subject.key(), value)]).await
    }
}

/// Reads an entry; a status that cannot be read is as none.
fn from_entry(Entry { key, value }: &Entry) -> Option<StatusChange> {
    if let Some((connector, topic)) = parse_topic(key) {
        return Some(StatusChange::Topic { connector, topic, used: value.is_some() });
    }
    let subject = Subject::parse(key)?;
    let value = value.as_ref().and_then(|value| serde_json::from_slice::<Value>(value).ok());
    let status = value.and_then(|value| {
        Some(Status {
            state: State::parse(&value.state)?,
            worker_id: value.worker_id,
            trace: value.trace.unwrap_or_default(),
            version: value.version.unwrap_or_default(),
        })
    });
    Some(StatusChange::Status(subject, status))
}

fn parse_topic(key: &[u8]) -> Option<(String, String)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix("status-topic-")?;
    let (topic, connector) = rest.split_once(CONNECTOR)?;
    Some((connector.to_owned(), topic.to_owned()))
}
