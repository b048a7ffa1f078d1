//! The status topic (`org.apache.kafka.connect.storage.KafkaStatusBackingStore`): `status-connector-N` and
//! `status-task-N-0`.

use std::{collections::BTreeMap, sync::Arc};

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

    /// All statuses that are stored.
    pub(crate) async fn read(&mut self) -> Result<BTreeMap<Subject, Status>> {
        let mut statuses = BTreeMap::new();
        for Entry { key, value } in self.0.read_to_end().await? {
            let Some(subject) = Subject::parse(&key) else { continue };
            let value = value.and_then(|value| serde_json::from_slice::<Value>(&value).ok());
            let status = value.and_then(|value| {
                Some(Status {
                    state: State::parse(&value.state)?,
                    worker_id: value.worker_id,
                    trace: value.trace.unwrap_or_default(),
                    version: value.version.unwrap_or_default(),
                })
            });
            match status {
                Some(status) => drop(statuses.insert(subject, status)),
                None => drop(statuses.remove(&subject)),
            }
        }
        Ok(statuses)
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
