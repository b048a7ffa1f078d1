//! Which consumers without anything to read keep their place in their group.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Since when a consumer is idle; the number tells those apart that became so at once.
type Since = (Instant, u64);

/// The consumers of a worker that are members of a group and idle. Like a pool of connections, it keeps a few of them ready.
pub(crate) struct IdleConsumers {
    /// As many may stay; none: all of them.
    most: Option<usize>,
    /// A consumer is idle when it has read nothing for so long.
    after: Duration,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    count: u64,
    /// The one that is idle for the longest time first.
    idle: BTreeMap<Since, Arc<Notify>>,
}

impl IdleConsumers {
    pub(crate) fn new(most: Option<usize>, after: Duration) -> Self {
        Self { most, after, members: Mutex::default() }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part, as one that has just read something.
    pub(crate) fn join(self: &Arc<Self>) -> Turn {
        let number = {
            let mut members = self.members();
            members.count += 1;
            members.count
        };
        let (all, leave) = (Arc::clone(self), Arc::new(Notify::new()));
        Turn { all, since: (Instant::now(), number), listed: false, leave }
    }
}

/// One consumer's part in it.
pub(crate) struct Turn {
    all: Arc<IdleConsumers>,
    since: Since,
    /// Whether it is among the idle ones, or has been told to leave.
    listed: bool,
    leave: Arc<Notify>,
}

impl Turn {
    /// From 0 to 1: those that join one after the other are far from each other.
    pub(crate) fn share(&self) -> f64 {
        // The golden ratio spreads any number of them evenly.
        (self.since.1 as f64 * 0.618_033_988_749_895).fract()
    }

    /// It has read something.
    pub(crate) fn busy(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.all.members().idle.remove(&self.since);
            // It may have been told just now.
            self.leave = Arc::new(Notify::new());
        }
        self.since.0 = Instant::now();
    }

    /// Resolves when it is idle, and has been so for longer than those that may stay. Cancel safe.
    pub(crate) async fn until_over(&mut self) {
        let Some(most) = self.all.most else { return std::future::pending().await };
        if !self.listed {
            sleep_until(self.since.0 + self.all.after).await;
            let mut members = self.all.members();
            members.idle.insert(self.since, Arc::clone(&self.leave));
            self.listed = true;
            while members.idle.len() > most {
                let Some((_, longest)) = members.idle.pop_first() else { break };
                longest.notify_one();
            }
        }
        self.leave.notified().await;
        // Until it has left, it is asked only once.
        self.leave.notify_one();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.all.members().idle.remove(&self.since);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const AFTER: Duration = Duration::from_secs(30);

    fn leaves(turn: &mut Turn) -> bool {
        turn.until_over().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_longest_leaves() {
        let all = Arc::new(IdleConsumers::new(Some(2), AFTER));
        let mut turns: Vec<Turn> = Vec::new();
        for _ in 0..3 {
            turns.push(all.join());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::advance(AFTER).await;
        turns[0].busy();
        let left: Vec<bool> = turns.iter_mut().map(leaves).collect();
        assert_eq!(left, [false, false, false], "two are idle, and may stay");
        tokio::time::advance(AFTER).await;
        let left: Vec<bool> = turns.iter_mut().map(leaves).collect();
        assert_eq!(left, [false, true, false]);
        assert!(leaves(&mut turns[1]), "until it has left");
        turns[1].busy();
        assert!(!leaves(&mut turns[1]), "it has read something before it left");
        drop(turns.remove(2));
        tokio::time::advance(AFTER).await;
        let left: Vec<bool> = turns.iter_mut().map(leaves).collect();
        assert_eq!(left, [false, false], "one that is closed has no place");
    }

    #[tokio::test(start_paused = true)]
    async fn all_may_stay_where_nothing_bounds_them() {
        let all = Arc::new(IdleConsumers::new(None, AFTER));
        let mut turns = [all.join(), all.join()];
        tokio::time::advance(AFTER * 2).await;
        assert!(!leaves(&mut turns[0]) && !leaves(&mut turns[1]));
    }
}
