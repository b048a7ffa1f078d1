//! What the herder hears, and what it has done.

use connect_core::config::Properties;

use super::Status;
use crate::storage::{RestartOrder, StatusChange, Stored, Subject, Work};

/// What became of something that was started. `run` tells which start it was: news of an earlier one are ignored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Observed {
    /// It runs.
    Running { subject: Subject, run: u64, version: String },
    /// It goes on running, and this is to be known; nothing any more if it is empty.
    Notice { subject: Subject, run: u64, trace: String },
    /// It has failed.
    Failed { subject: Subject, run: u64, trace: String },
    /// It has ended, as it was told to: what it had in hand is durable, or given up.
    Ended { subject: Subject, run: u64 },
    /// A connector has found its work and cut it into tasks.
    Tasks { connector: String, run: u64, configs: Vec<Properties> },
    /// A task has used a topic.
    Topic { connector: String, task: u32, topic: String },
    /// What an assignment took away has ended, and its statuses are stored.
    Released { revision: u64 },
    /// What earlier tasks of a connector have left is fenced; so many are there from now on.
    TasksFenced { connector: String, tasks: u32, result: Result<(), String> },
    /// Everything has ended after the lease was lost.
    Fenced,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The config topic told something.
    Stored(Stored),
    /// The status topic told something.
    Told(StatusChange),
    /// This worker is to run exactly this.
    Assigned(Work),
    /// The lease was lost: this worker runs nothing, and has nothing to say about what it ran.
    Expelled,
    /// Whether this worker leads. One that does brings in line what is stored, as often as it hears so.
    Leads(bool),
    /// Something that was started told something.
    Observed(Observed),
    /// A connector's instance, here or elsewhere, has cut its work into tasks; the leader decides.
    Tasks { connector: String, configs: Vec<Properties> },
    /// Parts of a connector are to be started anew, as far as they run here.
    Restart(RestartOrder),
    /// A user asked to forget the topics that a connector has used.
    ResetTopics { connector: String },
    /// A worker is gone without having said so.
    Lost { address: String },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Start; whatever runs under the same subject is stopped first.
    Start { subject: Subject, run: u64, config: Properties },
    /// Stop.
    Stop(Subject),
    /// Write to the config topic.
    Store(Vec<Stored>),
    /// Have the leader store the configurations of a connector's tasks.
    Submit { connector: String, run: u64, configs: Vec<Properties> },
    /// Write to the status topic; none removes.
    Status(Subject, Option<Status>),
    /// Write this worker's status again after another's, unless it may be this one that is late.
    Repeat(Subject, Status),
    /// Write to the status topic that a connector's task has used a topic; without task, that it is forgotten.
    Topic { connector: String, topic: String, task: Option<u32> },
}
