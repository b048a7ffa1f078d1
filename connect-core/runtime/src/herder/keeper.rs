//! Keeps this worker a member of its group: renews the lease, and tells the actor what the group decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use connect_core::{
    config::Properties,
    error::{Error, Result},
    transport::{Membership, MembershipOptions, Role, Transport},
};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::{config, worker::Lease};

/// Pause between two attempts to renew the lease after one has failed.
const AGAIN: Duration = Duration::from_millis(500);

/// What the keeper tells.
#[derive(Debug)]
pub(super) enum Kept {
    /// This worker is a member, and has a lease.
    Joined,
    /// Whether the group has made this worker its leader.
    Elected(bool),
    /// The members, as was asked.
    Members(Result<Vec<String>>),
    /// The lease is over, or the group does not take this worker: nothing may be done for it any more. Nothing else is
    /// told after this.
    Over(Error),
}

enum Ask {
    Members,
    Leave(oneshot::Sender<()>),
}

/// Handle of the task that keeps the membership. Dropping it ends the membership as a crash would.
pub(super) struct Keeper {
    asks: mpsc::UnboundedSender<Ask>,
    pub(super) kept: mpsc::UnboundedReceiver<Kept>,
}

impl Keeper {
    /// Joins the group under this name.
    pub(super) async fn join(
        transport: &Arc<dyn Transport>,
        worker: &config::Worker,
        member: String,
        lease: Lease,
    ) -> Result<Self> {
        let config = &worker.config;
        let options = MembershipOptions {
            group: config.group_id.clone(),
            member,
            topic: config.config_topic.clone(),
            session_timeout: config.session_timeout.get(),
            heartbeat_interval: config.heartbeat_interval.get(),
            rebalance_timeout: config.rebalance_timeout.get(),
            properties: Properties::new(),
        };
        let heartbeat = options.heartbeat_interval;
        let membership = transport.join(options).await?;
        let (asks, asked) = mpsc::unbounded_channel();
        let (tell, kept) = mpsc::unbounded_channel();
        tokio::spawn(Keeping { membership, lease, heartbeat, tell }.run(asked));
        Ok(Self { asks, kept })
    }

    /// Has the members told.
    pub(super) fn ask_members(&self) {
        // A keeper that has ended has said so.
        let _ = self.asks.send(Ask::Members);
    }

    /// Leaves the group.
    pub(super) async fn leave(self) {
        let (done, left) = oneshot::channel();
        if self.asks.send(Ask::Leave(done)).is_ok() {
            let _ = left.await;
        }
    }
}

struct Keeping {
    membership: Box<dyn Membership>,
    lease: Lease,
    heartbeat: Duration,
    tell: mpsc::UnboundedSender<Kept>,
}

/// A question to the group that is on its way.
type Asking<T> = Option<BoxFuture<'static, T>>;

async fn answer<T>(asking: &mut Asking<T>) -> T {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

impl Keeping {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Ask>) {
        let mut left = None;
        let result = self.keep(&mut asked, &mut left).await;
        self.lease.end();
        if let Err(error) = self.membership.leave().await {
            tracing::warn!(%error, "could not leave the worker group");
        }
        match (result, left) {
            (_, Some(left)) => drop(left.send(())),
            (Err(error), None) => self.told(Kept::Over(error)),
            (Ok(()), None) => {}
        }
    }

    fn told(&self, kept: Kept) {
        // The herder has gone: nobody needs to know.
        let _ = self.tell.send(kept);
    }

    /// Until the membership is over, or given up.
    async fn keep(
        &mut self,
        asked: &mut mpsc::UnboundedReceiver<Ask>,
        left: &mut Option<oneshot::Sender<()>>,
    ) -> Result<()> {
        let mut role = Role::Outside;
        let mut joined = false;
        let mut renewing: Asking<Result<Duration>> = None;
        let mut renewed_at = Instant::now();
        let mut listing: Asking<Result<Vec<String>>> = None;
        let renew = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(renew);
        loop {
            let over = tokio::time::sleep(self.lease.left());
            tokio::select! {
                biased;
                () = over, if joined => {
                    return Err(Error::connection("the worker group has not been heard of for session.timeout.ms"));
                }
                changed = self.membership.changed() => {
                    role = changed?;
                    match role {
                        Role::Outside if joined => {
                            return Err(Error::connection("the worker group has dropped this worker"));
                        }
                        // Renewed at once: only then it is known to be a member.
                        _ if !joined => renew.as_mut().reset(tokio::time::Instant::now()),
                        role => self.told(Kept::Elected(role == Role::Leader)),
                    }
                }
                () = &mut renew, if renewing.is_none() && role != Role::Outside => {
                    renewed_at = Instant::now();
                    renewing = Some(self.membership.renew());
                }
                renewed = answer(&mut renewing) => {
                    renewing = None;
                    let pause = match renewed {
                        Ok(holds) => {
                            // A lease that has ended stays so: what it was for may be others' by now.
                            if joined && !self.lease.holds() {
                                return Err(Error::connection("the lease of this worker has ended"));
                            }
                            self.lease.extend(renewed_at, holds);
                            if !std::mem::replace(&mut joined, true) {
                                self.told(Kept::Joined);
                                self.told(Kept::Elected(role == Role::Leader));
                            }
                            self.heartbeat
                        }
                        Err(error) => {
                            tracing::debug!(%error, "the worker's lease was not renewed");
                            AGAIN
                        }
                    };
                    renew.as_mut().reset(tokio::time::Instant::now() + pause);
                }
                listed = answer(&mut listing) => {
                    listing = None;
                    self.told(Kept::Members(listed));
                }
                ask = asked.recv() => match ask {
                    Some(Ask::Members) if listing.is_none() => listing = Some(self.membership.members()),
                    Some(Ask::Members) => {}
                    Some(Ask::Leave(done)) => {
                        *left = Some(done);
                        return Ok(());
                    }
                    None => return Ok(()),
                },
            }
        }
    }
}
