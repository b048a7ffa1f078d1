//! The herder: which connectors and tasks there should be, and how they are. REST asks it through [`Herder`].

mod actor;
mod balance;
mod cluster;
mod connector;
mod distributed;
mod effects;
mod events;
mod forward;
mod keeper;
mod leader;
mod offsets;
#[cfg(test)]
mod simulation;
mod state;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;
use connect_core::{
    config::{ConfigKey, Properties},
    error::Error,
    plugin::PluginType,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(crate) use actor::Command;
pub use distributed::{DistributedHerder, Options};
pub(crate) use events::Observed;

use crate::loggers::{Level, Loggers};
pub use crate::validate::{ConfigInfo, ConfigInfos, ConfigValue, HIDDEN, Submitted};

/// What is wanted of a connector (`org.apache.kafka.connect.runtime.TargetState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "names say it")]
pub enum TargetState {
    Started,
    Paused,
    Stopped,
}

impl TargetState {
    /// As the config topic has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Started, Self::Paused, Self::Stopped].into_iter().find(|state| state.name() == name)
    }
}

/// How a connector or task is (`org.apache.kafka.connect.runtime.AbstractStatus.State`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub enum State {
    Unassigned,
    Running,
    Paused,
    Stopped,
    Failed,
    Restarting,
}

impl State {
    /// As REST and the status topic have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
        }
    }
    pub(crate) fn parse(name: &str) -> Option<Self> {
        use State::{Failed, Paused, Restarting, Running, Stopped, Unassigned};
        let all = [Unassigned, Running, Paused, Stopped, Failed, Restarting];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// State of a connector or task, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// State.
    pub state: State,
    /// `host:port` of the worker.
    pub worker_id: String,
    /// Why it failed; empty if it didn't.
    pub trace: String,
    /// Version of the plugin; empty if not known.
    pub version: String,
}

/// A connector as the herder sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectorView {
    /// Configuration, `name` included.
    pub config: Properties,
    /// Source or sink; none if its class is not known here.
    pub ty: Option<PluginType>,
    /// Configurations of its tasks.
    pub tasks: Vec<Properties>,
    /// Its status; none before it was started.
    pub status: Option<Status>,
    /// Status of its tasks.
    pub task_status: BTreeMap<u32, Status>,
    /// Topics that it has used since it was created, or since they were reset.
    pub topics: BTreeSet<String>,
}

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "names say it")]
pub enum PluginKind {
    Sink,
    Source,
    Transformation,
    Predicate,
    Converter,
    HeaderConverter,
}

impl PluginKind {
    /// As REST shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Source => "source",
            Self::Transformation => "transformation",
            Self::Predicate => "predicate",
            Self::Converter => "converter",
            Self::HeaderConverter => "header_converter",
        }
    }
}

/// A plugin that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginInfo {
    /// Class name.
    pub class: &'static str,
    /// What it is.
    pub kind: PluginKind,
    /// Version.
    pub version: &'static str,
}

/// How far a connector has come in one partition: the JSON of Connect's `offsets` endpoint, which is of the source's
/// own shape, or names topic, partition and offset of a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionOffset {
    /// The partition.
    pub partition: Json,
    /// The offset; null forgets it.
    pub offset: Json,
}

/// Why a request was refused.
#[derive(Debug)]
pub enum Refusal {
    /// There is no such thing.
    NotFound(String),
    /// The request contradicts what is there.
    Conflict(String),
    /// The request is wrong.
    BadRequest(String),
    /// The worker's configuration forbids it.
    Forbidden(String),
    /// No worker leads at the moment: the same request may succeed soon.
    Unavailable(String),
    /// The log or the worker failed.
    Failed(Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(why)
            | Self::Conflict(why)
            | Self::BadRequest(why)
            | Self::Forbidden(why)
            | Self::Unavailable(why) => f.write_str(why),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// Message of an invalid configuration, as `AbstractHerder.maybeAddConfigErrors` words it.
pub(crate) fn invalid_config(infos: &ConfigInfos) -> String {
    let mut message = format!(
        "Connector configuration is invalid and contains the following {} error(s):",
        infos.error_count()
    );
    for error in infos.errors() {
        message.push('\n');
        message.push_str(error);
    }
    message.push_str(
        "\nYou can also find the above list of errors at the endpoint \
         `/connector-plugins/{connectorType}/config/validate`",
    );
    message
}

/// What the REST API may ask.
#[async_trait]
pub trait Herder: Send + Sync {
    /// Identity of the Kafka cluster, or of the embedded log.
    fn cluster_id(&self) -> &str;
    /// The plugins: sinks, sources, transformations, predicates, converters, header converters, each kind in
    /// alphabetical order.
    fn plugins(&self) -> Vec<PluginInfo>;
    /// Definitions of the keys of a plugin: its own, then, of a connector, the framework's.
    fn plugin_config(&self, plugin: &str, version: Option<&str>)
    -> Result<Vec<ConfigKey>, Refusal>;
    /// Checks a configuration; what is wrong with a key is in the answer, not in an error.
    async fn validate(&self, config: &Submitted) -> Result<ConfigInfos, Refusal>;
    /// A configuration as it may be shown: with `rest.secrets.mask`, without passwords.
    fn shown(&self, config: &Properties) -> Properties;
    /// Every connector by name.
    fn connectors(&self) -> Arc<BTreeMap<String, Arc<ConnectorView>>>;
    /// Creates a connector in the given state.
    async fn create(
        &self,
        name: &str,
        config: Submitted,
        initial: TargetState,
    ) -> Result<Arc<ConnectorView>, Refusal>;
    /// Replaces the configuration, or creates the connector: then the flag is true.
    async fn put_config(
        &self,
        name: &str,
        config: Submitted,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal>;
    /// Changes some keys of the configuration; null removes one.
    async fn patch_config(
        &self,
        name: &str,
        patch: Submitted,
    ) -> Result<Arc<ConnectorView>, Refusal>;
    /// Removes a connector; its offsets stay.
    async fn delete(&self, name: &str) -> Result<(), Refusal>;
    /// Pauses, resumes or stops.
    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal>;
    /// Restarts the connector, its tasks, or what of them has failed. Returns the connector as it was, with what is
    /// restarted shown as RESTARTING.
    async fn restart(&self, name: &str, what: Restart) -> Result<ConnectorView, Refusal>;
    /// Restarts one task.
    async fn restart_task(&self, name: &str, task: u32) -> Result<(), Refusal>;
    /// The topics that a connector has used; none if it is not known.
    fn topics(&self, name: &str) -> Result<BTreeSet<String>, Refusal>;
    /// Forgets the topics that a connector has used.
    async fn reset_topics(&self, name: &str) -> Result<(), Refusal>;
    /// How far a connector has come.
    async fn offsets(&self, name: &str) -> Result<Vec<PartitionOffset>, Refusal>;
    /// Sets how far a connector has come, or, with none, forgets all of it. False if the connector may keep offsets of
    /// its own besides.
    async fn alter_offsets(
        &self,
        name: &str,
        offsets: Option<Vec<PartitionOffset>>,
    ) -> Result<bool, Refusal>;
    /// The loggers of this worker.
    fn loggers(&self) -> &Loggers;
    /// Sets the level of a logger on every worker.
    async fn set_cluster_level(&self, logger: &str, level: Level) -> Result<(), Refusal>;
}

/// What a restart covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The tasks too.
    pub include_tasks: bool,
    /// Only what has failed.
    pub only_failed: bool,
}
