//! Workers in one group: who is there, and who leads.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;

use super::Promise;
use crate::error::Result;

/// How to join a group of workers.
#[derive(Debug, Clone)]
pub struct MembershipOptions {
    /// The group (`group.id`).
    pub group: String,
    /// Name of this member, which no other member has, now or later.
    pub member: String,
    /// A topic with one partition: the member that the group gives it to leads.
    pub topic: String,
    /// A member that was not heard of for this long is out (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// How often a member tells that it is there (`heartbeat.interval.ms`).
    pub heartbeat_interval: Duration,
    /// How long members may take to join again when the group changes (`rebalance.timeout.ms`).
    pub rebalance_timeout: Duration,
    /// Settings of the transport's own client.
    pub properties: BTreeMap<String, String>,
}

/// What the group has told this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is no member: not yet, or not any more.
    Outside,
    /// It is a member that another one leads.
    Follower,
    /// It leads.
    Leader,
}

/// Membership of one worker in its group. Dropping it without [`leave`](Self::leave) is what a crash looks like to the
/// others.
#[async_trait]
pub trait Membership: Send + Sync {
    /// Waits until the role is another one than the last that was returned; the first is [`Role::Outside`]. Cancel safe.
    async fn changed(&mut self) -> Result<Role>;
    /// Proves that this is a member: on success it was one when the call began, and stays one for the time that is
    /// returned, counted from then, unless it leaves.
    fn renew(&self) -> Promise<Duration>;
    /// The members by name, this one included.
    fn members(&self) -> Promise<Vec<String>>;
    /// Leaves, so that others need not wait for a time-out.
    async fn leave(&mut self) -> Result<()>;
}
