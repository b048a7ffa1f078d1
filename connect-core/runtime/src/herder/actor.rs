//! The actor behind the herder's handle: owns the state, and carries out its effects one after the other.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use connect_core::{
    config::Properties,
    error::{Error, Result},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectorView, Refusal, Restart, State, Status, TargetState, offsets,
    state::{Effect, Event, Model, Observed},
};
use crate::{
    loggers::Loggers,
    storage::{ConfigStore, StatusStore, Stored, Subject},
    worker::Worker,
};

/// How long a worker that leaves waits for each status to be stored.
const LEAVING: Duration = Duration::from_secs(5);

pub(super) type Connectors = BTreeMap<String, Arc<ConnectorView>>;
pub(super) type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// Which configuration a new one takes the place of.
pub(super) enum Replaces {
    /// None: it is created, in this state.
    Nothing(TargetState),
    /// Whatever is there, if anything is.
    Anything,
    /// This one; another must not be lost.
    Exactly(Properties),
}

/// A request that changes something.
pub(super) enum Command {
    Put {
        name: String,
        config: Properties,
        replaces: Replaces,
        answer: Answer<Put>,
    },
    Delete {
        name: String,
        answer: Answer<()>,
    },
    Target {
        name: String,
        target: TargetState,
        answer: Answer<()>,
    },
    Restart {
        name: String,
        what: Restart,
        answer: Answer<ConnectorView>,
    },
    RestartTask {
        name: String,
        task: u32,
        answer: Answer<()>,
    },
    ResetTopics {
        name: String,
        answer: Answer<()>,
    },
    /// None forgets all offsets.
    Alter {
        name: String,
        offsets: Option<offsets::Offsets>,
        answer: Answer<bool>,
    },
    Level {
        logger: String,
        level: crate::loggers::Level,
        answer: Answer<()>,
    },
}

/// What became of a configuration.
pub(super) enum Put {
    /// It is stored; true if there was none before.
    Stored(bool, Arc<ConnectorView>),
    /// Another one came between.
    Changed,
}

pub(super) struct Actor {
    pub(super) model: Model,
    pub(super) configs: ConfigStore,
    pub(super) statuses: StatusStore,
    pub(super) worker: Worker,
    pub(super) loggers: Arc<Loggers>,
    pub(super) publish: watch::Sender<Arc<Connectors>>,
    pub(super) stop: CancellationToken,
}

