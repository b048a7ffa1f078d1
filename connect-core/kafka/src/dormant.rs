//! The consumer of a sink task. While there is nothing to read, it may leave its group and give up its client, whose five threads
//! wake eleven times a second; a watcher tells when it is time to come back.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{Consumer, ConsumerOptions, Fetch, Subscription},
};
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until},
};

use crate::{
    config::Prepared,
    consumer::GroupConsumer,
    idle::{IdleConsumers, Turn},
    oauth::Logins,
    watch::{Place, Watch, Watchers},
};

/// A consumer comes back after this long whatever happens, or after up to half as long again, so that not all come at once: the
/// brokers forget the offsets of a group that has had no members for `offsets.retention.minutes`, a week by default.
const AWAY: Duration = Duration::from_secs(2400);

/// What all consumers of a worker share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) logins: Arc<Logins>,
    pub(crate) idle: Arc<IdleConsumers>,
    pub(crate) watchers: Arc<Watchers>,
}

pub(crate) struct KafkaConsumer {
    prepared: Prepared,
    options: ConsumerOptions,
    shared: Shared,
    /// The topics that it has subscribed to, if they are named.
    topics: Vec<String>,
    state: State,
    turn: Turn,
    /// Whether it may leave: not where topics may come to match, or where it would read on at the end.
    may_leave: bool,
    /// Whether it has been told to; it may read on until its partitions are revoked.
    leaving: bool,
    assignment: Assignment,
}

enum State {
    Member(GroupConsumer),
    /// What it has left.
    Left(JoinHandle<Result<Place>>),
    Away {
        watch: Watch,
        until: Instant,
    },
    /// Nothing is open.
    Closed,
}

/// What the group has given to this consumer, as the task knows it.
#[derive(Default)]
struct Assignment {
    owned: Vec<TopicPartition>,
    /// Offsets to read next, of partitions that anything was read of.
    next: Offsets,
    /// Whether it was taken back since.
    revoked: bool,
    /// How many partitions each topic had then; none: nothing was ever shared, as no topic is there.
    partitions: Option<JoinHandle<Result<BTreeMap<String, usize>>>>,
}

impl Assignment {
    fn see(&mut self, fetch: &Fetch) {
        match fetch {
            Fetch::Assigned(partitions) => {
                *self = Self { owned: partitions.clone(), ..Self::default() };
            }
            Fetch::Revoked(_) | Fetch::Lost(_) => self.revoked = true,
            Fetch::Messages(fetched) => {
                for part in fetched {
                    let Some((last, _)) = part.messages.last() else { continue };
                    match self.next.get_mut(&part.origin) {
                        Some(next) => *next = last + 1,
                        None => drop(self.next.insert(part.origin.clone(), last + 1)),
                    }
                }
            }
        }
    }

    /// Whether the task has partitions that it must let go of.
    fn is_held(&self) -> bool {
        !self.revoked && !self.owned.is_empty()
    }

    /// What the consumer leaves, if its group would read on where it has ended.
    async fn place(self, member: &GroupConsumer, topics: Vec<String>) -> Result<Place> {
        let partitions = match self.partitions {
            Some(partitions) => partitions.await.map_err(panicked)??,
            None => topics.into_iter().map(|topic| (topic, 0)).collect(),
        };
        let committed = member.committed(self.owned.clone()).await?;
        let start = |tp: TopicPartition| {
            let committed = committed.get(&tp).copied();
            match self.next.get(&tp) {
                Some(next) if committed != Some(*next) => {
                    let error = Error::refused("its group would not read on where it has ended");
                    Err(error.context("topic", &tp.topic).context("partition", tp.partition))
                }
                _ => Ok((tp, committed)),
            }
        };
        let starts = self.owned.into_iter().map(start).collect::<Result<_>>()?;
        Ok(Place { starts, partitions })
    }
}

