//! What the herder decides, without doing it: a pure function from state and event to effects (invariant 6).

use std::collections::{BTreeMap, BTreeSet};

use connect_core::config::Properties;

use super::{Restart, State, Status, TargetState};
use crate::storage::{Stored, Subject};

/// What became of something that was started. `run` tells which start it was: news of an earlier one are ignored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Observed {
    /// It runs.
    Running { subject: Subject, run: u64, version: String },
    /// It has failed.
    Failed { subject: Subject, run: u64, trace: String },
    /// It has ended, as it was told to: what it had in hand is durable, or given up.
    Ended { subject: Subject, run: u64 },
    /// A connector has found its work and cut it into tasks.
    Tasks { connector: String, run: u64, configs: Vec<Properties> },
    /// A task has used a topic.
    Topic { connector: String, task: u32, topic: String },
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The config topic told something.
    Stored(Stored),
    /// The config topic and the statuses were read: what should run may start.
    Loaded,
    /// Something that was started told something.
    Observed(Observed),
    /// A user asked for a restart.
    Restart { connector: String, what: Restart },
    /// A user asked for the restart of one task.
    RestartTask { connector: String, task: u32 },
    /// A user asked to forget the topics that a connector has used.
    ResetTopics { connector: String },
    /// The worker is leaving: what runs has no worker any more.
    Leaving,
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
    /// Write to the status topic; none removes.
    Status(Subject, Option<Status>),
    /// Write to the status topic that a connector's task has used a topic; without task, that it is forgotten.
    Topic { connector: String, topic: String, task: Option<u32> },
}

/// What the config topic says of a connector besides its configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) target: TargetState,
    pub(crate) tasks: Vec<Properties>,
    /// Task configurations whose commit has not come yet.
    staged: BTreeMap<u32, Properties>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { target: TargetState::Started, tasks: Vec::new(), staged: BTreeMap::new() }
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
    run: Option<u64>,
    /// The same of each task, with the configuration that it was started with.
    task_runs: BTreeMap<u32, (u64, Properties)>,
    /// Tasks that were told to end for good; their status stays until they have.
    leaving: BTreeMap<u32, u64>,
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    pub(crate) connectors: BTreeMap<String, Connector>,
    /// What came before the configuration: a target state is written first, and compaction leaves the entries of
    /// the config topic in the order in which they were last written.
    early: BTreeMap<String, Wanted>,
    worker_id: String,
    loaded: bool,
    runs: u64,
}

impl Model {
    pub(crate) fn new(worker_id: String) -> Self {
        Self {
            connectors: BTreeMap::new(),
            early: BTreeMap::new(),
            worker_id,
            loaded: false,
            runs: 0,
        }
    }

    /// Adds the version of the plugin to a status that has none.
    pub(crate) fn set_version(&mut self, subject: &Subject, version: &str) {
        let (Subject::Connector(name) | Subject::Task(name, _)) = subject;
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let status = match subject {
            Subject::Connector(_) => connector.status.as_mut(),
            Subject::Task(_, task) => connector.task_status.get_mut(task),
        };
        if let Some(status) = status.filter(|status| status.version.is_empty()) {
            status.version = version.to_owned();
        }
    }

    /// Takes over a status from before the worker was restarted, if the connector is known.
    pub(crate) fn remember(&mut self, subject: &Subject, status: Status) {
        let (Subject::Connector(name) | Subject::Task(name, _)) = subject;
        let Some(connector) = self.connectors.get_mut(name) else { return };
        match subject {
            Subject::Connector(_) => connector.status = Some(status),
            Subject::Task(_, task) => drop(connector.task_status.insert(*task, status)),
        }
    }

