//! The mode that does not only poll (`notify.channel`): the database says when something was committed.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::{SourceConfig, database::SourceDatabase};

/// First and longest pause before listening again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Listens for notifications, and again when the connection was lost.
pub(super) struct Wake {
    channel: String,
    changes: Option<watch::Receiver<()>>,
    /// When to listen again, while nobody does.
    again: Instant,
    pause: Duration,
}

impl Wake {
    /// None where the configuration has no channel.
    pub(super) fn of(config: &SourceConfig) -> Option<Self> {
        let channel = config.channel()?.to_owned();
        Some(Self { channel, changes: None, again: Instant::now(), pause: AGAIN.0 })
    }

    /// Whether something was committed, or may have been while nobody listened; once for any number of notifications.
    /// Cancel safe: what it was told it keeps until it returns.
    pub(super) async fn told<D: SourceDatabase>(&mut self, config: &SourceConfig) -> bool {
        if let Some(changes) = &mut self.changes {
            match changes.has_changed() {
                Ok(false) => return false,
                Ok(true) => {
                    changes.mark_unchanged();
                    // It works: the next loss is a new one.
                    self.pause = AGAIN.0;
                    return true;
                }
                Err(_) => {
                    self.changes = None;
                    tracing::warn!(channel = self.channel, "the connection that listens was lost");
                    self.later();
                }
            }
        }
        if Instant::now() < self.again {
            return false;
        }
        match D::listen(config, &self.channel).await {
            Ok(changes) => {
                self.changes = Some(changes);
                tracing::info!(channel = self.channel, "listening for notifications");
                true
            }
            Err(error) => {
                tracing::warn!(channel = self.channel, %error, "cannot listen; polling goes on");
                self.later();
                false
            }
        }
    }

    fn later(&mut self) {
        self.again = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(AGAIN.1);
    }

    /// The moment at which there is something to do here, unless a notification comes first.
    pub(super) fn due(&self) -> Option<Instant> {
        self.changes.is_none().then_some(self.again)
    }

    /// Resolves at a notification, or when the connection is lost; [`told`](Self::told) then says which.
    pub(super) async fn changed(&mut self) {
        match &mut self.changes {
            // It counts as seen only by `told`.
            Some(changes) => {
                if changes.changed().await.is_ok() {
                    changes.mark_changed();
                }
            }
            None => std::future::pending().await,
        }
    }
}
