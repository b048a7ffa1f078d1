//! The config topic (`org.apache.kafka.connect.storage.KafkaConfigBackingStore`): `connector-N`, `task-N-0`,
//! `commit-N`, `target-state-N`.

use std::sync::Arc;

use bytes::Bytes;
use connect_core::{
    config::Properties,
    error::{Error, Result},
    transport::{Entry, Transport},
};
use serde_json::{Value as Json, json};

use super::StateLog;
use crate::{config::WorkerConfig, herder::TargetState, loggers::Level};

const LOGGER: &str = "logger-cluster-";
const FENCED: &str = "tasks-fencing-";

/// A change of what is wanted, as the config topic tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored {
    Connector {
        name: String,
        config: Properties,
    },
    Removed {
        name: String,
    },
    Target {
        name: String,
        target: TargetState,
    },
    Task {
        name: String,
        task: u32,
        config: Properties,
    },
    /// The task configurations before it are complete and this many.
    Commit {
        name: String,
        tasks: u32,
    },
    /// What tasks of earlier configurations have left is fenced, and this many will be there from now on (KIP-618).
    Fenced {
        name: String,
        tasks: u32,
    },
    /// The level of a logger, on every worker.
    Logger {
        name: String,
        level: Level,
    },
}

pub(crate) struct ConfigStore(StateLog);

impl ConfigStore {
    pub(crate) async fn open(
        transport: &Arc<dyn Transport>,
        config: &WorkerConfig,
    ) -> Result<Self> {
        let (topic, replication) = (&config.config_topic, config.config_replication);
        StateLog::open(transport, "config.storage.topic", topic, 1, replication).await.map(Self)
    }

    /// Writes in transactions from now on, and fences an earlier leader that does.
    pub(crate) async fn fence(&mut self, transactional_id: &str) -> Result<()> {
        self.0.fence(transactional_id).await
    }

    /// Writes changes, waits until they are durable, and returns what the topic tells since the last call: these
    /// and whatever another worker wrote.
    pub(crate) async fn write(&mut self, changes: &[Stored]) -> Result<Vec<Stored>> {
        let entries = changes.iter().flat_map(to_entries).collect();
        self.0.append(entries).await?.await?;
        self.read().await
    }

    /// What the topic tells since the last call, up to its present end.
    pub(crate) async fn read(&mut self) -> Result<Vec<Stored>> {
        Ok(self.0.read_to_end().await?.iter().filter_map(from_entry).collect())
    }

    /// Waits for what the topic tells next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Stored>> {
        Ok(self.0.next().await?.iter().filter_map(from_entry).collect())
    }
}

fn to_entries(change: &Stored) -> Vec<(Bytes, Option<Bytes>)> {
    let entry = |key: String, value: Option<Json>| {
        (Bytes::from(key), value.map(|value| Bytes::from(value.to_string())))
    };
    match change {
        Stored::Connector { name, config } => {
            vec![entry(format!("connector-{name}"), Some(json!({"properties": config})))]
        }
        Stored::Removed { name } => vec![
            entry(format!("connector-{name}"), None),
            entry(format!("target-state-{name}"), None),
        ],
        Stored::Target { name, target } => {
            // Workers before 3.5 don't know STOPPED: for them it is PAUSED.
            let old = if *target == TargetState::Stopped { TargetState::Paused } else { *target };
            let value = json!({"state": old.name(), "state.v2": target.name()});
            vec![entry(format!("target-state-{name}"), Some(value))]
        }
        Stored::Task { name, task, config } => {
            vec![entry(format!("task-{name}-{task}"), Some(json!({"properties": config})))]
        }
        Stored::Commit { name, tasks } => {
            vec![entry(format!("commit-{name}"), Some(json!({"tasks": tasks})))]
        }
        Stored::Fenced { name, tasks } => {
            vec![entry(format!("{FENCED}{name}"), Some(json!({"tasks": tasks})))]
        }
        Stored::Logger { name, level } => {
            vec![entry(format!("{LOGGER}{name}"), Some(json!({"level": level.name()})))]
        }
    }
}

