//! All consumer groups of the log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use connect_core::{data::Text, sink::TopicPartition};
use tokio::sync::Notify;

use crate::{
    group::{Change, Group, Wanted},
    topics::{Topics, lock},
};

/// Groups by name; a group exists while it has members.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<BTreeMap<String, Group>>);

fn known(topics: &Topics) -> Vec<(Text, i32)> {
    let topics = topics.all();
    topics.iter().map(|topic| (topic.name.clone(), topic.partitions.len() as i32)).collect()
}

impl Groups {
    /// Adds a member and returns its id.
    pub(crate) fn join(
        &self,
        group: &str,
        wanted: Wanted,
        notify: &Arc<Notify>,
        topics: &Topics,
    ) -> u64 {
        let mut groups = lock(&self.0);
        // Looked up under the lock: a topic made meanwhile rebalances after this.
        let topics = known(topics);
        groups.entry(group.to_owned()).or_default().join(wanted, Arc::clone(notify), &topics)
    }
    /// Removes a member.
    pub(crate) fn leave(&self, group: &str, member: u64, topics: &Topics) {
        let mut groups = lock(&self.0);
        if let Some(members) = groups.get_mut(group) {
            members.leave(member, &known(topics));
            if members.is_empty() {
                groups.remove(group);
            }
        }
    }
    /// Spreads the partitions of a topic that is new.
    pub(crate) fn rebalance(&self, topics: &Topics) {
        let mut groups = lock(&self.0);
        let topics = known(topics);
        groups.values_mut().for_each(|group| group.rebalance(&topics));
    }
    /// Lets go what was revoked, and says what the member has to do now.
    pub(crate) fn change(&self, group: &str, member: u64, released: &[TopicPartition]) -> Change {
        match lock(&self.0).get_mut(group) {
            Some(group) => {
                if !released.is_empty() {
                    group.release(member, released);
                }
                group.change(member)
            }
            None => Change::None,
        }
    }

    /// Whether anybody reads in the group.
    pub(crate) fn has_members(&self, group: &str) -> bool {
        lock(&self.0).contains_key(group)
    }
    /// Whether a member owns a partition.
    pub(crate) fn owns(&self, group: &str, member: u64, tp: &TopicPartition) -> bool {
        lock(&self.0).get(group).is_some_and(|group| group.owns(member, tp))
    }
}
