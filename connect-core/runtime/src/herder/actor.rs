//! The actor behind the herder's handle: owns the state, hears what is told, and has its effects carried out one after the
//! other.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use connect_core::error::{Error, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectorView, Refusal,
    cluster::{Cluster, News},
    events::{Event, Observed},
    forward::Forwarded,
    keeper::{Keeper, Kept},
    state::Model,
};
use crate::{
    loggers::Loggers,
    storage::{
        Answer, Assignment, ClusterStore, ConfigStore, Report, Request, StatusChange, StatusStore,
        Stored, Told, Work,
    },
    worker::Worker,
};

/// Most news of what runs that are taken in before the result is published.
const AT_ONCE: usize = 1000;
/// How often what is due by time is looked at.
const TICK: Duration = Duration::from_millis(500);
/// Pause before the group is joined again, and before what failed is tried again.
pub(super) const AGAIN: Duration = Duration::from_secs(1);
/// How long a worker that leaves waits for the log.
const LEAVING: Duration = Duration::from_secs(5);

pub(super) type Connectors = BTreeMap<String, Arc<ConnectorView>>;
pub(crate) type Reply = oneshot::Sender<Result<Answer, Refusal>>;

/// A request with who waits for its answer.
pub(crate) type Command = (Request, Reply);

pub(super) struct Actor {
    pub(super) model: Model,
    pub(super) cluster: Cluster,
    pub(super) configs: ConfigStore,
    pub(super) statuses: StatusStore,
    pub(super) topic: ClusterStore,
    pub(super) worker: Worker,
    pub(super) loggers: Arc<Loggers>,
    pub(super) publish: watch::Sender<Arc<Connectors>>,
    pub(super) stop: CancellationToken,
    /// None while everything is being stopped after the lease was lost.
    pub(super) keeper: Option<Keeper>,
    pub(super) forwarded: Forwarded,
    /// Answers to other workers, on their way to the cluster topic.
    pub(super) answers: mpsc::UnboundedSender<Told>,
    /// Tasks that wait until earlier ones of their connector are fenced.
    pub(super) fencing: BTreeMap<String, Vec<Reply>>,
    /// Requests that wait until the tasks of a connector have ended everywhere.
    pub(super) waiting: Vec<Waiting>,
    /// The group has elected this worker; it leads once the cluster topic says so too.
    pub(super) elected: bool,
    pub(super) joined: bool,
    /// What should run, or who is there, may have changed since the work was last given out.
    pub(super) unbalanced: bool,
    pub(super) asked_members: Instant,
    /// When this worker last told that it leads.
    pub(super) claimed: Instant,
    /// A report that could not be written yet.
    pub(super) untold: Option<u64>,
    pub(super) start: Instant,
}

/// A request that goes on when no task of the connector runs any more.
pub(super) struct Waiting {
    pub(super) connector: String,
    pub(super) go: oneshot::Sender<()>,
}

/// What the actor hears.
enum Input {
    Kept(Kept),
    Observed(Observed),
    Told(Result<Vec<Told>>),
    Stored(Result<Vec<Stored>>),
    Statuses(Result<Vec<StatusChange>>),
    Command(Command),
    Answer(Told),
    Tick,
}

async fn kept(keeper: &mut Option<Keeper>) -> Kept {
    match keeper {
        Some(keeper) => match keeper.kept.recv().await {
            Some(kept) => kept,
            None => Kept::Over(Error::internal("the task that keeps the membership has ended")),
        },
        None => std::future::pending().await,
    }
}

