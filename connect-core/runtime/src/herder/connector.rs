//! What is known of one connector.

use std::collections::{BTreeMap, BTreeSet};

use connect_core::config::Properties;

use super::{Status, TargetState};
use crate::storage::Subject;

/// What the config topic says of a connector besides its configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) target: TargetState,
    pub(crate) tasks: Vec<Properties>,
    /// How many tasks were fenced last, or may have written since; none if none ever wrote in transactions.
    pub(super) fenced: Option<u32>,
    /// Whether tasks were configured anew since.
    pub(super) unfenced: bool,
    /// Task configurations whose commit has not come yet.
    pub(super) staged: BTreeMap<u32, Properties>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            target: TargetState::Started,
            tasks: Vec::new(),
            fenced: None,
            unfenced: false,
            staged: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Connector {
    pub(crate) config: Properties,
    pub(crate) wanted: Wanted,
    pub(crate) status: Option<Status>,
    pub(crate) task_status: BTreeMap<u32, Status>,
    pub(crate) topics: BTreeSet<String>,
    /// Start of the instance that runs, or has failed.
    pub(super) run: Option<u64>,
    /// The same of each task, with the configuration that it was started with.
    pub(super) task_runs: BTreeMap<u32, (u64, Properties)>,
    /// Tasks that were told to end for good; their status stays until they have.
    pub(super) leaving: BTreeMap<u32, u64>,
}

impl Connector {
    pub(super) fn new(config: Properties, wanted: Wanted) -> Self {
        Self {
            config,
            wanted,
            status: None,
            task_status: BTreeMap::new(),
            topics: BTreeSet::new(),
            run: None,
            task_runs: BTreeMap::new(),
            leaving: BTreeMap::new(),
        }
    }

    /// Its instance and tasks, as far as they run or have a status.
    pub(super) fn subjects(&self, name: &str) -> Vec<Subject> {
        let tasks: BTreeSet<u32> =
            self.task_runs.keys().chain(self.task_status.keys()).copied().collect();
        let mut all = vec![Subject::Connector(name.to_owned())];
        all.extend(tasks.into_iter().map(|task| Subject::Task(name.to_owned(), task)));
        all
    }
    pub(super) fn status(&self, subject: &Subject) -> Option<&Status> {
        match subject {
            Subject::Connector(_) => self.status.as_ref(),
            Subject::Task(_, task) => self.task_status.get(task),
        }
    }

    pub(super) fn set_status(&mut self, subject: &Subject, status: Option<Status>) {
        match (subject, status) {
            (Subject::Connector(_), status) => self.status = status,
            (Subject::Task(_, task), Some(status)) => {
                self.task_status.insert(*task, status);
            }
            (Subject::Task(_, task), None) => drop(self.task_status.remove(task)),
        }
    }

    /// What is heard of its run from now on is of no interest. Whether it ran.
    pub(super) fn end_run(&mut self, subject: &Subject) -> bool {
        match subject {
            Subject::Connector(_) => self.run.take().is_some(),
            Subject::Task(_, task) => {
                self.leaving.remove(task);
                self.task_runs.remove(task).is_some()
            }
        }
    }
}
