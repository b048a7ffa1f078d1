//! Consumer groups: who owns which partition. Partitions are handed over one by one, each only after its owner has let
//! it go, so that no two members ever own the same one. Decides only; the consumer does the reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use connect_core::{data::Text, sink::TopicPartition};
use regex::Regex;
use tokio::sync::Notify;

/// Which topics a member reads.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Topics(BTreeSet<Text>),
    Pattern(Regex),
}

impl Wanted {
    fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Topics(topics) => topics.contains(topic),
            Self::Pattern(pattern) => pattern.is_match(topic),
        }
    }
}

#[derive(Debug)]
struct Member {
    wanted: Wanted,
    notify: Arc<Notify>,
}

/// What a member has to do now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: it owns what it should, or waits for others to let go.
    None,
    /// Stop reading these, and let them go later.
    Revoked(Vec<TopicPartition>),
    /// Start reading these; they are the member's now.
    Assigned(Vec<TopicPartition>),
}

/// A consumer group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<u64, Member>,
    /// Who should own what.
    target: BTreeMap<TopicPartition, u64>,
    owners: BTreeMap<TopicPartition, u64>,
    next_member: u64,
}

impl Group {
    /// Adds a member; `topics` are all topics there are, with their numbers of partitions.
    pub(crate) fn join(
        &mut self,
        wanted: Wanted,
        notify: Arc<Notify>,
        topics: &[(Text, i32)],
    ) -> u64 {
        let id = self.next_member;
        self.next_member += 1;
        self.members.insert(id, Member { wanted, notify });
        self.rebalance(topics);
        id
    }