impl Actor {
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut observations: mpsc::UnboundedReceiver<Observed>,
        mut answers: mpsc::UnboundedReceiver<Told>,
    ) {
        let stop = self.stop.clone();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                kept = kept(&mut self.keeper) => Input::Kept(kept),
                Some(observed) = observations.recv() => Input::Observed(observed),
                told = self.topic.next() => Input::Told(told),
                stored = self.configs.next() => Input::Stored(stored),
                changes = self.statuses.next() => Input::Statuses(changes),
                Some(command) = commands.recv() => Input::Command(command),
                Some(answer) = answers.recv() => Input::Answer(answer),
                _ = tick.tick() => Input::Tick,
            };
            self.hear(input).await;
            for _ in 0..AT_ONCE {
                let Ok(observed) = observations.try_recv() else { break };
                self.hear(Input::Observed(observed)).await;
            }
            self.lead().await;
            self.publish();
        }
        drop(commands);
        self.leave().await;
    }

    async fn hear(&mut self, input: Input) {
        let result = match input {
            Input::Kept(kept) => self.kept(kept).await,
            Input::Observed(observed) => self.observed(observed).await,
            Input::Told(told) => match told {
                Ok(told) => self.told(told).await,
                Err(error) => self.pause(error).await,
            },
            Input::Stored(stored) => match stored {
                Ok(stored) => self.stored(stored).await,
                Err(error) => self.pause(error).await,
            },
            Input::Statuses(changes) => match changes {
                Ok(changes) => self.statuses(changes).await,
                Err(error) => self.pause(error).await,
            },
            Input::Command(command) => {
                self.command(command).await;
                Ok(())
            }
            Input::Answer(answer) => self.topic.write(&[answer]).await,
            Input::Tick => self.tick().await,
        };
        if let Err(error) = result {
            tracing::error!(error = %error.trace().trim_end(), "the log did not take what follows");
        }
    }

    /// After a topic could not be read: so that this is not tried without end.
    async fn pause(&mut self, error: Error) -> Result<()> {
        tokio::time::sleep(AGAIN).await;
        Err(error)
    }

    /// Whether this worker may act as the leader now.
    pub(super) fn leads(&self) -> bool {
        self.elected && self.cluster.leads() && self.worker.context().lease.holds()
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn kept(&mut self, kept: Kept) -> Result<()> {
        match kept {
            Kept::Joined => {
                self.joined = true;
                self.report(0).await?;
                self.ask_again().await;
                Ok(())
            }
            Kept::Elected(elected) => {
                self.elected = elected;
                match elected {
                    true => self.claim().await,
                    false => self.handle(Event::Leads(false)).await,
                }
            }
            Kept::Members(Ok(members)) => {
                self.forwarded.leader_is_there =
                    self.cluster.leader().is_some_and(|l| members.iter().any(|m| m == l));
                self.cluster.members(&members);
                self.unbalanced = true;
                Ok(())
            }
            Kept::Members(Err(error)) => {
                tracing::warn!(%error, "the members of the worker group are not known");
                self.forwarded.leader_is_there = false;
                Ok(())
            }
            Kept::Over(error) => self.fence(&error).await,
        }
    }

    /// Tells that this worker leads from here on.
    async fn claim(&mut self) -> Result<()> {
        self.claimed = Instant::now();
        let config = &self.worker.context().config;
        if config.fences_leaders() {
            let id = format!("connect-cluster-{}", config.config.group_id);
            self.configs.fence(&id).await?;
        }
        let me = self.cluster.me().to_owned();
        self.topic.write(&[Told::Leads(me)]).await
    }

    /// Stops everything, since others may run it now, and joins anew when it has ended.
    async fn fence(&mut self, error: &Error) -> Result<()> {
        tracing::warn!(error = %error.trace().trim_end(), "stopping everything and joining the worker group anew");
        (self.keeper, self.joined, self.elected) = (None, false, false);
        self.untold = None;
        self.worker.context().lease.end();
        self.model.step(Event::Expelled);
        let ended = self.worker.stop_all();
        let observed = self.worker.context().observed.clone();
        tokio::spawn(async move {
            futures_util::future::join_all(ended.iter().map(CancellationToken::cancelled)).await;
            tokio::time::sleep(AGAIN).await;
            // The herder has gone: there is nothing to join for.
            let _ = observed.send(Observed::Fenced);
        });
        Ok(())
    }

    pub(super) async fn join(&mut self) -> Result<()> {
        let context = self.worker.shared_context();
        let me = member_name(&context.config.id())?;
        self.cluster.rename(me.clone());
        let keeper = Keeper::join(&context.transport, &context.config, me, context.lease.clone());
        self.keeper = Some(keeper.await?);
        Ok(())
    }

    /// Tells that this worker is there, and what it has carried out; again later, if that could not be told now.
    async fn report(&mut self, applied: u64) -> Result<()> {
        self.untold = Some(applied);
        let address = self.worker.context().config.id();
        let report = Some(Report { address, applied });
        let me = self.cluster.me().to_owned();
        self.topic.write(&[Told::Worker(me, report)]).await?;
        self.untold = None;
        Ok(())
    }

    async fn observed(&mut self, observed: Observed) -> Result<()> {
        match observed {
            Observed::Released { revision } if self.joined => self.report(revision).await,
            Observed::Released { .. } => Ok(()),
            Observed::TasksFenced { connector, tasks, result } => {
                self.tasks_fenced(connector, tasks, result).await;
                Ok(())
            }
            Observed::Fenced => match self.join().await {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.again(Observed::Fenced);
                    Err(error)
                }
            },
            observed => {
                let again = observed.clone();
                self.handle(Event::Observed(observed)).await.inspect_err(|_| self.again(again))
            }
        }
    }

    /// Hands an observation in once more in a while: the log refused to store what follows from it.
    pub(super) fn again(&self, observed: Observed) {
        let sender = self.worker.context().observed.clone();
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            // The herder has gone: nothing is left to store.
            let _ = sender.send(observed);
        });
    }

    /// All of it, also after an error: what the topic tells, it tells once.
    pub(super) async fn told(&mut self, told: Vec<Told>) -> Result<()> {
        let mut result = Ok(());
        for told in told {
            self.unbalanced |= matches!(told, Told::Worker(..) | Told::Assigned { .. });
            if let Some(news) = self.cluster.told(told) {
                result = result.and(self.news(news).await);
            }
        }
        result
    }

    async fn news(&mut self, news: News) -> Result<()> {
        match news {
            News::Leader => return self.led().await,
            News::Mine(assignment) => return self.assigned(assignment).await,
            News::GivenUp if self.joined => {
                return self.fence(&Error::connection("the leader has given this worker up")).await;
            }
            News::GivenUp => {}
            News::Asked { worker, id, request } => self.asked(worker, id, request).await,
            News::Answered { id, answer } => self.answered(id, answer).await,
            News::Restart(order) => return self.handle(Event::Restart(order)).await,
        }
        Ok(())
    }

    /// Someone leads from here on: this worker or another one.
    async fn led(&mut self) -> Result<()> {
        if self.leads() {
            tracing::info!("this worker leads the group");
            self.unbalanced = true;
            self.ask_members();
        }
        let handled = self.handle(Event::Leads(self.leads())).await;
        self.ask_again().await;
        handled
    }

    /// Starts and stops what the leader says, and tells when what was taken away has ended.
    async fn assigned(&mut self, assignment: Assignment) -> Result<()> {
        if !self.joined {
            return Ok(());
        }
        let Assignment { revision, run, .. } = assignment;
        let old = self.model.assigned().clone();
        let durable = self.carry_out(Event::Assigned(run)).await?;
        let mut ended = Vec::new();
        for subject in old.difference(self.model.assigned()) {
            ended.extend(self.worker.ended(subject));
        }
        let observed = self.worker.context().observed.clone();
        tokio::spawn(async move {
            futures_util::future::join_all(ended.iter().map(CancellationToken::cancelled)).await;
            // A status that was lost is written again by whoever runs it next.
            futures_util::future::join_all(durable).await;
            let _ = observed.send(Observed::Released { revision });
        });
        Ok(())
    }

    /// As [`told`](Self::told): all of it.
    pub(super) async fn stored(&mut self, stored: Vec<Stored>) -> Result<()> {
        let mut result = Ok(());
        for stored in stored {
            self.unbalanced = true;
            match stored {
                Stored::Logger { name, level } => drop(self.loggers.set(&name, level)),
                stored => result = result.and(self.handle(Event::Stored(stored)).await),
            }
        }
        result
    }

    async fn statuses(&mut self, changes: Vec<StatusChange>) -> Result<()> {
        let mut result = Ok(());
        for change in changes {
            if matches!(change, StatusChange::Topic { used: false, .. }) {
                // What a task uses from now on is remembered again.
                self.worker.context().topics.reset();
            }
            result = result.and(self.handle(Event::Told(change)).await);
        }
        result
    }

    pub(super) fn ask_members(&mut self) {
        if let Some(keeper) = &self.keeper {
            self.asked_members = Instant::now();
            self.cluster.ask(self.start.elapsed());
            keeper.ask_members();
        }
    }

    async fn tick(&mut self) -> Result<()> {
        let config = &self.worker.context().config.config;
        let (heartbeat, delay) = (config.heartbeat_interval.get(), config.rebalance_delay.get());
        let asks = self.leads() || self.forwarded.is_late();
        // A worker that died is noticed this much after its session has ended.
        if asks && self.asked_members.elapsed() >= heartbeat.min(AGAIN) {
            self.ask_members();
        }
        if let Some(applied) = self.untold.filter(|_| self.joined) {
            self.report(applied).await?;
        }
        let due = self.claimed.elapsed() >= heartbeat.max(AGAIN);
        if self.elected && self.joined && !self.cluster.leads() && due {
            self.claim().await?;
        }
        self.unbalanced |= self.cluster.deadline(delay).is_some_and(|at| at <= self.now());
        self.forwarded.give_up();
        Ok(())
    }

    /// As the leader, gives out the work.
    async fn lead(&mut self) {
        if !self.unbalanced || !self.leads() {
            return;
        }
        self.unbalanced = false;
        if let Err(error) = self.give_out().await {
            tracing::error!(error = %error.trace().trim_end(), "cannot give out the work; trying again");
            self.unbalanced = true;
            // What was written is read before the next attempt.
            tokio::time::sleep(AGAIN).await;
        }
        let cluster = &self.cluster;
        self.waiting.retain(|waiting| !waiting.go.is_closed());
        let (go, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| !cluster.may_run_tasks_of(&waiting.connector));
        self.waiting = wait;
        for waiting in go {
            // Whoever waited has given up.
            let _ = waiting.go.send(());
        }
    }

    async fn give_out(&mut self) -> Result<()> {
        let delay = self.worker.context().config.config.rebalance_delay.get();
        loop {
            // What could not be stored, by this leader or the last one, is stored now.
            self.handle(Event::Leads(true)).await?;
            let (work, now) = (self.model.work(), self.now());
            let writes = self.cluster.lead(&work, now, delay);
            if writes.is_empty() {
                return Ok(());
            }
            for told in &writes {
                if let Told::Worker(worker, None) = told
                    && let Some(address) = self.cluster.address(worker)
                {
                    tracing::warn!(worker, "the worker is gone; others run what it ran");
                    self.handle(Event::Lost { address }).await?;
                }
            }
            self.topic.write(&writes).await?;
            let told = self.topic.read().await?;
            Box::pin(self.told(told)).await?;
            self.unbalanced = false;
        }
    }

    /// Stops everything, gives it to others, and says so.
    async fn leave(&mut self) {
        self.worker.shut_down().await;
        let gone = async {
            let durable = self.carry_out(Event::Assigned(Work::new())).await?;
            futures_util::future::join_all(durable).await;
            let me = self.cluster.me().to_owned();
            if std::mem::take(&mut self.joined) {
                self.topic.write(&[Told::Worker(me, None)]).await?;
                let told = self.topic.read().await?;
                self.told(told).await?;
                if self.leads() {
                    // As its last act: the next leader need not be awaited.
                    self.give_out().await?;
                }
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(LEAVING, gone).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %error.trace().trim_end(), "could not hand over")
            }
            Err(_) => tracing::warn!("could not hand over in time"),
        }
        if let Some(keeper) = self.keeper.take()
            && tokio::time::timeout(LEAVING, keeper.leave()).await.is_err()
        {
            tracing::warn!("could not leave the worker group in time");
        }
    }
}

/// A name that no other start of a worker has.
pub(super) fn member_name(address: &str) -> Result<String> {
    let mut random = [0; 4];
    getrandom::fill(&mut random)
        .map_err(|e| Error::internal("no randomness").context("cause", e.to_string()))?;
    Ok(format!("connect-{address}-{:08x}", u32::from_le_bytes(random)))
}
