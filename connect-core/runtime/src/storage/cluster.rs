//! The cluster topic: who leads, who is there, who runs what, and what workers ask of their leader. Compacted, with one
//! partition: every worker sees the same changes in the same order. The JVM's workers don't know it.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use connect_core::{
    config::Properties,
    error::{Error, Result},
    transport::{Entry, Transport},
};
use serde::{Deserialize, Serialize};

use super::{StateLog, Subject};
use crate::{
    config::WorkerConfig,
    herder::{Refusal, Restart, TargetState},
    loggers::Level,
};

/// Connectors and tasks.
pub(crate) type Work = BTreeSet<Subject>;

/// What a worker is to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// Grows with each change for this worker.
    pub(crate) revision: u64,
    #[serde(with = "compact")]
    pub(crate) run: Work,
    /// What it may still run: it was taken away, and the worker has not yet told that it has ended.
    #[serde(with = "compact")]
    pub(crate) release: Work,
}

/// What a worker tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// `host:port` of its REST API.
    pub(crate) address: String,
    /// Revision of the assignment that it has carried out: what that one took away has ended.
    pub(crate) applied: u64,
}

/// Which configuration a new one takes the place of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Replaces {
    /// None: it is created, in this state.
    Nothing(TargetState),
    /// Whatever is there, if anything is.
    Anything,
    /// This one; another must not be lost.
    Exactly(Properties),
}

/// Partitions of a source with their offsets, as REST gives them.
pub(crate) type OffsetChanges = Vec<connect_core::source::OffsetChange>;

/// A request that changes something: the leader carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    Put {
        name: String,
        config: Properties,
        replaces: Replaces,
    },
    Delete {
        name: String,
    },
    Target {
        name: String,
        target: TargetState,
    },
    Restart {
        name: String,
        what: Restart,
    },
    RestartTask {
        name: String,
        task: u32,
    },
    ResetTopics {
        name: String,
    },
    /// None forgets all offsets.
    Alter {
        name: String,
        offsets: Option<OffsetChanges>,
    },
    Level {
        logger: String,
        level: Level,
    },
    /// What earlier tasks of a source have left is to be fenced (KIP-618).
    Fence {
        name: String,
    },
    /// A connector has found its work and cut it into tasks.
    Tasks {
        name: String,
        configs: Vec<Properties>,
    },
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done.
    Done,
    /// The configuration is stored; true if there was none before.
    Stored(bool),
    /// Another configuration came between.
    Changed,
    /// What is restarted: the connector's instance, and tasks.
    Restarted { instance: bool, tasks: Vec<u32> },
    /// Offsets are changed; false if the connector may keep offsets of its own besides.
    Altered(bool),
}

/// Which parts of a connector are to be started anew, wherever they run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RestartOrder {
    pub(crate) connector: String,
    pub(crate) instance: bool,
    pub(crate) tasks: Vec<u32>,
}

/// An entry of the cluster topic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// A worker leads from here on: what others write as leaders after this is void.
    Leads(String),
    /// A worker tells of itself; none is gone, and has ended all that it ran.
    Worker(String, Option<Report>),
    /// What a worker is to run, by a leader; none: it is gone, and what it ran was given to others.
    Assigned { worker: String, by: Option<String>, assignment: Option<Assignment> },
    /// A worker asks.
    Asked { worker: String, id: u64, request: Request },
    /// A leader answers.
    Answered { worker: String, id: u64, answer: Result<Answer, Refused> },
    /// A leader has parts of a connector started anew.
    Restart { by: String, order: RestartOrder },
}

/// Why a request was refused, on its way to the worker that asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refused {
    kind: RefusedKind,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum RefusedKind {
    NotFound,
    Conflict,
    BadRequest,
    Forbidden,
    Unavailable,
    Failed,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        let kind = match refusal {
            Refusal::NotFound(_) => RefusedKind::NotFound,
            Refusal::Conflict(_) => RefusedKind::Conflict,
            Refusal::BadRequest(_) => RefusedKind::BadRequest,
            Refusal::Forbidden(_) => RefusedKind::Forbidden,
            Refusal::Unavailable(_) => RefusedKind::Unavailable,
            Refusal::Failed(_) => RefusedKind::Failed,
        };
        Self { kind, message: refusal.to_string() }
    }
}

