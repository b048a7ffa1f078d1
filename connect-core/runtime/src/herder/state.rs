//! What the herder decides, without doing it: a pure function from state and event to effects (invariant 6).

use std::collections::{BTreeMap, BTreeSet};

use connect_core::config::Properties;

use super::{
    Restart, State, Status, TargetState,
    connector::{Connector, Wanted},
    events::{Effect, Event, Observed},
};
use crate::storage::{RestartOrder, Stored, Subject, Work};

/// Everything that is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    pub(crate) connectors: BTreeMap<String, Connector>,
    /// What came before the configuration: a target state is written first, and compaction leaves the entries of
    /// the config topic in the order in which they were last written.
    early: BTreeMap<String, Wanted>,
    /// Statuses that came before the configuration, which is in another topic.
    pub(super) early_statuses: BTreeMap<Subject, Status>,
    pub(super) worker_id: String,
    /// What this worker runs; everything else is others'.
    pub(super) assigned: Work,
    /// What the status topic said last of what this worker runs.
    pub(super) echoes: BTreeMap<Subject, Option<Status>>,
    pub(super) leads: bool,
    runs: u64,
    /// Connectors that have changed since they were last taken.
    pub(super) changed: BTreeSet<String>,
}

impl Model {
    pub(crate) fn new(worker_id: String) -> Self {
        Self {
            connectors: BTreeMap::new(),
            early: BTreeMap::new(),
            early_statuses: BTreeMap::new(),
            worker_id,
            assigned: Work::new(),
            echoes: BTreeMap::new(),
            leads: false,
            runs: 0,
            changed: BTreeSet::new(),
        }
    }

    /// Names of the connectors that have changed since the last call.
    pub(crate) fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// What this worker runs.
    pub(crate) fn assigned(&self) -> &Work {
        &self.assigned
    }

    /// All that should have a worker: a connector that is paused or stopped too, since somebody has to say so.
    pub(crate) fn work(&self) -> Work {
        let mut work = Work::new();
        for (name, connector) in &self.connectors {
            work.insert(Subject::Connector(name.clone()));
            let tasks = 0..connector.wanted.tasks.len() as u32;
            work.extend(tasks.map(|task| Subject::Task(name.clone(), task)));
        }
        work
    }

    /// Adds the version of the plugin to a status that has none.
    pub(crate) fn set_version(&mut self, subject: &Subject, version: &str) {
        let Some(connector) = self.connectors.get_mut(subject.name()) else { return };
        let status = match subject {
            Subject::Connector(_) => connector.status.as_mut(),
            Subject::Task(_, task) => connector.task_status.get_mut(task),
        };
        if let Some(status) = status.filter(|status| status.version.is_empty()) {
            status.version = version.to_owned();
        }
    }

