//! The topics as this process knows them: where each partition ends, and who waits for more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak,
        atomic::{AtomicI64, Ordering},
    },
};

use connect_core::{data::Text, sink::TopicPartition};
use tokio::sync::Notify;

/// Locks what a panic elsewhere cannot leave half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Text,
    pub(crate) compacted: bool,
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) watchers: Arc<Watchers>,
}

impl Topic {
    /// A topic whose partitions have the ids from `first` on and end at these offsets.
    pub(crate) fn new(name: Text, compacted: bool, first: i64, ends: Vec<i64>) -> Self {
        let watchers = Arc::<Watchers>::default();
        let partition = |(i, end)| {
            let tp = TopicPartition { topic: name.clone(), partition: i };
            let watchers = Arc::clone(&watchers);
            let (id, end) = (first + i64::from(i), AtomicI64::new(end));
            Arc::new(Partition { tp, id, compacted, end, watchers })
        };
        let partitions = (0..).zip(ends).map(partition).collect();
        Self { name, compacted, partitions, watchers }
    }
}

/// A partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) tp: TopicPartition,
    /// Its number in the store.
    pub(crate) id: i64,
    pub(crate) compacted: bool,
    end: AtomicI64,
    pub(crate) watchers: Arc<Watchers>,
}

impl Partition {
    /// The offset that the next durable message will get.
    pub(crate) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }
    /// Makes messages below `end` visible.
    pub(crate) fn publish(&self, end: i64) {
        self.end.store(end, Ordering::Release);
    }
}

/// Those who wait for messages of a topic.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Notify>>>);

impl Watchers {
    /// Wakes `who` at every append until it is dropped.
    pub(crate) fn add(&self, who: &Arc<Notify>) {
        let mut all = lock(&self.0);
        all.retain(|known| known.strong_count() > 0);
        let who = Arc::downgrade(who);
        if !all.iter().any(|known| known.ptr_eq(&who)) {
            all.push(who);
        }
    }
    pub(crate) fn wake(&self) {
        for watcher in lock(&self.0).iter().filter_map(Weak::upgrade) {
            // It keeps one permit: a watcher that looks only later misses nothing.
            watcher.notify_one();
        }
    }
}

/// All topics, by name.
#[derive(Debug, Default)]
pub(crate) struct Topics(RwLock<BTreeMap<Text, Arc<Topic>>>);

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }
    pub(crate) fn add(&self, topic: Arc<Topic>) {
        let mut topics = self.0.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.name.clone(), topic);
    }
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }
}
