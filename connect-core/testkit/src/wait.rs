//! Waiting on a condition: the only way in which asynchronous tests wait.

use std::time::{Duration, Instant};

/// Most time that anything may take: generous, since the condition decides.
const DEADLINE: Duration = Duration::from_secs(60);

/// Asks until the condition holds.
///
/// # Panics
/// After a minute, naming what was awaited.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::task::yield_now().await;
    }
}
