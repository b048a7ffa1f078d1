//! How long this worker may act for its group: a worker that was paused or cut off finds its lease at an end before the group
//! gives what it ran to others (invariant 11).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// How often one that waits looks whether the lease was renewed.
const LOOK: Duration = Duration::from_millis(100);

/// Shared by all that acts. Cheap to ask.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    start: Instant,
    /// Milliseconds after `start`.
    until: Arc<AtomicU64>,
    /// How much earlier a sink stops: its consumer's session may end that much before the worker's.
    margin: Duration,
}

impl Lease {
    /// One that has ended.
    pub(crate) fn new(margin: Duration) -> Self {
        Self { start: Instant::now(), until: Arc::default(), margin }
    }

    /// Proven at `at` to hold for so long.
    pub(crate) fn extend(&self, at: Instant, holds: Duration) {
        let until = (at.saturating_duration_since(self.start)).saturating_add(holds).as_millis();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// How long it still holds.
    pub(crate) fn left(&self) -> Duration {
        let until = Duration::from_millis(self.until.load(Ordering::Acquire));
        until.saturating_sub(self.start.elapsed())
    }

    pub(crate) fn holds(&self) -> bool {
        !self.left().is_zero()
    }

    /// Resolves once a source may append: at once, while the lease holds. False when told to stop before.
    pub(crate) async fn for_source(&self, stop: &CancellationToken) -> bool {
        self.lasts(Duration::ZERO, stop).await
    }

    /// Resolves once a sink may write. False when told to stop before.
    pub(crate) async fn for_sink(&self, stop: &CancellationToken) -> bool {
        self.lasts(self.margin, stop).await
    }

    /// Resolves once more than `margin` is left.
    async fn lasts(&self, margin: Duration, stop: &CancellationToken) -> bool {
        while self.left() <= margin {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        true
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_holds_from_the_moment_of_the_proof() {
        let lease = Lease::new(Duration::from_secs(3));
        assert!(!lease.holds());
        let now = Instant::now();
        lease.extend(now, Duration::from_secs(100));
        let stop = CancellationToken::new();
        assert!(lease.holds() && lease.for_source(&stop).await && lease.for_sink(&stop).await);
        lease.extend(now, Duration::from_secs(2));
        stop.cancel();
        assert!(lease.for_source(&stop).await && !lease.for_sink(&stop).await);
        lease.extend(now, Duration::MAX);
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds());
    }
}