impl KafkaConsumer {
    pub(crate) fn open(
        prepared: Prepared,
        options: ConsumerOptions,
        shared: Shared,
    ) -> Result<Self> {
        let from_the_beginning = prepared.config.get("auto.offset.reset") == Some("earliest");
        let (named, topics) = match &options.subscription {
            Subscription::Topics(topics) => (true, topics.clone()),
            Subscription::Pattern(_) => (false, Vec::new()),
        };
        let mut new = Self {
            turn: shared.idle.join(),
            prepared,
            options,
            shared,
            topics,
            state: State::Closed,
            may_leave: from_the_beginning && named,
            leaving: false,
            assignment: Assignment::default(),
        };
        new.join()?;
        Ok(new)
    }

    /// Becomes a member of the group, again.
    fn join(&mut self) -> Result<()> {
        self.state = State::Closed;
        let (prepared, options) = (self.prepared.clone(), self.options.clone());
        let member = GroupConsumer::open(prepared, options, &self.shared.logins)?;
        (self.leaving, self.assignment) = (false, Assignment::default());
        self.turn.busy();
        self.state = State::Member(member);
        Ok(())
    }

    /// Gives up the client of a member that holds nothing any longer.
    fn give_up(&mut self, mut member: GroupConsumer) -> JoinHandle<Result<Place>> {
        let (assignment, topics) = (mem::take(&mut self.assignment), self.topics.clone());
        tokio::spawn(async move {
            let place = assignment.place(&member, topics).await;
            member.close().await.and(place)
        })
    }

    /// Has the place watched that it has left, or becomes a member again.
    fn go(&mut self, place: Result<Place>) -> Result<()> {
        let group = &self.options.group;
        match place {
            Ok(place) => {
                tracing::debug!(group, "idle: has left its group until there is something to read");
                let Self { prepared, shared, .. } = self;
                let watch = shared.watchers.watch(prepared, &shared.logins, place)?;
                let until = Instant::now() + AWAY.mul_f64(1.0 + self.turn.share() / 2.0);
                self.state = State::Away { watch, until };
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%error, group, "idle, but does not leave its group");
                self.may_leave = error.is_retriable();
                self.join()
            }
        }
    }
}

fn panicked(error: JoinError) -> Error {
    Error::internal("a task of a consumer panicked").with_source(error)
}

fn away() -> Error {
    Error::connection("the consumer has left its group")
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn fetch(&mut self) -> Result<Fetch> {
        loop {
            match &mut self.state {
                State::Member(_) if self.leaving && !self.assignment.is_held() => {
                    if let State::Member(member) = mem::replace(&mut self.state, State::Closed) {
                        self.state = State::Left(self.give_up(member));
                    }
                }
                State::Member(member) => {
                    let fetch = tokio::select! {
                        biased;
                        fetch = member.fetch() => fetch?,
                        () = self.turn.until_over(), if self.may_leave && !self.leaving => {
                            member.leave();
                            self.leaving = true;
                            continue;
                        }
                    };
                    self.turn.busy();
                    self.assignment.see(&fetch);
                    if self.may_leave && matches!(fetch, Fetch::Assigned(_)) {
                        self.assignment.partitions = Some(member.partitions(self.topics.clone()));
                    }
                    return Ok(fetch);
                }
                State::Left(place) => {
                    let place = place.await.map_err(panicked).flatten();
                    self.state = State::Closed;
                    self.go(place)?;
                }
                State::Away { watch, until } => {
                    tokio::select! {
                        () = watch.found() => {}
                        () = sleep_until(*until) => {}
                    }
                    self.join()?;
                }
                State::Closed => self.join()?,
            }
        }
    }

    async fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        match &mut self.state {
            State::Member(member) => member.commit(offsets).await,
            _ => Err(away()),
        }
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        match &mut self.state {
            State::Member(member) => {
                member.seek(offsets).await?;
                self.assignment.next.extend(offsets.clone());
                Ok(())
            }
            _ => Err(away()),
        }
    }

    async fn close(&mut self) -> Result<()> {
        match mem::replace(&mut self.state, State::Closed) {
            State::Member(mut member) => member.close().await,
            State::Left(left) => left.await.map_err(panicked)?.map(drop),
            State::Away { .. } | State::Closed => Ok(()),
        }
    }
}