impl From<Refused> for Refusal {
    fn from(Refused { kind, message }: Refused) -> Self {
        match kind {
            RefusedKind::NotFound => Self::NotFound(message),
            RefusedKind::Conflict => Self::Conflict(message),
            RefusedKind::BadRequest => Self::BadRequest(message),
            RefusedKind::Forbidden => Self::Forbidden(message),
            RefusedKind::Unavailable => Self::Unavailable(message),
            RefusedKind::Failed => Self::Failed(Error::refused(message)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Leads {
    worker: String,
}

#[derive(Serialize, Deserialize)]
struct By<T> {
    leader: String,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize, Deserialize)]
struct Asked {
    id: u64,
    request: Request,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    id: u64,
    answer: Result<Answer, Refused>,
}

/// Work as a person would write it: connectors, and tasks by connector.
mod compact {
    use super::*;

    #[derive(Serialize, Deserialize, Default)]
    #[serde(default)]
    struct Compact {
        connectors: Vec<String>,
        tasks: BTreeMap<String, Vec<u32>>,
    }

    pub(super) fn serialize<S: serde::Serializer>(work: &Work, to: S) -> Result<S::Ok, S::Error> {
        let mut compact = Compact::default();
        for subject in work {
            match subject {
                Subject::Connector(name) => compact.connectors.push(name.clone()),
                Subject::Task(name, task) => match compact.tasks.get_mut(name) {
                    Some(tasks) => tasks.push(*task),
                    None => drop(compact.tasks.insert(name.clone(), vec![*task])),
                },
            }
        }
        compact.serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Work, D::Error> {
        let Compact { connectors, tasks } = Compact::deserialize(from)?;
        let of = |(name, tasks): (String, Vec<u32>)| {
            tasks.into_iter().map(move |task| Subject::Task(name.clone(), task))
        };
        let tasks = tasks.into_iter().flat_map(of);
        Ok(connectors.into_iter().map(Subject::Connector).chain(tasks).collect())
    }
}

/// The cluster topic.
pub(crate) struct ClusterStore(StateLog);

impl ClusterStore {
    pub(crate) async fn open(
        transport: &Arc<dyn Transport>,
        config: &WorkerConfig,
    ) -> Result<Self> {
        let (topic, replication) = (config.cluster_topic(), config.config_replication);
        StateLog::open(transport, "cluster.storage.topic", &topic, 1, replication).await.map(Self)
    }

    /// Writes entries; on return they are durable, and read by [`next`](Self::next) as all others are.
    pub(crate) async fn write(&mut self, entries: &[Told]) -> Result<()> {
        let mut written = Vec::with_capacity(entries.len());
        for told in entries {
            written.push(to_entry(told)?);
            if let Told::Worker(worker, None) = told {
                // What it asked and was answered is nobody's any more: configurations may hold passwords.
                written.push((format!("request-{worker}").into(), None));
                written.push((format!("answer-{worker}").into(), None));
            }
        }
        self.0.append(written).await?.await
    }

    /// What the topic tells since the last call, up to its present end.
    pub(crate) async fn read(&mut self) -> Result<Vec<Told>> {
        Ok(self.0.read_to_end().await?.iter().filter_map(from_entry).collect())
    }

    /// Waits for what the topic tells next. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Told>> {
        Ok(self.0.next().await?.iter().filter_map(from_entry).collect())
    }
}

fn to_entry(told: &Told) -> Result<(Bytes, Option<Bytes>)> {
    let (key, value) = match told {
        Told::Leads(worker) => {
            ("leader".to_owned(), Some(serde_json::to_vec(&Leads { worker: worker.clone() })))
        }
        Told::Worker(worker, report) => {
            (format!("worker-{worker}"), report.as_ref().map(serde_json::to_vec))
        }
        Told::Assigned { worker, by, assignment } => {
            let value = by.as_ref().zip(assignment.as_ref());
            let value = value.map(|(leader, what)| By { leader: leader.clone(), what });
            (format!("assignment-{worker}"), value.as_ref().map(serde_json::to_vec))
        }
        Told::Asked { worker, id, request } => {
            let value = serde_json::to_vec(&Asked { id: *id, request: request.clone() });
            (format!("request-{worker}"), Some(value))
        }
        Told::Answered { worker, id, answer } => {
            let value = serde_json::to_vec(&Answered { id: *id, answer: answer.clone() });
            (format!("answer-{worker}"), Some(value))
        }
        Told::Restart { by, order } => {
            let value = serde_json::to_vec(&By { leader: by.clone(), what: order });
            ("restart".to_owned(), Some(value))
        }
    };
    let value = value.transpose();
    let value = value.map_err(|e| Error::internal("not JSON").with_source(e))?;
    Ok((key.into(), value.map(Bytes::from)))
}

/// Bytes of an entry in the topic.
#[cfg(test)]
pub(crate) fn written(told: &Told) -> Result<usize> {
    let (key, value) = to_entry(told)?;
    Ok(key.len() + value.map_or(0, |value| value.len()))
}

/// Reads an entry; one of a later version that is not understood is none.
fn from_entry(entry: &Entry) -> Option<Told> {
    let key = std::str::from_utf8(&entry.key).ok()?;
    let told = match (&entry.value, key) {
        (Some(value), "leader") => {
            serde_json::from_slice(value).map(|Leads { worker }| Told::Leads(worker))
        }
        (Some(value), "restart") => serde_json::from_slice(value)
            .map(|By { leader, what }| Told::Restart { by: leader, order: what }),
        (value, key) => {
            let (kind, worker) = key.split_once('-')?;
            let worker = worker.to_owned();
            match (kind, value) {
                ("worker", None) => Ok(Told::Worker(worker, None)),
                ("worker", Some(value)) => {
                    serde_json::from_slice(value).map(|report| Told::Worker(worker, Some(report)))
                }
                ("assignment", None) => Ok(Told::Assigned { worker, by: None, assignment: None }),
                ("assignment", Some(value)) => serde_json::from_slice(value).map(|by: By<_>| {
                    let (by, assignment) = (Some(by.leader), Some(by.what));
                    Told::Assigned { worker, by, assignment }
                }),
                ("request", Some(value)) => serde_json::from_slice(value)
                    .map(|Asked { id, request }| Told::Asked { worker, id, request }),
                ("answer", Some(value)) => serde_json::from_slice(value)
                    .map(|Answered { id, answer }| Told::Answered { worker, id, answer }),
                _ => return None,
            }
        }
    };
    told.inspect_err(|error| {
        tracing::error!(key, %error, "ignoring an entry of the cluster topic");
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let work =
            |task| Work::from([Subject::Connector("a".into()), Subject::Task("b-c".into(), task)]);
        let assignment = Assignment { revision: 3, run: work(1), release: work(2) };
        let worker = || "127.0.0.1:8083-x".to_owned();
        let request = Request::Put {
            name: "a".into(),
            config: Properties::from([("k".into(), "v".into())]),
            replaces: Replaces::Nothing(TargetState::Paused),
        };
        let restart = RestartOrder { connector: "a".into(), instance: true, tasks: vec![1] };
        let refused = Refused::from(&Refusal::NotFound("no".into()));
        let all = [
            Told::Leads(worker()),
            Told::Worker(worker(), Some(Report { address: "h:1".into(), applied: 3 })),
            Told::Worker(worker(), None),
            Told::Assigned { worker: worker(), by: Some("l".into()), assignment: Some(assignment) },
            Told::Assigned { worker: worker(), by: None, assignment: None },
            Told::Asked { worker: worker(), id: 1, request },
            Told::Answered { worker: worker(), id: 1, answer: Err(refused) },
            Told::Answered { worker: worker(), id: 1, answer: Ok(Answer::Altered(true)) },
            Told::Restart { by: "l".into(), order: restart },
        ];
        for told in all {
            let (key, value) = to_entry(&told).unwrap();
            assert_eq!(from_entry(&Entry { key, value }), Some(told));
        }
    }

    #[test]
    fn assignments_are_compact() {
        let run = Work::from([0, 1].map(|task| Subject::Task("a".into(), task)));
        let assignment = Some(Assignment { revision: 1, run, release: Work::new() });
        let told = Told::Assigned { worker: "w".into(), by: Some("l".into()), assignment };
        let (_, value) = to_entry(&told).unwrap();
        let expected = r#"{"leader":"l","revision":1,"run":{"connectors":[],"tasks":{"a":[0,1]}},"release":{"connectors":[],"tasks":{}}}"#;
        assert_eq!(value.unwrap(), expected);
    }
}
