//! Requests on their way to the leader: asked through the cluster topic, and again when another one leads.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use connect_core::{config::Properties, error::Error};
use tokio::sync::oneshot;

use super::{
    Refusal,
    actor::{AGAIN, Actor, Command, Reply},
    events::Observed,
};
use crate::storage::{Answer, Refused, Request, Told};

/// How long a request waits while there is no leader.
const NO_LEADER: Duration = Duration::from_secs(10);
/// After this, it is looked whether the leader is there at all.
const LATE: Duration = Duration::from_secs(2);

/// What waits for a leader's answer.
#[derive(Default)]
pub(super) struct Forwarded {
    pending: BTreeMap<u64, Pending>,
    last: u64,
    /// Whether the leader that the topic names was a member when the group was last asked.
    pub(super) leader_is_there: bool,
}

struct Pending {
    request: Request,
    reply: Reply,
    since: Instant,
}

impl Forwarded {
    fn add(&mut self, request: Request, reply: Reply) -> u64 {
        self.last += 1;
        self.pending.insert(self.last, Pending { request, reply, since: Instant::now() });
        self.last
    }

    /// Whether something has waited for long.
    pub(super) fn is_late(&self) -> bool {
        self.pending.values().any(|pending| pending.since.elapsed() > LATE)
    }

    /// Refuses what has waited too long for a leader.
    pub(super) fn give_up(&mut self) {
        self.pending.retain(|_, pending| !pending.reply.is_closed());
        if self.leader_is_there {
            return;
        }
        let late = self.pending.iter().filter(|(_, pending)| pending.since.elapsed() > NO_LEADER);
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(pending) = self.pending.remove(&id) else { continue };
            let message = "Cannot complete request momentarily because no worker of the group leads, likely because a \
                           rebalance is underway";
            // Whoever asked does not wait any more.
            let _ = pending.reply.send(Err(Refusal::Unavailable(message.into())));
        }
    }
}

impl Actor {
    /// Carries a request out as the leader, or has the leader do it.
    pub(super) async fn command(&mut self, (request, reply): Command) {
        if self.leads() {
            return self.execute(request, reply).await;
        }
        let id = self.forwarded.add(request, reply);
        self.ask(&[id]).await;
    }

    /// Has the leader store the tasks that a connector here was cut into; until it has, or they are out of date.
    pub(super) async fn submit(&mut self, connector: String, run: u64, configs: Vec<Properties>) {
        let (reply, answer) = oneshot::channel();
        let request = Request::Tasks { name: connector.clone(), configs: configs.clone() };
        let id = self.forwarded.add(request, reply);
        self.ask(&[id]).await;
        let observed = self.worker.context().observed.clone();
        tokio::spawn(async move {
            if let Ok(Err(refusal)) = answer.await {
                tracing::warn!(connector, %refusal, "the leader did not store the tasks; asking again");
                tokio::time::sleep(AGAIN).await;
                // The herder has gone: nothing is left to store.
                let _ = observed.send(Observed::Tasks { connector, run, configs });
            }
        });
    }

    async fn ask(&mut self, ids: &[u64]) {
        if !self.joined || self.cluster.leader().is_none() {
            return;
        }
        let worker = self.cluster.me().to_owned();
        let asked = ids.iter().filter_map(|id| {
            let request = self.forwarded.pending.get(id)?.request.clone();
            Some(Told::Asked { worker: worker.clone(), id: *id, request })
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return;
        }
        if let Err(error) = self.topic.write(&asked).await {
            for pending in ids.iter().filter_map(|id| self.forwarded.pending.remove(id)) {
                let message = "cannot forward the request to the leader";
                let cause = Error::connection(message).context("cause", format!("{error:?}"));
                let _ = pending.reply.send(Err(Refusal::Failed(cause)));
            }
        }
    }

    /// Asks the leader what waits for an answer: one that has begun to lead, or that this worker can ask only now. If this
    /// worker leads, it carries that out.
    pub(super) async fn ask_again(&mut self) {
        self.forwarded.leader_is_there = true;
        if self.leads() {
            for pending in std::mem::take(&mut self.forwarded.pending).into_values() {
                Box::pin(self.execute(pending.request, pending.reply)).await;
            }
            return;
        }
        let ids: Vec<u64> = self.forwarded.pending.keys().copied().collect();
        self.ask(&ids).await;
    }

    /// The leader has answered: whoever asked sees its effect when it hears so.
    pub(super) async fn answered(&mut self, id: u64, answer: Result<Answer, Refused>) {
        let Some(pending) = self.forwarded.pending.remove(&id) else { return };
        let caught_up = match self.configs.read().await {
            Ok(stored) => Box::pin(self.stored(stored)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = caught_up {
            tracing::warn!(%error, "the configurations are not up to date");
        }
        self.publish();
        let _ = pending.reply.send(answer.map_err(Refusal::from));
    }

    /// Another worker asks this one, which leads.
    pub(super) async fn asked(&mut self, worker: String, id: u64, request: Request) {
        if !self.leads() {
            return;
        }
        let (reply, answer) = oneshot::channel();
        Box::pin(self.execute(request, reply)).await;
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let ended = Refusal::Failed(Error::internal("Worker is shutting down"));
            let answer = answer.await.unwrap_or(Err(ended));
            let answer = answer.map_err(|refusal| Refused::from(&refusal));
            // The herder has gone: the next leader is asked again.
            let _ = answers.send(Told::Answered { worker, id, answer });
        });
    }
}
