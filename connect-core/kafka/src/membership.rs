//! Membership in the worker group: a consumer of a topic with one partition, whose owner leads. The group coordinator
//! elects, and notices who is gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    transport::{Membership, MembershipOptions, Promise, Role},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext},
    error::KafkaError,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tokio::sync::watch;

use crate::{
    blocking,
    config::Prepared,
    config_error,
    context::{Trouble, hears},
    members::members,
    oauth::{Logins, Supply},
    request_error,
};

/// How long the polling thread waits before it looks whether it should end.
const POLL: Duration = Duration::from_millis(100);
/// How often it is looked whether the group was left.
const LEFT: Duration = Duration::from_millis(5);
/// How long the brokers may take to tell the members.
const DESCRIBE: Duration = Duration::from_secs(5);

type Client = BaseConsumer<Roles>;

/// Hears of every rebalance: also of those that change nothing for this member.
struct Roles {
    role: watch::Sender<Role>,
    trouble: Trouble,
}

hears!(Roles);

impl ConsumerContext for Roles {
    fn rebalance(&self, consumer: &Client, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        let (result, role) = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let leads = tpl.count() > 0 || *self.role.borrow() == Role::Leader;
                // What the topic holds is read elsewhere.
                let result = tpl
                    .set_all_offsets(Offset::End)
                    .and_then(|()| consumer.incremental_assign(tpl))
                    .and_then(|()| consumer.pause(tpl));
                (result, if leads { Role::Leader } else { Role::Follower })
            }
            _ => {
                let lost = consumer.assignment_lost();
                let role = if lost { Role::Outside } else { Role::Follower };
                (consumer.incremental_unassign(tpl), role)
            }
        };
        if let Err(error) = result {
            tracing::error!(%error, "cannot take over the group's decision");
        }
        self.role.send_if_modified(|old| std::mem::replace(old, role) != role);
    }
}

/// A member of the worker group.
pub(crate) struct KafkaMembership {
    /// None after it has left.
    client: Option<Arc<Client>>,
    thread: Option<std::thread::JoinHandle<()>>,
    group: String,
    /// What no other member is called.
    member: String,
    topic: String,
    session: Duration,
    roles: watch::Receiver<Role>,
    told: Role,
    failed: watch::Receiver<Option<String>>,
    closed: Arc<AtomicBool>,
    _tokens: Supply,
}

impl KafkaMembership {
    pub(crate) fn join(
        prepared: Prepared,
        options: MembershipOptions,
        logins: &Logins,
    ) -> Result<Self> {
        let Prepared { mut config, login } = prepared;
        let millis = |time: Duration| time.as_millis().to_string();
        let longest = options.rebalance_timeout.max(options.session_timeout);
        config
            .set("client.id", &options.member)
            .set("group.id", &options.group)
            .set("session.timeout.ms", millis(options.session_timeout))
            .set("heartbeat.interval.ms", millis(options.heartbeat_interval))
            .set("max.poll.interval.ms", millis(longest))
            // A leader stays one when others come and go.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("allow.auto.create.topics", "false");
        let (role, roles) = watch::channel(Role::Outside);
        let trouble = Trouble::default();
        let context = Roles { role, trouble: trouble.clone() };
        let client: Client = config.create_with_context(context).map_err(config_error)?;
        client.subscribe(&[&options.topic]).map_err(|e| request_error("cannot subscribe", e))?;
        let client = Arc::new(client);
        let tokens = logins.supply(login)?;
        tokens.join(&client, &trouble);
        let (failure, failed) = watch::channel(None);
        let closed = Arc::new(AtomicBool::new(false));
        let (polled, ended) = (Arc::clone(&client), Arc::clone(&closed));
        let thread = std::thread::Builder::new()
            .name("membership".into())
            .spawn(move || poll(&polled, &failure, &ended))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        let MembershipOptions { group, member, topic, session_timeout: session, .. } = options;
        let (client, thread) = (Some(client), Some(thread));
        Ok(Self {
            client,
            thread,
            group,
            member,
            topic,
            session,
            roles,
            told: Role::Outside,
            failed,
            closed,
            _tokens: tokens,
        })
    }

    fn client(&self) -> Result<Arc<Client>> {
        self.client.clone().ok_or_else(|| Error::internal("it has left the worker group"))
    }
}

fn poll(client: &Client, failure: &watch::Sender<Option<String>>, closed: &AtomicBool) {
    while !closed.load(Ordering::Acquire) {
        match client.poll(POLL) {
            None | Some(Ok(_)) => {}
            Some(Err(error)) => match fatal(&error) {
                true => drop(failure.send_replace(Some(error.to_string()))),
                false => tracing::debug!(%error, "the membership recovers by itself"),
            },
        }
    }
}

/// Whether the client does not recover by itself.
fn fatal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Fatal
                | Code::GroupAuthorizationFailed
                | Code::TopicAuthorizationFailed
                | Code::InconsistentGroupProtocol
                | Code::InvalidSessionTimeout
                | Code::Authentication
        )
    )
}

#[async_trait]
impl Membership for KafkaMembership {
    async fn changed(&mut self) -> Result<Role> {
        let told = self.told;
        let thread = || Error::internal("the membership's thread has ended");
        let role = tokio::select! {
            biased;
            role = self.roles.wait_for(|role| *role != told) => *role.map_err(|_| thread())?,
            failed = self.failed.wait_for(Option::is_some) => {
                let cause = failed.map_err(|_| thread())?.clone().unwrap_or_default();
                let message = "cannot be a member of the worker group";
                return Err(Error::refused(message).context("group", &self.group).context("cause", cause));
            }
        };
        self.told = role;
        Ok(role)
    }

    /// A commit of the group's own partition: the coordinator takes it from members only, and counts it as a heartbeat.
    fn renew(&self) -> Promise<Duration> {
        let outside = *self.roles.borrow() == Role::Outside;
        let (client, topic, session) = (self.client(), self.topic.clone(), self.session);
        Box::pin(blocking(move || {
            if outside {
                return Err(Error::connection("not a member of the worker group yet"));
            }
            let failed = |e| request_error("the worker group does not know this worker", e);
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Offset(0)).map_err(failed)?;
            client?.commit(&list, CommitMode::Sync).map_err(failed).map(|()| session)
        }))
    }

    fn members(&self) -> Promise<Vec<String>> {
        let (client, group) = (self.client(), self.group.clone());
        Box::pin(blocking(move || {
            let found = members(&*client?, &group, DESCRIBE)?;
            found.ok_or_else(|| Error::connection("the worker group is not known"))
        }))
    }

    /// Waits until the coordinator knows.
    async fn leave(&mut self) -> Result<()> {
        let (Some(client), Some(thread)) = (self.client.take(), self.thread.take()) else {
            return Ok(());
        };
        let (group, member) = (self.group.clone(), self.member.clone());
        let closed = Arc::clone(&self.closed);
        blocking(move || {
            client.unsubscribe();
            // Closing does not leave the group for one that owns nothing, nor for one whose partition is just being given up
            // (librdkafka 2.12.1): that was left which no longer lists it.
            let last = Instant::now() + DESCRIBE;
            let listed = || match members(&*client, &group, DESCRIBE) {
                Ok(found) => found.is_some_and(|found| found.contains(&member)),
                Err(_) => true,
            };
            while listed() && Instant::now() < last {
                std::thread::sleep(LEFT);
            }
            closed.store(true, Ordering::Release);
            // It ends by itself; a panic in it was told by the hook.
            let _ = thread.join();
            Ok(())
        })
        .await
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}
