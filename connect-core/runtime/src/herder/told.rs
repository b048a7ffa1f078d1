//! The part of the state that is about statuses: this worker's words, and those of others.

use super::{State, Status, TargetState, events::Effect, state::Model};
use crate::storage::{StatusChange, Subject};

impl Model {
    /// What the status topic tells is of what others run, or ran: of what runs here it is an echo.
    pub(super) fn told(&mut self, change: StatusChange, effects: &mut Vec<Effect>) {
        let (subject, status) = match change {
            StatusChange::Status(subject, status) => (subject, status),
            StatusChange::Topic { connector: name, topic, used } => {
                let Some(connector) = self.connectors.get_mut(&name) else { return };
                match used {
                    true => connector.topics.insert(topic),
                    false => connector.topics.remove(&topic),
                };
                self.changed.insert(name);
                return;
            }
        };
        if self.assigned.contains(&subject) {
            self.echo(subject, status, effects);
            return;
        }
        let known = self.connectors.get_mut(subject.name());
        let tasks = known.as_ref().map(|connector| connector.wanted.tasks.len());
        let wanted = match &subject {
            Subject::Connector(_) => tasks.is_some(),
            Subject::Task(_, task) => tasks.is_some_and(|tasks| (*task as usize) < tasks),
        };
        // The last word of a worker that did not know yet that this is gone.
        if self.leads && !wanted && status.is_some() {
            effects.push(Effect::Status(subject, None));
            return;
        }
        let Some(connector) = known else {
            match status {
                Some(status) => drop(self.early_statuses.insert(subject, status)),
                None => drop(self.early_statuses.remove(&subject)),
            }
            return;
        };
        connector.set_status(&subject, status);
        self.changed.insert(subject.name().to_owned());
    }

    /// Of what runs here the topic says what this worker has written, or, for a while, what the last one to run it
    /// has. A worker that was paused may write its last words after this one's: those hold that are written last.
    fn echo(&mut self, subject: Subject, status: Option<Status>, effects: &mut Vec<Effect>) {
        let theirs = status.as_ref().is_some_and(|status| status.worker_id != self.worker_id);
        let connector = self.connectors.get(subject.name());
        let ours = connector.and_then(|connector| connector.status(&subject));
        if let Some(ours) = ours.filter(|ours| theirs && ours.worker_id == self.worker_id) {
            effects.push(Effect::Repeat(subject.clone(), ours.clone()));
        }
        self.echoes.insert(subject, status);
    }

    /// Others may run everything by now: nothing is written about it, and what they have written holds.
    pub(super) fn expelled(&mut self) {
        self.leads = false;
        let mut echoes = std::mem::take(&mut self.echoes);
        for subject in std::mem::take(&mut self.assigned) {
            let Some(connector) = self.connectors.get_mut(subject.name()) else { continue };
            connector.end_run(&subject);
            if let Some(status) = echoes.remove(&subject) {
                connector.set_status(&subject, status);
            }
            self.changed.insert(subject.name().to_owned());
        }
    }

    /// Stops what another worker is to run. What has failed says so until that one has started it.
    pub(super) fn release(&mut self, subject: &Subject, effects: &mut Vec<Effect>) {
        let Some(connector) = self.connectors.get_mut(subject.name()) else { return };
        self.changed.insert(subject.name().to_owned());
        let keeps = match subject {
            Subject::Connector(_) => connector.wanted.target == TargetState::Stopped,
            // One that is ending for good has its status until it has ended.
            Subject::Task(_, task) if connector.leaving.contains_key(task) => return,
            Subject::Task(_, task) => {
                if *task as usize >= connector.wanted.tasks.len() {
                    connector.task_status.remove(task);
                    effects.push(Effect::Status(subject.clone(), None));
                }
                false
            }
        };
        if connector.end_run(subject) {
            effects.push(Effect::Stop(subject.clone()));
        }
        let status = connector.status(subject).filter(|status| status.state != State::Failed);
        if let Some(mut status) = status.filter(|_| !keeps).cloned() {
            status.state = State::Unassigned;
            connector.set_status(subject, Some(status.clone()));
            effects.push(Effect::Status(subject.clone(), Some(status)));
        }
    }
}
