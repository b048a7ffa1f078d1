//! What the cluster topic has told, and what a leader makes of it: a pure function of both (invariant 6).
//!
//! A task is given to another worker only after the one that had it has told that it ended, or has left the worker group,
//! which its lease does not outlive (invariant 11).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use super::balance::{Given, balance};
use crate::storage::{
    Answer, Assignment, Refused, Report, Request, RestartOrder, Subject, Told, Work,
};

/// What is new for this worker.
#[derive(Debug, PartialEq)]
pub(crate) enum News {
    /// Someone leads from here on: what was asked and not answered is to be asked again.
    Leader,
    /// It is to run this.
    Mine(Assignment),
    /// It was given up, and what it ran is others' now.
    GivenUp,
    /// A worker asks this one, which leads.
    Asked { worker: String, id: u64, request: Request },
    /// The leader has answered.
    Answered { id: u64, answer: Result<Answer, Refused> },
    /// Parts of a connector are to be started anew, where they run.
    Restart(RestartOrder),
}

/// The cluster as this worker knows it.
#[derive(Debug)]
pub(crate) struct Cluster {
    me: String,
    leader: Option<String>,
    reports: BTreeMap<String, Report>,
    assignments: BTreeMap<String, Assignment>,
    /// Workers that the group does not have any more, and since when.
    missing: BTreeMap<String, Duration>,
    /// Who had reported when the group was asked for its members.
    asked_of: BTreeSet<String>,
    /// When the group was last asked for the members that it told, since this worker leads.
    listed: Option<Duration>,
    asked: Duration,
    /// Workers whose assignment was overwritten by one who does not lead any more.
    overwritten: BTreeSet<String>,
}

impl Cluster {
    pub(crate) fn new(me: String) -> Self {
        Self {
            me,
            leader: None,
            reports: BTreeMap::new(),
            assignments: BTreeMap::new(),
            missing: BTreeMap::new(),
            asked_of: BTreeSet::new(),
            listed: None,
            asked: Duration::ZERO,
            overwritten: BTreeSet::new(),
        }
    }

    /// Goes on under another name, after this worker was given up.
    pub(crate) fn rename(&mut self, me: String) {
        self.me = me;
    }

    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    /// Whether the topic has told that this worker leads.
    pub(crate) fn leads(&self) -> bool {
        self.leader.as_ref() == Some(&self.me)
    }

    /// Who leads, as far as the topic tells; it may be gone.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    /// Where a worker's REST API is, if it has told.
    pub(crate) fn address(&self, worker: &str) -> Option<String> {
        self.reports.get(worker).map(|report| report.address.clone())
    }

    /// Takes in what the topic tells.
    pub(crate) fn told(&mut self, told: Told) -> Option<News> {
        match told {
            Told::Leads(worker) => {
                self.leader = Some(worker);
                self.listed = None;
                self.missing.clear();
                Some(News::Leader)
            }
            Told::Worker(worker, Some(report)) => {
                self.reports.insert(worker, report);
                None
            }
            Told::Worker(worker, None) => {
                self.reports.remove(&worker);
                self.forget(&worker);
                (worker == self.me).then_some(News::GivenUp)
            }
            Told::Assigned { worker, by: Some(by), assignment: Some(assignment) } => {
                // Before the first claim that is left after compaction, it was written by an earlier leader.
                if self.leader.as_ref().is_some_and(|leader| *leader != by) {
                    self.overwritten.insert(worker);
                    return None;
                }
                let old = self.assignments.insert(worker.clone(), assignment.clone());
                let changed = old.is_none_or(|old| old.run != assignment.run);
                (worker == self.me && changed).then_some(News::Mine(assignment))
            }
            Told::Assigned { worker, .. } => {
                let known = self.assignments.remove(&worker).is_some();
                self.forget(&worker);
                (worker == self.me && known).then_some(News::GivenUp)
            }
            Told::Asked { worker, id, request } => {
                self.leads().then_some(News::Asked { worker, id, request })
            }
            Told::Answered { worker, id, answer } => {
                (worker == self.me).then_some(News::Answered { id, answer })
            }
            Told::Restart { by, order } => {
                (self.leader.as_ref() == Some(&by)).then_some(News::Restart(order))
            }
        }
    }

    /// Forgets that a worker is missing of which nothing else is left.
    fn forget(&mut self, worker: &str) {
        if !self.reports.contains_key(worker) && !self.assignments.contains_key(worker) {
            self.missing.remove(worker);
        }
    }

    /// The group is asked for its members now.
    pub(crate) fn ask(&mut self, now: Duration) {
        self.asked = now;
        self.asked_of = self.reports.keys().chain(self.assignments.keys()).cloned().collect();
    }

