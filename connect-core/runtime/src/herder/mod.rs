//! The herder: which connectors and tasks there should be, and how they are. REST asks it through [`Herder`].

mod actor;
mod state;

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use connect_core::{
    config::{Invalid, Properties},
    error::Error,
    plugin::PluginType,
};

pub use actor::{LocalHerder, Options};
pub(crate) use state::Observed;

/// What is wanted of a connector (`org.apache.kafka.connect.runtime.TargetState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// A plugin that can be configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Class name.
    pub class: String,
    /// Source or sink.
    pub ty: PluginType,
    /// Version.
    pub version: String,
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
    /// The log or the worker failed.
    Failed(Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(why) | Self::Conflict(why) | Self::BadRequest(why) => f.write_str(why),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// Message of an invalid configuration, as `AbstractHerder.maybeAddConfigErrors` words it.
pub(crate) fn invalid_config(invalid: &[Invalid]) -> String {
    let mut message = format!(
        "Connector configuration is invalid and contains the following {} error(s):",
        invalid.len()
    );
    for invalid in invalid {
        message.push('\n');
        message.push_str(&invalid.message());
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
    /// The plugins, in alphabetical order of their classes.
    fn plugins(&self) -> Vec<PluginInfo>;
    /// Every connector by name.
    fn connectors(&self) -> Arc<BTreeMap<String, Arc<ConnectorView>>>;
    /// Creates a connector in the given state.
    async fn create(
        &self,
        name: &str,
        config: Properties,
        initial: TargetState,
    ) -> Result<Arc<ConnectorView>, Refusal>;
    /// Replaces the configuration, or creates the connector: then the flag is true.
    async fn put_config(
        &self,
        name: &str,
        config: Properties,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal>;
    /// Removes a connector; its offsets stay.
    async fn delete(&self, name: &str) -> Result<(), Refusal>;
    /// Pauses, resumes or stops.
    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal>;
    /// Restarts the connector, its tasks, or what of them has failed.
    async fn restart(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Result<(), Refusal>;
}
