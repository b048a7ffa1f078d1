//! Reads in a consumer group.

use std::sync::Arc;

use async_trait::async_trait;
use connect_core::{
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
    transport::{Consumer, ConsumerOptions, Fetch, Fetched, Subscription},
};
use regex::Regex;
use tokio::sync::{Notify, oneshot};

use crate::{
    Inner, error,
    fetch::{Position, read_on},
    group::{Change, Wanted},
    topics::lock,
    writer::Request,
};

/// A consumer of the embedded log.
pub(crate) struct EmbeddedConsumer {
    inner: Arc<Inner>,
    group: String,
    wanted: Wanted,
    max_messages: usize,
    /// Whether a partition without a committed offset is read from its end (`auto.offset.reset=latest`).
    from_end: bool,
    notify: Arc<Notify>,
    membership: Membership,
    positions: Vec<Position>,
    /// Revoked, and let go at the next fetch.
    releasing: Vec<TopicPartition>,
    /// The position whose turn is first.
    turn: usize,
}

/// As in Kafka, a consumer joins when it first fetches.
#[derive(Clone, Copy)]
enum Membership {
    NotYet,
    Member(u64),
    Closed,
}

impl EmbeddedConsumer {
    pub(crate) async fn open(inner: Arc<Inner>, options: ConsumerOptions) -> Result<Self> {
        let wanted = match options.subscription {
            Subscription::Topics(topics) => {
                for topic in &topics {
                    inner.topic_or_create(topic).await?;
                }
                Wanted::Topics(topics.into_iter().map(Into::into).collect())
            }
            Subscription::Pattern(pattern) => {
                let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
                    Error::config(format!("Invalid topic pattern {pattern}")).with_source(e)
                })?;
                Wanted::Pattern(whole)
            }
        };
        Ok(Self {
            inner,
            group: options.group,
            wanted,
            max_messages: options.max_messages.max(1),
            from_end: options.properties.get("auto.offset.reset").is_some_and(|v| v == "latest"),
            notify: Arc::default(),
            membership: Membership::NotYet,
            positions: Vec::new(),
            releasing: Vec::new(),
            turn: 0,
        })
    }

    fn member(&mut self) -> Result<u64> {
        match self.membership {
            Membership::Member(member) => Ok(member),
            Membership::Closed => {
                Err(Error::internal("this consumer is closed").context("group", &self.group))
            }
            Membership::NotYet => {
                let shared = &self.inner.shared;
                let wanted = self.wanted.clone();
                let member = shared.groups.join(&self.group, wanted, &self.notify, &shared.topics);
                self.membership = Membership::Member(member);
                Ok(member)
            }
        }
    }

    /// The group's wish, if it has one.
    fn change(&mut self, member: u64) -> Option<Fetch> {
        let releasing = std::mem::take(&mut self.releasing);
        match self.inner.shared.groups.change(&self.group, member, &releasing) {
            Change::None => None,
            Change::Revoked(revoked) => {
                self.positions.retain(|position| !revoked.contains(&position.partition.tp));
                self.releasing.clone_from(&revoked);
                Some(Fetch::Revoked(revoked))
            }
            Change::Assigned(assigned) => {
                for tp in &assigned {
                    self.start(tp);
                }
                Some(Fetch::Assigned(assigned))
            }
        }
    }

    fn start(&mut self, tp: &TopicPartition) {
        let Some(topic) = self.inner.shared.topics.get(&tp.topic) else { return };
        let committed = lock(&self.inner.shared.committed);
        let offset = committed.get(&self.group).and_then(|offsets| offsets.get(tp));
        topic.watchers.add(&self.notify);
        if let Some(partition) = topic.partitions.get(tp.partition as usize) {
            let start = if self.from_end { partition.end() } else { 0 };
            let offset = offset.copied().unwrap_or(start);
            self.positions.push(Position::new(Arc::clone(partition), offset));
        }
    }

    /// Messages that were read already, of one partition after the other.
    fn buffered(&mut self) -> Result<Vec<Fetched>> {
        let (mut fetched, mut room) = (Vec::new(), self.max_messages);
        let count = self.positions.len();
        for i in 0..count {
            if room == 0 {
                break;
            }
            let position = &mut self.positions[(self.turn + i) % count];
            let messages = position.take(room)?;
            if !messages.is_empty() {
                room -= messages.len();
                fetched.push(Fetched { origin: position.partition.tp.clone(), messages });
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(fetched)
    }

    fn leave(&mut self) {
        if let Membership::Member(member) = self.membership {
            let shared = &self.inner.shared;
            shared.groups.leave(&self.group, member, &shared.topics);
        }
        self.membership = Membership::Closed;
        self.positions.clear();
    }

    fn not_owned(&self, tp: &TopicPartition) -> Error {
        Error::refused("the partition is not assigned to this consumer")
            .context("group", &self.group)
            .context("topic", &tp.topic)
            .context("partition", tp.partition)
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn fetch(&mut self) -> Result<Fetch> {
        let member = self.member()?;
        loop {
            if let Some(change) = self.change(member) {
                return Ok(change);
            }
            if self.positions.iter().any(Position::is_buffered) {
                let fetched = self.buffered()?;
                if !fetched.is_empty() {
                    return Ok(Fetch::Messages(fetched));
                }
            }
            let max = self.max_messages;
            if !read_on(&self.inner.store, &mut self.positions, max).await? {
                self.notify.notified().await;
            }
        }
    }

    /// # Errors
    /// When a partition isn't this consumer's: another may have gone on from there.
    async fn commit(&mut self, offsets: &Offsets) -> Result<()> {
        let Membership::Member(member) = self.membership else {
            return Err(
                Error::refused("this consumer is not in its group").context("group", &self.group)
            );
        };
        let owns = |tp| self.inner.shared.groups.owns(&self.group, member, tp);
        if let Some(foreign) = offsets.keys().find(|tp| !owns(tp)) {
            return Err(self.not_owned(foreign));
        }
        let (answer, durable) = oneshot::channel();
        let group = self.group.clone();
        let offsets = offsets.iter().map(|(tp, next)| (tp.clone(), Some(*next))).collect();
        self.inner.send(Request::Commit { group, offsets, answer })?;
        durable.await.unwrap_or_else(|_| Err(error::writer_gone()))
    }

    async fn seek(&mut self, offsets: &Offsets) -> Result<()> {
        for (tp, offset) in offsets {
            let position = self.positions.iter_mut().find(|p| p.partition.tp == *tp);
            match position {
                Some(position) => position.seek((*offset).max(0)),
                None => return Err(self.not_owned(tp)),
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.leave();
        Ok(())
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}