    /// The group's answer to the last [`ask`](Self::ask): who is not among them is missing, since the answer before.
    pub(crate) fn members(&mut self, members: &[String]) {
        let since = self.listed.unwrap_or(self.asked);
        self.listed = Some(self.asked);
        let members: HashSet<&String> = members.iter().collect();
        self.missing.retain(|worker, _| !members.contains(worker));
        for worker in self.asked_of.iter().filter(|worker| !members.contains(worker)) {
            self.missing.entry(worker.clone()).or_insert(since);
        }
    }

    /// What it told last of what it has carried out.
    fn applied(&self, worker: &str) -> u64 {
        self.reports.get(worker).map_or(0, |report| report.applied)
    }

    /// What a worker may still run of what was taken away from it.
    fn releasing<'a>(&self, worker: &str, assignment: &'a Assignment) -> Option<&'a Work> {
        (self.applied(worker) < assignment.revision).then_some(&assignment.release)
    }

    /// Whether some worker may still run a task of a connector.
    pub(crate) fn may_run_tasks_of(&self, connector: &str) -> bool {
        let of = |s: &Subject| matches!(s, Subject::Task(name, _) if name == connector);
        self.assignments.iter().any(|(worker, assignment)| {
            let releasing = self.releasing(worker, assignment).into_iter().flatten();
            assignment.run.iter().chain(releasing).any(of)
        })
    }

    /// What the leader writes now: who is given up, and who is to run what. A worker that went missing is given `delay` to
    /// return (`scheduled.rebalance.max.delay.ms`), or until one at its address is there.
    pub(crate) fn lead(&mut self, wanted: &Work, now: Duration, delay: Duration) -> Vec<Told> {
        if !self.leads() || self.listed.is_none() {
            return Vec::new();
        }
        let mut writes = Vec::new();
        let mut before = HashMap::new();
        let mut given_up = BTreeSet::new();
        let live: BTreeMap<&String, &Report> =
            self.reports.iter().filter(|(worker, _)| !self.missing.contains_key(*worker)).collect();
        let by_address: HashMap<&String, &String> =
            live.iter().map(|(worker, report)| (&report.address, *worker)).collect();
        let known: BTreeSet<&String> = self.reports.keys().chain(self.assignments.keys()).collect();
        for worker in known.into_iter().filter(|worker| !live.contains_key(*worker)) {
            let report = self.reports.get(worker);
            let returned = report.and_then(|report| by_address.get(&report.address));
            let since = self.missing.get(worker);
            // Without a report it has told that it has ended everything.
            let gone = report.is_none()
                || returned.is_some()
                || since.is_some_and(|since| now.saturating_sub(*since) >= delay);
            if !gone {
                continue;
            }
            if report.is_some() {
                writes.push(Told::Worker(worker.clone(), None));
            }
            if let Some(assignment) = self.assignments.get(worker) {
                let (by, worker) = (None, worker.clone());
                writes.push(Told::Assigned { worker, by, assignment: None });
                let returned = returned.into_iter().flat_map(|returned| {
                    assignment.run.iter().map(|s| (s.clone(), (*returned).clone()))
                });
                before.extend(returned);
            }
            given_up.insert(worker.clone());
        }
        let held = self
            .assignments
            .iter()
            .filter(|(worker, _)| !live.contains_key(*worker) && !given_up.contains(*worker));
        let held: HashSet<&Subject> =
            held.flat_map(|(_, a)| a.run.iter().chain(&a.release)).collect();
        let current = live.keys().map(|worker| {
            let mut current = self.assignments.get(*worker).cloned().unwrap_or_default();
            if self.applied(worker) >= current.revision {
                current.release.clear();
            }
            ((*worker).clone(), current)
        });
        let current: BTreeMap<String, Assignment> = current.collect();
        let given = Given { wanted, live: &current, held: &held, before: &before };
        let mut changes = balance(&given);
        for worker in std::mem::take(&mut self.overwritten) {
            if let Some(current) = current.get(&worker) {
                changes.entry(worker).or_insert_with(|| current.run.clone());
            }
        }
        for (worker, run) in changes {
            let Assignment { revision, run: old, mut release } = current[&worker].clone();
            release.extend(old.difference(&run).cloned());
            let assignment = Some(Assignment { revision: revision + 1, run, release });
            writes.push(Told::Assigned { worker, by: Some(self.me.clone()), assignment });
        }
        writes
    }

    /// When [`lead`](Self::lead) is to be called again at the latest.
    pub(crate) fn deadline(&self, delay: Duration) -> Option<Duration> {
        self.missing.values().min().map(|since| *since + delay).filter(|_| self.leads())
    }
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
