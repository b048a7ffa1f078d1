//! Memory that is free goes back to the system. glibc keeps it in an arena per thread, and librdkafka has many: after the start of
//! 500 sinks, half of the process's memory was free.

use std::time::Duration;

/// Often enough after a peak, rarely enough to cost nothing: some milliseconds.
const EVERY: Duration = Duration::from_secs(15);

/// Gives back what is free, now and then, for ever.
pub(crate) async fn give_back() {
    let mut due = tokio::time::interval(EVERY);
    loop {
        due.tick().await;
        // It panics no more than it fails.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "std has no call for it")]
fn trim() {
    // SAFETY: it takes no pointers, and may be called by any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