    /// Takes an event in and says what is to be done.
    pub(crate) fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Stored(stored) => self.stored(stored, &mut effects),
            Event::Told(change) => self.told(change, &mut effects),
            Event::Assigned(work) => self.assign(work, &mut effects),
            Event::Expelled => self.expelled(),
            Event::Leads(leads) => {
                self.leads = leads;
                for name in self.connectors.keys().cloned().collect::<Vec<_>>() {
                    self.drop_tasks_of_stopped(&name, &mut effects);
                }
            }
            Event::Observed(observed) => self.observed(observed, &mut effects),
            Event::Tasks { connector, configs } => {
                self.store_tasks(connector, configs, &mut effects);
            }
            Event::Restart(order) => self.restart(&order, &mut effects),
            Event::ResetTopics { connector } => self.forget_topics(&connector, &mut effects),
            Event::Lost { address } => self.forget_tasks_of(&address, &mut effects),
        }
        effects
    }

    fn stored(&mut self, stored: Stored, effects: &mut Vec<Effect>) {
        match stored {
            Stored::Connector { name, config } => {
                self.changed.insert(name.clone());
                let known = self.connectors.get_mut(&name);
                if known.as_ref().is_some_and(|c| c.config == config && c.run.is_some()) {
                    return;
                }
                match known {
                    Some(connector) => connector.config = config,
                    None => self.add(&name, config),
                }
                self.start_connector(&name, effects);
                self.start_tasks(&name, effects);
            }
            Stored::Removed { name } => {
                self.changed.insert(name.clone());
                self.early.remove(&name);
                if self.leads {
                    self.forget_topics(&name, effects);
                }
                let Some(connector) = self.connectors.remove(&name) else { return };
                for subject in connector.subjects(&name) {
                    let here = self.assigned.contains(&subject);
                    if here {
                        effects.push(Effect::Stop(subject.clone()));
                    }
                    if here || self.leads {
                        effects.push(Effect::Status(subject, None));
                    }
                }
            }
            Stored::Target { name, target } => self.retarget(&name, target, effects),
            Stored::Task { name, task, config } => {
                self.wanted(&name).staged.insert(task, config);
            }
            Stored::Commit { name, tasks } => {
                self.changed.insert(name.clone());
                let wanted = self.wanted(&name);
                let mut staged = std::mem::take(&mut wanted.staged);
                let config = |task| {
                    let old = wanted.tasks.get(task as usize).cloned();
                    staged.remove(&task).or(old)
                };
                // A commit whose tasks are not all there is one that compaction has torn: as the JVM's, wait for
                // the connector to write them again.
                wanted.tasks = (0..tasks).map_while(config).collect();
                wanted.unfenced = true;
                self.start_tasks(&name, effects);
            }
            Stored::Fenced { name, tasks } => {
                let wanted = self.wanted(&name);
                (wanted.fenced, wanted.unfenced) = (Some(tasks), false);
            }
            // The actor's: it has no part in what runs.
            Stored::Logger { .. } => {}
        }
    }

    fn add(&mut self, name: &str, config: Properties) {
        let mut connector = Connector::new(config, self.early.remove(name).unwrap_or_default());
        let of = |subject: &Subject| subject.name() == name;
        let subjects: Vec<_> = self.early_statuses.keys().filter(|s| of(s)).cloned().collect();
        for subject in subjects {
            match (&subject, self.early_statuses.remove(&subject)) {
                (Subject::Connector(_), status) => connector.status = status,
                (Subject::Task(_, task), Some(status)) => {
                    connector.task_status.insert(*task, status);
                }
                (Subject::Task(..), None) => {}
            }
        }
        self.connectors.insert(name.to_owned(), connector);
    }

    fn assign(&mut self, work: Work, effects: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut self.assigned, work);
        for subject in old.difference(&self.assigned.clone()) {
            self.echoes.remove(subject);
            self.release(subject, effects);
        }
        let new: Vec<Subject> = self.assigned.difference(&old).cloned().collect();
        for subject in new {
            self.changed.insert(subject.name().to_owned());
            match subject {
                Subject::Connector(name) => self.start_connector(&name, effects),
                Subject::Task(name, task) => {
                    let connector = self.connectors.get(&name);
                    let config = connector.and_then(|c| c.wanted.tasks.get(task as usize)).cloned();
                    if let Some(config) = config {
                        self.start_task(&name, task, config, effects);
                    }
                }
            }
        }
    }

    fn wanted(&mut self, name: &str) -> &mut Wanted {
        match self.connectors.get_mut(name) {
            Some(connector) => &mut connector.wanted,
            None => self.early.entry(name.to_owned()).or_default(),
        }
    }

    fn retarget(&mut self, name: &str, target: TargetState, effects: &mut Vec<Effect>) {
        let old = std::mem::replace(&mut self.wanted(name).target, target);
        if old == target || !self.connectors.contains_key(name) {
            return;
        }
        self.changed.insert(name.to_owned());
        self.start_connector(name, effects);
        self.start_tasks(name, effects);
    }

    /// A stopped connector has no tasks: the leader sees to that.
    fn drop_tasks_of_stopped(&self, name: &str, effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get(name).filter(|_| self.leads) else { return };
        let wanted = &connector.wanted;
        if wanted.target == TargetState::Stopped && !wanted.tasks.is_empty() {
            effects.push(Effect::Store(vec![Stored::Commit { name: name.to_owned(), tasks: 0 }]));
        }
    }

    /// Stores the tasks that a connector was cut into, if they are others than before.
    fn store_tasks(&self, name: String, configs: Vec<Properties>, effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get(&name) else { return };
        let stopped = connector.wanted.target == TargetState::Stopped;
        if !self.leads || stopped || connector.wanted.tasks == configs {
            return;
        }
        let tasks = configs.len() as u32;
        let task = |(task, config)| Stored::Task { name: name.clone(), task: task as u32, config };
        let mut stored: Vec<_> = configs.into_iter().enumerate().map(task).collect();
        stored.push(Stored::Commit { name: name.clone(), tasks });
        effects.push(Effect::Store(stored));
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
        let subject = Subject::Connector(name.to_owned());
        let here = self.assigned.contains(&subject);
        let Some(connector) = self.connectors.get(name).filter(|_| here) else { return };
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
        let Some(connector) = self.connectors.get(name) else { return };
        let (target, wanted) = (connector.wanted.target, connector.wanted.tasks.clone());
        let known = connector.task_runs.keys().chain(connector.task_status.keys()).copied();
        let here = |task: &u32| self.assigned.contains(&Subject::Task(name.to_owned(), *task));
        let known: Vec<u32> = known.filter(here).collect();
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
        let subject = Subject::Task(name.to_owned(), task);
        let here = self.assigned.contains(&subject);
        let Some(connector) = self.connectors.get(name).filter(|_| here) else { return };
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
            Observed::Tasks { connector, run, configs } => {
                let Some(known) = self.connectors.get(&connector) else { return };
                if known.run == Some(run) && known.wanted.tasks != configs {
                    effects.push(Effect::Submit { connector, run, configs });
                }
                return;
            }
            // The actor's.
            Observed::Released { .. } | Observed::TasksFenced { .. } | Observed::Fenced => return,
            Observed::Topic { connector: name, task, topic } => {
                let Some(connector) = self.connectors.get_mut(&name) else { return };
                if connector.topics.insert(topic.clone()) {
                    self.changed.insert(name.clone());
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
            Observed::Notice { subject, run, trace } => {
                let mut status = self.status(State::Running, String::new());
                status.trace = trace;
                (subject, run, status)
            }
            Observed::Failed { subject, run, trace } => {
                let mut status = self.status(State::Failed, String::new());
                status.trace = trace;
                (subject, run, status)
            }
        };
        let Some(connector) = self.connectors.get_mut(subject.name()) else { return };
        self.changed.insert(subject.name().to_owned());
        let current = match &subject {
            Subject::Connector(_) => connector.run,
            Subject::Task(_, task) => connector.task_runs.get(task).map(|(run, _)| *run),
        };
        if current != Some(run) {
            return;
        }
        let mut status = status;
        if status.version.is_empty() {
            let old = connector.status(&subject);
            status.version = old.map(|old| old.version.clone()).unwrap_or_default();
        }
        connector.set_status(&subject, Some(status.clone()));
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
        self.changed.insert(name.clone());
        effects.push(Effect::Status(subject, None));
    }

    /// How many tasks are to be fenced before new ones start, and how many those are; none if there is nothing to fence
    /// (`DistributedHerder.doFenceZombieSourceTasks`).
    pub(crate) fn to_fence(&self, name: &str) -> Option<(u32, u32)> {
        let wanted = &self.connectors.get(name)?.wanted;
        let now = wanted.tasks.len() as u32;
        // A task that was and is the only one fences itself.
        let before = wanted.fenced.filter(|before| (*before, now) != (1, 1)).unwrap_or(0);
        wanted.unfenced.then_some((before, now))
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

    fn restart(&mut self, order: &RestartOrder, effects: &mut Vec<Effect>) {
        let name = &order.connector;
        let subject = Subject::Connector(name.clone());
        self.changed.insert(name.clone());
        if order.instance && self.assigned.contains(&subject) {
            if let Some(connector) = self.connectors.get_mut(name)
                && let Some(status) = &mut connector.status
            {
                status.state = State::Restarting;
                effects.push(Effect::Status(subject, Some(status.clone())));
            }
            self.start_connector(name, effects);
        }
        self.restart_tasks(name, &order.tasks, effects);
    }

    fn restart_tasks(&mut self, name: &str, tasks: &[u32], effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        let there = connector.wanted.tasks.len();
        for task in tasks.iter().filter(|task| (**task as usize) < there) {
            let subject = Subject::Task(name.to_owned(), *task);
            if !self.assigned.contains(&subject) {
                continue;
            }
            connector.task_runs.remove(task);
            // Also a failed task of a paused connector: it becomes PAUSED.
            if let Some(status) = connector.task_status.get_mut(task) {
                status.state = State::Restarting;
                effects.push(Effect::Status(subject, Some(status.clone())));
            }
        }
        if !tasks.is_empty() {
            self.start_tasks(name, effects);
        }
    }

    /// Removes the statuses of tasks that are no longer wanted, which a lost worker would have removed.
    fn forget_tasks_of(&mut self, address: &str, effects: &mut Vec<Effect>) {
        for (name, connector) in &mut self.connectors {
            let there = connector.wanted.tasks.len();
            connector.task_status.retain(|task, status| {
                let keep = (*task as usize) < there || status.worker_id != address;
                if !keep {
                    self.changed.insert(name.clone());
                    effects.push(Effect::Status(Subject::Task(name.clone(), *task), None));
                }
                keep
            });
        }
    }

    fn forget_topics(&mut self, name: &str, effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get_mut(name) else { return };
        self.changed.insert(name.to_owned());
        for topic in std::mem::take(&mut connector.topics) {
            effects.push(Effect::Topic { connector: name.to_owned(), topic, task: None });
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