/// Reads an entry; those of other kinds (session keys, restart requests) are none.
fn from_entry(entry: &Entry) -> Option<Stored> {
    let key = std::str::from_utf8(&entry.key).ok()?;
    let read = || -> Result<Option<Stored>> {
        let value: Json = match &entry.value {
            Some(value) => {
                serde_json::from_slice(value).map_err(|e| Error::data("not JSON").with_source(e))?
            }
            None => Json::Null,
        };
        let removed = entry.value.is_none();
        if let Some(name) = key.strip_prefix("connector-") {
            let name = name.to_owned();
            return Ok(Some(match removed {
                true => Stored::Removed { name },
                false => Stored::Connector { name, config: properties(&value)? },
            }));
        }
        if let Some(name) = key.strip_prefix("target-state-") {
            let state = value["state.v2"].as_str().or(value["state"].as_str());
            let target = match state {
                // A removed target state is that of a connector that was deleted.
                None => TargetState::Started,
                Some(state) => TargetState::parse(state)
                    .ok_or_else(|| Error::data("unknown target state").context("state", state))?,
            };
            return Ok(Some(Stored::Target { name: name.to_owned(), target }));
        }
        if removed {
            return Ok(None);
        }
        let tasks = || {
            let tasks = value["tasks"].as_u64().and_then(|tasks| u32::try_from(tasks).ok());
            tasks.ok_or_else(|| Error::data("no number of tasks"))
        };
        if let Some(name) = key.strip_prefix(FENCED) {
            return Ok(Some(Stored::Fenced { name: name.to_owned(), tasks: tasks()? }));
        }
        if let Some((name, task)) = key.strip_prefix("task-").and_then(|rest| rest.rsplit_once('-'))
            && let Ok(task) = task.parse()
        {
            let (name, config) = (name.to_owned(), properties(&value)?);
            return Ok(Some(Stored::Task { name, task, config }));
        }
        if let Some(name) = key.strip_prefix("commit-") {
            return Ok(Some(Stored::Commit { name: name.to_owned(), tasks: tasks()? }));
        }
        if let Some(name) = key.strip_prefix(LOGGER) {
            let level = value["level"].as_str().and_then(Level::parse);
            let level = level.ok_or_else(|| Error::data("unknown level"))?;
            return Ok(Some(Stored::Logger { name: name.to_owned(), level }));
        }
        Ok(None)
    };
    read().unwrap_or_else(|error| {
        // As the JVM's: one entry that cannot be read must not keep the worker from starting.
        tracing::error!(key, %error, "ignoring an entry of the config topic");
        None
    })
}

fn properties(value: &Json) -> Result<Properties> {
    let entries = value["properties"].as_object();
    let entries = entries.ok_or_else(|| Error::data("no properties"))?;
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(entries.iter().map(|(key, value)| (key.clone(), text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(change: &Stored) -> Vec<(String, Option<String>)> {
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        to_entries(change).iter().map(|(k, v)| (text(k), v.as_ref().map(text))).collect()
    }

    #[test]
    fn entries_are_the_jvms() {
        let name = || "a-b".to_owned();
        let config = Properties::from([("topic".into(), "t".into())]);
        let changes = [
            Stored::Connector { name: name(), config: config.clone() },
            Stored::Task { name: name(), task: 0, config },
            Stored::Commit { name: name(), tasks: 1 },
            Stored::Target { name: name(), target: TargetState::Stopped },
            Stored::Fenced { name: name(), tasks: 2 },
            Stored::Logger { name: name(), level: Level::Warn },
        ];
        let entries: Vec<_> = changes.iter().flat_map(shown).collect();
        let expected = [
            ("connector-a-b", r#"{"properties":{"topic":"t"}}"#),
            ("task-a-b-0", r#"{"properties":{"topic":"t"}}"#),
            ("commit-a-b", r#"{"tasks":1}"#),
            ("target-state-a-b", r#"{"state":"PAUSED","state.v2":"STOPPED"}"#),
            ("tasks-fencing-a-b", r#"{"tasks":2}"#),
            ("logger-cluster-a-b", r#"{"level":"WARN"}"#),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect();
        assert_eq!(entries, expected);
        for change in changes {
            let entries = to_entries(&change);
            let (key, value) = entries[0].clone();
            assert_eq!(from_entry(&Entry { key, value }), Some(change));
        }
        assert_eq!(
            shown(&Stored::Removed { name: name() }),
            [("connector-a-b".into(), None), ("target-state-a-b".into(), None)]
        );
    }

    #[test]
    fn strange_entries_are_ignored() {
        for (key, value) in [("session-key", "{}"), ("connector-x", "not json"), ("commit-x", "{}")]
        {
            let entry = Entry { key: key.into(), value: Some(value.into()) };
            assert_eq!(from_entry(&entry), None, "{key}");
        }
    }
}