    /// Removes a member with all it owned.
    pub(crate) fn leave(&mut self, member: u64, topics: &[(Text, i32)]) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
        self.rebalance(topics);
    }

    /// Nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Spreads the partitions anew: of each topic, a range to every member that reads it.
    pub(crate) fn rebalance(&mut self, topics: &[(Text, i32)]) {
        self.target.clear();
        for (topic, partitions) in topics {
            let readers: Vec<u64> = self
                .members
                .iter()
                .filter(|(_, member)| member.wanted.matches(topic))
                .map(|(id, _)| *id)
                .collect();
            let readers_count = readers.len() as i32;
            let mut next = 0;
            for (i, reader) in (0..).zip(readers) {
                let share = partitions / readers_count + i32::from(i < partitions % readers_count);
                for partition in next..next + share {
                    let tp = TopicPartition { topic: topic.clone(), partition };
                    self.target.insert(tp, reader);
                }
                next += share;
            }
        }
        self.wake();
    }

    /// Whether a member owns a partition.
    pub(crate) fn owns(&self, member: u64, tp: &TopicPartition) -> bool {
        self.owners.get(tp) == Some(&member)
    }

    /// Lets partitions go that were revoked.
    pub(crate) fn release(&mut self, member: u64, partitions: &[TopicPartition]) {
        for tp in partitions {
            if self.owns(member, tp) {
                self.owners.remove(tp);
            }
        }
        self.wake();
    }

    /// What a member has to do now; what is assigned is its own from here on.
    pub(crate) fn change(&mut self, member: u64) -> Change {
        let away = |(tp, owner): (&TopicPartition, &u64)| {
            (*owner == member && self.target.get(tp) != Some(&member)).then(|| tp.clone())
        };
        let revoked: Vec<_> = self.owners.iter().filter_map(away).collect();
        if !revoked.is_empty() {
            return Change::Revoked(revoked);
        }
        let free = |(tp, target): (&TopicPartition, &u64)| {
            (*target == member && !self.owners.contains_key(tp)).then(|| tp.clone())
        };
        let assigned: Vec<_> = self.target.iter().filter_map(free).collect();
        if assigned.is_empty() {
            return Change::None;
        }
        self.owners.extend(assigned.iter().map(|tp| (tp.clone(), member)));
        Change::Assigned(assigned)
    }

    fn wake(&self) {
        for member in self.members.values() {
            member.notify.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tp(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    fn all(group: &mut Group, topics: &[(Text, i32)]) -> u64 {
        group.join(Wanted::Pattern(Regex::new("^(?:.*)$").unwrap()), Arc::default(), topics)
    }

    #[test]
    fn a_partition_is_assigned_only_after_its_owner_has_let_it_go() {
        let topics = [("t".into(), 3)];
        let mut group = Group::default();
        let first = all(&mut group, &topics);
        assert_eq!(group.change(first), Change::Assigned(vec![tp("t", 0), tp("t", 1), tp("t", 2)]));
        let second = all(&mut group, &topics);
        assert_eq!(group.change(second), Change::None);
        assert_eq!(group.change(first), Change::Revoked(vec![tp("t", 2)]));
        assert_eq!(group.change(second), Change::None);
        assert!(group.owns(first, &tp("t", 2)));
        group.release(first, &[tp("t", 2)]);
        assert_eq!(group.change(second), Change::Assigned(vec![tp("t", 2)]));
        group.leave(first, &topics);
        assert_eq!(group.change(second), Change::Assigned(vec![tp("t", 0), tp("t", 1)]));
    }

    #[test]
    fn new_topics_reach_those_whose_pattern_matches() {
        let mut group = Group::default();
        let pattern = Wanted::Pattern(Regex::new("^(?:a.*)$").unwrap());
        let named = Wanted::Topics(["b".into()].into());
        let first = group.join(pattern, Arc::default(), &[]);
        let second = group.join(named, Arc::default(), &[]);
        assert_eq!(group.change(first), Change::None);
        group.rebalance(&[("ab".into(), 1), ("b".into(), 1)]);
        assert_eq!(group.change(first), Change::Assigned(vec![tp("ab", 0)]));
        assert_eq!(group.change(second), Change::Assigned(vec![tp("b", 0)]));
    }

    proptest! {
        /// Whatever joins, leaves and moves: no partition has two owners, and at rest all are owned.
        #[test]
        fn every_partition_has_one_owner(
            steps in proptest::collection::vec((0_u8..4, any::<prop::sample::Index>()), 1..60),
        ) {
            let mut topics: Vec<(Text, i32)> = vec![("t0".into(), 5)];
            let mut group = Group::default();
            // Member, what it reads, what it was told to let go.
            let mut members: Vec<(u64, BTreeSet<TopicPartition>, Vec<TopicPartition>)> = Vec::new();
            let fetch = |group: &mut Group, m: &mut (u64, BTreeSet<_>, Vec<_>)| {
                group.release(m.0, &std::mem::take(&mut m.2));
                match group.change(m.0) {
                    Change::None => false,
                    Change::Assigned(tps) => { m.1.extend(tps); true }
                    Change::Revoked(tps) => {
                        m.1.retain(|tp| !tps.contains(tp));
                        m.2 = tps;
                        true
                    }
                }
            };
            for (step, index) in steps {
                match step {
                    0 => members.push((all(&mut group, &topics), BTreeSet::new(), Vec::new())),
                    1 if !members.is_empty() => {
                        let gone = members.remove(index.index(members.len()));
                        group.leave(gone.0, &topics);
                    }
                    2 => {
                        topics.push((format!("t{}", topics.len()).into(), 3));
                        group.rebalance(&topics);
                    }
                    _ if !members.is_empty() => {
                        let at = index.index(members.len());
                        fetch(&mut group, &mut members[at]);
                    }
                    _ => {}
                }
                let owned: usize = members.iter().map(|m| m.1.len()).sum();
                let distinct: BTreeSet<_> = members.iter().flat_map(|m| &m.1).collect();
                prop_assert_eq!(owned, distinct.len());
            }
            while members.iter_mut().any(|m| fetch(&mut group, m)) {}
            let owned: usize = members.iter().map(|m| m.1.len()).sum();
            let partitions: i32 = topics.iter().map(|(_, partitions)| partitions).sum();
            prop_assert_eq!(owned, if members.is_empty() { 0 } else { partitions as usize });
        }
    }
}