    /// Takes an event in and says what is to be done.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Stored(stored) => self.stored(stored, &mut effects),
            Event::Loaded => {
                self.loaded = true;
                for name in self.connectors.keys().cloned().collect::<Vec<_>>() {
                    self.start_connector(&name, &mut effects);
                    self.start_tasks(&name, &mut effects);
                }
            }
            Event::Observed(observed) => self.observed(observed, &mut effects),
            Event::Restart { connector, what } => self.restart(&connector, what, &mut effects),
            Event::RestartTask { connector, task } => {
                self.restart_tasks(&connector, &[task], &mut effects);
            }
            Event::ResetTopics { connector } => self.forget_topics(&connector, &mut effects),
            Event::Leaving => self.leave(&mut effects),
        }
        effects
    }

    fn stored(&mut self, stored: Stored, effects: &mut Vec<Effect>) {
        match stored {
            Stored::Connector { name, config } => {
                let known = self.connectors.get_mut(&name);
                if known.as_ref().is_some_and(|c| c.config == config && c.run.is_some()) {
                    return;
                }
                match known {
                    Some(connector) => connector.config = config,
                    None => {
                        let wanted = self.early.remove(&name).unwrap_or_default();
                        self.connectors.insert(name.clone(), Connector::new(config, wanted));
                    }
                }
                self.start_connector(&name, effects);
                self.start_tasks(&name, effects);
            }
            Stored::Removed { name } => {
                self.early.remove(&name);
                self.forget_topics(&name, effects);
                let Some(connector) = self.connectors.remove(&name) else { return };
                for subject in connector.subjects(&name) {
                    effects.push(Effect::Stop(subject.clone()));
                    effects.push(Effect::Status(subject, None));
                }
            }
            Stored::Target { name, target } => self.retarget(&name, target, effects),
            Stored::Task { name, task, config } => {
                self.wanted(&name).staged.insert(task, config);
            }
            Stored::Commit { name, tasks } => {
                let wanted = self.wanted(&name);
                let mut staged = std::mem::take(&mut wanted.staged);
                let config = |task| {
                    let old = wanted.tasks.get(task as usize).cloned();
                    staged.remove(&task).or(old)
                };
                // A commit whose tasks are not all there is one that compaction has torn: as the JVM's, wait for
                // the connector to write them again.
                wanted.tasks = (0..tasks).map_while(config).collect();
                self.start_tasks(&name, effects);
            }
            // The actor's: it has no part in what runs.
            Stored::Logger { .. } => {}
        }
    }

    fn wanted(&mut self, name: &str) -> &mut Wanted {
        match self.connectors.get_mut(name) {
            Some(connector) => &mut connector.wanted,
            None => self.early.entry(name.to_owned()).or_default(),
        }
    }

    fn retarget(&mut self, name: &str, target: TargetState, effects: &mut Vec<Effect>) {
        let wanted = self.wanted(name);
        let old = std::mem::replace(&mut wanted.target, target);
        let has_tasks = !wanted.tasks.is_empty();
        if !self.loaded || old == target || !self.connectors.contains_key(name) {
            return;
        }
        if target == TargetState::Stopped && has_tasks {
            effects.push(Effect::Store(vec![Stored::Commit { name: name.to_owned(), tasks: 0 }]));
        }
        self.start_connector(name, effects);
        self.start_tasks(name, effects);
    }

    fn next_run(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    fn status(&self, state: State, version: String) -> Status {
        Status { state, worker_id: self.worker_id.clone(), trace: String::new(), version }
    }

    /// Brings the connector's instance in line with its target state, anew if it runs.
    fn start_connector(&mut self, name: &str, effects: &mut Vec<Effect>) {
        let run = self.next_run();
        let Some(connector) = self.connectors.get(name).filter(|_| self.loaded) else { return };
        let subject = Subject::Connector(name.to_owned());
        let state = match connector.wanted.target {
            TargetState::Started => {
                let config = connector.config.clone();
                effects.push(Effect::Start { subject, run, config });
                if let Some(connector) = self.connectors.get_mut(name) {
                    connector.run = Some(run);
                }
                return;
            }
            TargetState::Paused => State::Paused,
            TargetState::Stopped => State::Stopped,
        };
        let version = connector.status.as_ref().map(|s| s.version.clone()).unwrap_or_default();
        let status = self.status(state, version);
        effects.push(Effect::Stop(subject.clone()));
        effects.push(Effect::Status(subject, Some(status.clone())));
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.run = None;
            connector.status = Some(status);
        }
    }

    /// Brings the tasks in line: stops those that are no longer wanted or have changed, starts what is missing. A
    /// task whose configuration stays is not touched.
    fn start_tasks(&mut self, name: &str, effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get(name).filter(|_| self.loaded) else { return };
        let (target, wanted) = (connector.wanted.target, connector.wanted.tasks.clone());
        let known: Vec<u32> =
            connector.task_runs.keys().chain(connector.task_status.keys()).copied().collect();
        for task in known {
            if target == TargetState::Stopped || task as usize >= wanted.len() {
                let Some(connector) = self.connectors.get_mut(name) else { return };
                let subject = Subject::Task(name.to_owned(), task);
                let ran = connector.task_runs.remove(&task);
                if ran.is_some() {
                    effects.push(Effect::Stop(subject.clone()));
                }
                let status = connector.task_status.get(&task);
                let failed = status.is_some_and(|status| status.state == State::Failed);
                match ran {
                    Some((run, _)) if status.is_some() && !failed => {
                        connector.leaving.insert(task, run);
                    }
                    _ if connector.leaving.contains_key(&task) => {}
                    _ => {
                        if connector.task_status.remove(&task).is_some() {
                            effects.push(Effect::Status(subject, None));
                        }
                    }
                }
            }
        }
        if target == TargetState::Stopped {
            return;
        }
        for (task, config) in wanted.into_iter().enumerate() {
            self.start_task(name, task as u32, config, effects);
        }
    }

    fn start_task(&mut self, name: &str, task: u32, config: Properties, effects: &mut Vec<Effect>) {
        let run = self.next_run();
        let Some(connector) = self.connectors.get(name) else { return };
        let subject = Subject::Task(name.to_owned(), task);
        let same = connector.task_runs.get(&task).is_some_and(|(_, running)| *running == config);
        let old = connector.task_status.get(&task);
        let failed = old.is_some_and(|status| status.state == State::Failed);
        if connector.wanted.target == TargetState::Paused {
            // A task that has failed says so until someone restarts it.
            if failed && same {
                return;
            }
            let version = old.map(|status| status.version.clone()).unwrap_or_default();
            let status = self.status(State::Paused, version);
            effects.push(Effect::Stop(subject.clone()));
            effects.push(Effect::Status(subject, Some(status.clone())));
            if let Some(connector) = self.connectors.get_mut(name) {
                connector.leaving.remove(&task);
                connector.task_runs.remove(&task);
                connector.task_status.insert(task, status);
            }
            return;
        }
        if same {
            return;
        }
        effects.push(Effect::Start { subject, run, config: config.clone() });
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.leaving.remove(&task);
            connector.task_runs.insert(task, (run, config));
        }
    }

    fn observed(&mut self, observed: Observed, effects: &mut Vec<Effect>) {
        let (subject, run, status) = match observed {
            Observed::Tasks { connector: name, run, configs } => {
                let Some(connector) = self.connectors.get(&name) else { return };
                if connector.run == Some(run) && connector.wanted.tasks != configs {
                    let tasks = configs.len() as u32;
                    let task = |(task, config)| Stored::Task {
                        name: name.clone(),
                        task: task as u32,
                        config,
                    };
                    let mut stored: Vec<_> = configs.into_iter().enumerate().map(task).collect();
                    stored.push(Stored::Commit { name: name.clone(), tasks });
                    effects.push(Effect::Store(stored));
                }
                return;
            }
            Observed::Topic { connector: name, task, topic } => {
                let Some(connector) = self.connectors.get_mut(&name) else { return };
                if connector.topics.insert(topic.clone()) {
                    effects.push(Effect::Topic { connector: name, topic, task: Some(task) });
                }
                return;
            }
            Observed::Ended { subject, run } => return self.ended(subject, run, effects),
            Observed::Failed { subject, run, .. } if self.leaves(&subject, run) => {
                return self.ended(subject, run, effects);
            }
            Observed::Running { subject, run, version } => {
                (subject, run, self.status(State::Running, version))
            }
            Observed::Failed { subject, run, trace } => {
                let mut status = self.status(State::Failed, String::new());
                status.trace = trace;
                (subject, run, status)
            }
        };
        let (Subject::Connector(name) | Subject::Task(name, _)) = &subject;
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let (current, old) = match &subject {
            Subject::Connector(_) => (connector.run, connector.status.clone()),
            Subject::Task(_, task) => {
                let run = connector.task_runs.get(task).map(|(run, _)| *run);
                (run, connector.task_status.get(task).cloned())
            }
        };
        if current != Some(run) {
            return;
        }
        let mut status = status;
        if status.version.is_empty() {
            status.version = old.map(|old| old.version).unwrap_or_default();
        }
        match &subject {
            Subject::Connector(_) => connector.status = Some(status.clone()),
            Subject::Task(_, task) => drop(connector.task_status.insert(*task, status.clone())),
        }
        effects.push(Effect::Status(subject, Some(status)));
    }

    /// Whether this is a task that was told to end for good.
    fn leaves(&self, subject: &Subject, run: u64) -> bool {
        let Subject::Task(name, task) = subject else { return false };
        let connector = self.connectors.get(name);
        connector.is_some_and(|connector| connector.leaving.get(task) == Some(&run))
    }

    fn ended(&mut self, subject: Subject, run: u64, effects: &mut Vec<Effect>) {
        if !self.leaves(&subject, run) {
            return;
        }
        let Subject::Task(name, task) = &subject else { return };
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.leaving.remove(task);
            connector.task_status.remove(task);
        }
        effects.push(Effect::Status(subject, None));
    }

    /// What a restart covers: the connector's instance, and tasks.
    pub(crate) fn restarted(&self, name: &str, what: Restart) -> (bool, Vec<u32>) {
        let Some(connector) = self.connectors.get(name) else { return (false, Vec::new()) };
        let covered = |status: Option<&Status>| {
            !what.only_failed || status.is_some_and(|status| status.state == State::Failed)
        };
        let tasks = 0..connector.wanted.tasks.len() as u32;
        let tasks = tasks
            .filter(|task| what.include_tasks && covered(connector.task_status.get(task)))
            .collect();
        (covered(connector.status.as_ref()), tasks)
    }

    fn restart(&mut self, name: &str, what: Restart, effects: &mut Vec<Effect>) {
        let (instance, tasks) = self.restarted(name, what);
        if instance {
            if let Some(connector) = self.connectors.get_mut(name)
                && let Some(status) = &mut connector.status
            {
                status.state = State::Restarting;
                let subject = Subject::Connector(name.to_owned());
                effects.push(Effect::Status(subject, Some(status.clone())));
            }
            self.start_connector(name, effects);
        }
        self.restart_tasks(name, &tasks, effects);
    }

    fn restart_tasks(&mut self, name: &str, tasks: &[u32], effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let there = connector.wanted.tasks.len();
        for task in tasks.iter().filter(|task| (**task as usize) < there) {
            connector.task_runs.remove(task);
            // Also a failed task of a paused connector: it becomes PAUSED.
            if let Some(status) = connector.task_status.get_mut(task) {
                status.state = State::Restarting;
                let subject = Subject::Task(name.to_owned(), *task);
                effects.push(Effect::Status(subject, Some(status.clone())));
            }
        }
        if !tasks.is_empty() {
            self.start_tasks(name, effects);
        }
    }

    fn forget_topics(&mut self, name: &str, effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        for topic in std::mem::take(&mut connector.topics) {
            effects.push(Effect::Topic { connector: name.to_owned(), topic, task: None });
        }
    }

    fn leave(&mut self, effects: &mut Vec<Effect>) {
        let unassign = |subject, status: &mut Option<&mut Status>| {
            let status = status.as_mut().filter(|status| status.state != State::Failed)?;
            status.state = State::Unassigned;
            Some(Effect::Status(subject, Some(status.clone())))
        };
        for (name, connector) in &mut self.connectors {
            let subject = Subject::Connector(name.clone());
            if connector.wanted.target != TargetState::Stopped {
                effects.extend(unassign(subject, &mut connector.status.as_mut()));
            }
            for (task, status) in &mut connector.task_status {
                let subject = Subject::Task(name.clone(), *task);
                effects.extend(unassign(subject, &mut Some(status)));
            }
        }
    }
}

impl Connector {
    fn new(config: Properties, wanted: Wanted) -> Self {
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

    fn subjects(&self, name: &str) -> Vec<Subject> {
        let tasks: BTreeSet<u32> =
            self.task_runs.keys().chain(self.task_status.keys()).copied().collect();
        let mut all = vec![Subject::Connector(name.to_owned())];
        all.extend(tasks.into_iter().map(|task| Subject::Task(name.to_owned(), task)));
        all
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
