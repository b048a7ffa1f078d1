//! Which topics each task has used (KIP-558), noticed without a lock on the record path.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use connect_core::data::Text;

/// Tells tasks when topics were forgotten, so that they tell of them again.
#[derive(Debug, Clone)]
pub(crate) struct TopicTracker {
    enabled: bool,
    resets: Arc<AtomicU64>,
}

impl TopicTracker {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, resets: Arc::default() }
    }

    /// Makes every task tell its topics again.
    pub(crate) fn reset(&self) {
        self.resets.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn task(&self) -> TaskTopics {
        TaskTopics { tracker: self.clone(), resets: 0, known: HashSet::new() }
    }
}

/// The topics of one task.
pub(super) struct TaskTopics {
    tracker: TopicTracker,
    resets: u64,
    known: HashSet<Text>,
}

impl TaskTopics {
    /// Whether the use of this topic is news.
    pub(super) fn is_new(&mut self, topic: &Text) -> bool {
        if !self.tracker.enabled {
            return false;
        }
        let resets = self.tracker.resets.load(Ordering::Acquire);
        if resets != self.resets {
            self.resets = resets;
            self.known.clear();
        }
        !self.known.contains(topic) && self.known.insert(topic.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_news_once_after_each_reset() {
        let tracker = TopicTracker::new(true);
        let mut task = tracker.task();
        let (a, b) = (Text::from("a"), Text::from("b"));
        let news = [task.is_new(&a), task.is_new(&a), task.is_new(&b)];
        tracker.reset();
        assert_eq!((news, task.is_new(&a), task.is_new(&a)), ([true, false, true], true, false));
        assert!(!TopicTracker::new(false).task().is_new(&a));
    }
}