impl Actor {
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut observations: mpsc::UnboundedReceiver<Observed>,
    ) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(observed) = observations.recv() => {
                    if let Err(error) = self.handle(Event::Observed(observed.clone())).await {
                        tracing::error!(error = %error.trace().trim_end(), "cannot store what a connector asked for");
                        self.again(observed);
                    }
                }
                Some(command) = commands.recv() => self.command(command).await,
            }
        }
        drop(commands);
        self.worker.shut_down().await;
        self.leave().await;
    }

    /// Tells that what ran here has no worker any more.
    async fn leave(&mut self) {
        for effect in self.model.step(Event::Leaving) {
            let Effect::Status(subject, status) = effect else { continue };
            let written = match self.statuses.write(&subject, status.as_ref()).await {
                Ok(written) => tokio::time::timeout(LEAVING, written).await,
                Err(error) => Ok(Err(error)),
            };
            if !matches!(written, Ok(Ok(()))) {
                return tracing::warn!("the statuses of what ran here could not be stored");
            }
        }
    }

    /// Hands an observation in once more in a while: the log refused to store what follows from it.
    fn again(&self, observed: Observed) {
        let sender = self.worker.context().observed.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // The herder has gone: nothing is left to store.
            let _ = sender.send(observed);
        });
    }

    /// Takes an event in, and carries out what follows from it.
    pub(super) async fn handle(&mut self, event: Event) -> Result<()> {
        let mut effects = VecDeque::from(self.model.step(event));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Start { subject, run, config } => self.worker.start(subject, run, config),
                Effect::Stop(subject) => self.worker.stop(&subject),
                Effect::Store(changes) => {
                    for stored in self.configs.write(&changes).await? {
                        effects.extend(self.stored(stored));
                    }
                }
                Effect::Topic { connector, topic, task } => {
                    let written = self.statuses.write_topic(&connector, &topic, task).await?;
                    tokio::spawn(async move {
                        if let Err(error) = written.await {
                            tracing::error!(connector, topic, %error, "cannot store a topic");
                        }
                    });
                }
                Effect::Status(subject, mut status) => {
                    if let Some(status) = status.as_mut().filter(|s| s.version.is_empty()) {
                        self.add_version(&subject, status);
                    }
                    let written = self.statuses.write(&subject, status.as_ref()).await?;
                    tokio::spawn(async move {
                        if let Err(error) = written.await {
                            tracing::error!(?subject, %error, "cannot store a status");
                        }
                    });
                }
            }
        }
        self.publish();
        Ok(())
    }

    /// Takes in what the config topic tells.
    fn stored(&mut self, stored: Stored) -> Vec<Effect> {
        match stored {
            Stored::Logger { name, level } => {
                self.loggers.set(&name, level);
                Vec::new()
            }
            stored => self.model.step(Event::Stored(stored)),
        }
    }

    /// Adds the version of the plugin to a status of something that has not run yet.
    fn add_version(&mut self, subject: &Subject, status: &mut Status) {
        let (Subject::Connector(name) | Subject::Task(name, _)) = subject;
        let config = self.model.connectors.get(name).map(|connector| &connector.config);
        let plugin = config.and_then(|config| self.worker.context().plugin(config).ok());
        if let Some(plugin) = plugin {
            status.version = plugin.version().to_owned();
            self.model.set_version(subject, plugin.version());
        }
    }

    fn publish(&self) {
        let old = Arc::clone(&self.publish.borrow());
        let mut views = Connectors::new();
        for (name, connector) in &self.model.connectors {
            let view = ConnectorView {
                ty: self.worker.context().plugin(&connector.config).ok().map(|plugin| plugin.ty()),
                config: connector.config.clone(),
                tasks: connector.wanted.tasks.clone(),
                status: connector.status.clone(),
                task_status: connector.task_status.clone(),
                topics: connector.topics.clone(),
            };
            let same = old.get(name).filter(|old| ***old == view).map(Arc::clone);
            views.insert(name.clone(), same.unwrap_or_else(|| Arc::new(view)));
        }
        self.publish.send_replace(Arc::new(views));
    }

    async fn write(&mut self, changes: Vec<Stored>) -> Result<(), Refusal> {
        let failed = |error: Error| {
            let message = "Failed to write to config topic; this may be due to a transient error and \
                           the request can be safely retried";
            Refusal::Failed(Error::connection(message).with_source(error))
        };
        for stored in self.configs.write(&changes).await.map_err(failed)? {
            match stored {
                Stored::Logger { .. } => drop(self.stored(stored)),
                stored => self.handle(Event::Stored(stored)).await.map_err(failed)?,
            }
        }
        Ok(())
    }

    async fn command(&mut self, command: Command) {
        // An answer that nobody waits for any more is that of a request that timed out.
        match command {
            Command::Put { name, config, replaces, answer } => {
                let _ = answer.send(self.put(name, config, replaces).await);
            }
            Command::Delete { name, answer } => {
                let _ = answer.send(match self.model.connectors.contains_key(&name) {
                    true => self.write(vec![Stored::Removed { name }]).await,
                    false => Err(Refusal::NotFound(format!("Connector {name} not found"))),
                });
            }
            Command::Target { name, target, answer } => {
                let _ = answer.send(match self.model.connectors.contains_key(&name) {
                    true => self.write(vec![Stored::Target { name, target }]).await,
                    false => Err(Refusal::NotFound(format!("Unknown connector {name}"))),
                });
            }
            Command::Restart { name, what, answer } => {
                let _ = answer.send(self.restart(name, what).await);
            }
            Command::RestartTask { name, task, answer } => {
                let _ = answer.send(self.restart_task(name, task).await);
            }
            Command::ResetTopics { name, answer } => {
                // Before the topics are forgotten: what a task uses from now on is remembered again.
                self.worker.context().topics.reset();
                let event = Event::ResetTopics { connector: name };
                let _ = answer.send(self.handle(event).await.map_err(Refusal::Failed));
            }
            Command::Alter { name, offsets, answer } => self.alter(name, offsets, answer),
            Command::Level { logger, level, answer } => {
                let _ = answer.send(self.write(vec![Stored::Logger { name: logger, level }]).await);
            }
        }
    }

    async fn restart(&mut self, name: String, what: Restart) -> Result<ConnectorView, Refusal> {
        let unknown = || Refusal::NotFound(format!("Unknown connector: {name}"));
        let view = self.publish.borrow().get(&name).map(Arc::clone).ok_or_else(unknown)?;
        let mut plan = (*view).clone();
        let (instance, tasks) = self.model.restarted(&name, what);
        let instance = plan.status.as_mut().filter(|_| instance);
        let tasks = plan.task_status.iter_mut().filter(|(task, _)| tasks.contains(task));
        for status in instance.into_iter().chain(tasks.map(|(_, status)| status)) {
            status.state = State::Restarting;
        }
        self.handle(Event::Restart { connector: name, what }).await.map_err(Refusal::Failed)?;
        Ok(plan)
    }

    async fn restart_task(&mut self, name: String, task: u32) -> Result<(), Refusal> {
        let connector = self.model.connectors.get(&name);
        let connector =
            connector.ok_or_else(|| Refusal::NotFound(format!("Unknown connector: {name}")))?;
        if task as usize >= connector.wanted.tasks.len() {
            return Err(Refusal::NotFound(format!("Unknown task: {name}-{task}")));
        }
        let event = Event::RestartTask { connector: name, task };
        self.handle(event).await.map_err(Refusal::Failed)
    }

    /// Answers when it is done, without keeping other requests.
    fn alter(&self, name: String, offsets: Option<offsets::Offsets>, answer: Answer<bool>) {
        let Some(connector) = self.model.connectors.get(&name) else {
            let _ = answer.send(Err(Refusal::NotFound(format!("Connector {name} not found"))));
            return;
        };
        if connector.wanted.target != TargetState::Stopped {
            let message = format!(
                "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for \
                 the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint"
            );
            let _ = answer.send(Err(Refusal::BadRequest(message)));
            return;
        }
        let (context, ended) = (self.worker.shared_context(), self.worker.ended(&name));
        let config = connector.config.clone();
        tokio::spawn(async move {
            let _ = answer.send(offsets::alter(&context, ended, &name, &config, offsets).await);
        });
    }

    async fn put(
        &mut self,
        name: String,
        config: Properties,
        replaces: Replaces,
    ) -> Result<Put, Refusal> {
        let known = self.model.connectors.get(&name);
        let existed = known.is_some();
        let target = match replaces {
            Replaces::Nothing(_) if existed => {
                return Err(Refusal::Conflict(format!("Connector {name} already exists")));
            }
            Replaces::Exactly(old) if known.is_none_or(|known| known.config != old) => {
                return Ok(Put::Changed);
            }
            Replaces::Nothing(target) => target,
            _ => TargetState::Started,
        };
        let mut changes = vec![Stored::Connector { name: name.clone(), config }];
        if !existed {
            // First, so that it never runs in another state; and also when it is to be started, so that a state
            // left over from an earlier connector of this name does not count.
            changes.insert(0, Stored::Target { name: name.clone(), target });
        }
        self.write(changes).await?;
        let view = self.publish.borrow().get(&name).map(Arc::clone);
        let gone = || Refusal::Conflict(format!("Connector {name} was removed meanwhile"));
        view.map(|view| Put::Stored(!existed, view)).ok_or_else(gone)
    }
}
