//! The herder of one worker: owns the state, carries out its effects one after the other, and gives out a handle
//! that is cheap to share.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use connect_core::{
    config::Properties,
    error::{Error, Result},
    plugin::{Plugin, PluginType},
    registry::Registry,
    transport::Transport,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectorView, Herder, PluginInfo, Refusal, TargetState, invalid_config,
    state::{Effect, Event, Model, Observed},
};
use crate::{
    config::{self, validate_framework},
    storage::{ConfigStore, OffsetStore, StatusStore, Stored, Subject},
    worker::{Context, Worker},
};

/// How long a request waits for the herder (`RestServer.DEFAULT_REST_REQUEST_TIMEOUT_MS`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// What a herder needs.
pub struct Options {
    /// The worker's configuration.
    pub config: config::Worker,
    /// The log that it runs on.
    pub transport: Arc<dyn Transport>,
    /// The connectors that it can run.
    pub registry: Registry,
}

type Connectors = BTreeMap<String, Arc<ConnectorView>>;
type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// A request that changes something.
enum Command {
    Put {
        name: String,
        config: Properties,
        /// State to create it in; none replaces what is there.
        create: Option<TargetState>,
        answer: Answer<(bool, Arc<ConnectorView>)>,
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
        include_tasks: bool,
        only_failed: bool,
        answer: Answer<()>,
    },
}

/// Handle of the herder. Dropping it does not stop the worker; [`shut_down`](Self::shut_down) does.
pub struct LocalHerder {
    cluster_id: String,
    registry: Registry,
    config: config::Worker,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<Connectors>>,
    stop: CancellationToken,
    actor: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl LocalHerder {
    /// Reads what is stored, and starts the connectors that should run.
    ///
    /// # Errors
    /// If the log cannot be reached, or one of the worker's topics is not fit for its purpose.
    pub async fn start(options: Options) -> Result<Self> {
        let Options { config, transport, registry } = options;
        let registry = Registry::apache().merge(registry);
        for key in config.unknown_keys() {
            tracing::warn!(key, "the worker's configuration has a key that nothing reads");
        }
        let cluster_id = transport.cluster_id().await?;
        let mut configs = ConfigStore::open(&transport, &config.config).await?;
        let mut statuses = StatusStore::open(&transport, &config.config).await?;
        let offsets = OffsetStore::open(&transport, &config.config).await?;
        let mut model = Model::new(config.id());
        for stored in configs.read().await? {
            model.step(Event::Stored(stored));
        }
        for (subject, status) in statuses.read().await? {
            let (name, task) = match subject {
                Subject::Connector(name) => (name, None),
                Subject::Task(name, task) => (name, Some(task)),
            };
            if let Some(connector) = model.connectors.get_mut(&name) {
                connector.remember(task, status);
            }
        }
        let (observed, observations) = mpsc::unbounded_channel();
        let (commands, receiver) = mpsc::channel(64);
        let (publish, view) = watch::channel(Arc::default());
        let stop = CancellationToken::new();
        let context = Context {
            transport,
            registry: registry.clone(),
            config: config.clone(),
            offsets,
            observed,
        };
        let mut actor = Actor {
            model,
            configs,
            statuses,
            worker: Worker::new(context),
            publish,
            stop: stop.clone(),
        };
        actor.handle(Event::Loaded).await?;
        let actor = tokio::spawn(actor.run(receiver, observations));
        let actor = tokio::sync::Mutex::new(Some(actor));
        Ok(Self { cluster_id, registry, config, commands, view, stop, actor })
    }

    /// Stops everything: what is in flight becomes durable, offsets are committed.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        if let Some(actor) = self.actor.lock().await.take()
            && let Err(error) = actor.await
        {
            tracing::error!(%error, "the herder panicked");
        }
    }

    fn get(&self, name: &str) -> Option<Arc<ConnectorView>> {
        self.view.borrow().get(name).map(Arc::clone)
    }

    fn known(&self, name: &str, message: String) -> Result<Arc<ConnectorView>, Refusal> {
        self.get(name).ok_or(Refusal::NotFound(message))
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, Refusal> {
        let (answer, wait) = oneshot::channel();
        let ended = || Refusal::Failed(Error::internal("Worker is shutting down"));
        self.commands.send(command(answer)).await.map_err(|_| ended())?;
        match timeout(REQUEST_TIMEOUT, wait).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(ended())),
            Err(_) => Err(Refusal::Failed(Error::connection("Request timed out"))),
        }
    }

    /// Checks a configuration as a whole before it is stored.
    async fn check(&self, name: &str, config: &Properties) -> Result<(), Refusal> {
        let plugin = self.plugin(config)?;
        let mut invalid = validate_framework(&self.registry, plugin.ty(), config);
        invalid.extend(plugin.validate(&self.config.plugin_properties(config)).await);
        if let Some(own) = config.get("name").filter(|own| *own != name) {
            return Err(Refusal::BadRequest(format!(
                "Connector name configuration ({own}) doesn't match connector name in the URL ({name})"
            )));
        }
        match invalid.is_empty() {
            true => Ok(()),
            false => Err(Refusal::BadRequest(invalid_config(&invalid))),
        }
    }

    fn plugin(&self, config: &Properties) -> Result<Arc<dyn Plugin>, Refusal> {
        let Some(class) = config.get("connector.class") else {
            // Only the names: the values may hold passwords.
            let keys: Vec<&str> = config.keys().map(String::as_str).collect();
            let message =
                format!("Connector config {{{}}} contains no connector type", keys.join(", "));
            return Err(Refusal::BadRequest(message));
        };
        self.registry.find(class, config).ok_or_else(|| {
            let known: Vec<String> = self
                .registry
                .classes()
                .map(|(class, plugin)| {
                    let ty = if plugin.ty() == PluginType::Source { "source" } else { "sink" };
                    format!("PluginDesc{{klass=class {class}, name='{class}', version='{}', type={ty}}}", plugin.version())
                })
                .collect();
            Refusal::BadRequest(format!(
                "Failed to find any class that implements Connector and which name matches {class}, \
                 available connectors are: {}",
                known.join(", ")
            ))
        })
    }

    async fn put(
        &self,
        name: &str,
        mut config: Properties,
        create: Option<TargetState>,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal> {
        config.entry("name".into()).or_insert_with(|| name.to_owned());
        self.check(name, &config).await?;
        let name = name.to_owned();
        self.ask(|answer| Command::Put { name, config, create, answer }).await
    }
}

#[async_trait]
impl Herder for LocalHerder {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn plugins(&self) -> Vec<PluginInfo> {
        let info = |(class, plugin): (&str, &dyn Plugin)| PluginInfo {
            class: class.to_owned(),
            ty: plugin.ty(),
            version: plugin.version().to_owned(),
        };
        self.registry.classes().map(info).collect()
    }

    fn connectors(&self) -> Arc<Connectors> {
        Arc::clone(&self.view.borrow())
    }

    async fn create(
        &self,
        name: &str,
        config: Properties,
        initial: TargetState,
    ) -> Result<Arc<ConnectorView>, Refusal> {
        self.put(name, config, Some(initial)).await.map(|(_, view)| view)
    }

    async fn put_config(
        &self,
        name: &str,
        config: Properties,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal> {
        self.put(name, config, None).await
    }

    async fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.known(name, format!("Connector {name} not found"))?;
        self.ask(|answer| Command::Delete { name: name.to_owned(), answer }).await
    }

    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal> {
        self.known(name, format!("Unknown connector {name}"))?;
        self.ask(|answer| Command::Target { name: name.to_owned(), target, answer }).await
    }

    async fn restart(
        &self,
        name: &str,
        include_tasks: bool,
        only_failed: bool,
    ) -> Result<(), Refusal> {
        self.known(name, format!("Unknown connector: {name}"))?;
        let name = name.to_owned();
        self.ask(|answer| Command::Restart { name, include_tasks, only_failed, answer }).await
    }
}

struct Actor {
    model: Model,
    configs: ConfigStore,
    statuses: StatusStore,
    worker: Worker,
    publish: watch::Sender<Arc<Connectors>>,
    stop: CancellationToken,
}

impl Actor {
    async fn run(
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
    async fn handle(&mut self, event: Event) -> Result<()> {
        let mut effects = VecDeque::from(self.model.step(event));
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Start { subject, run, config } => self.worker.start(subject, run, config),
                Effect::Stop(subject) => self.worker.stop(&subject),
                Effect::Store(changes) => {
                    for stored in self.configs.write(&changes).await? {
                        effects.extend(self.model.step(Event::Stored(stored)));
                    }
                }
                Effect::Status(subject, status) => {
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
            self.handle(Event::Stored(stored)).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn command(&mut self, command: Command) {
        // An answer that nobody waits for any more is that of a request that timed out.
        match command {
            Command::Put { name, config, create, answer } => {
                let _ = answer.send(self.put(name, config, create).await);
            }
            Command::Delete { name, answer } => {
                let _ = answer.send(match self.model.connectors.contains_key(&name) {
                    true => self.write(vec![Stored::Removed { name }]).await,
                    false => Err(Refusal::NotFound(format!("Connector {name} not found"))),
                });
            }
            Command::Target { name, target, answer } => {
                let _ = answer.send(self.write(vec![Stored::Target { name, target }]).await);
            }
            Command::Restart { name, include_tasks, only_failed, answer } => {
                let event = Event::Restart { connector: name, include_tasks, only_failed };
                let _ = answer.send(self.handle(event).await.map_err(Refusal::Failed));
            }
        }
    }

    async fn put(
        &mut self,
        name: String,
        config: Properties,
        create: Option<TargetState>,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal> {
        let existed = self.model.connectors.contains_key(&name);
        if create.is_some() && existed {
            return Err(Refusal::Conflict(format!("Connector {name} already exists")));
        }
        let mut changes = vec![Stored::Connector { name: name.clone(), config }];
        if !existed {
            // First, so that it never runs in another state; and also when it is to be started, so that a state
            // left over from an earlier connector of this name does not count.
            let target = create.unwrap_or(TargetState::Started);
            changes.insert(0, Stored::Target { name: name.clone(), target });
        }
        self.write(changes).await?;
        let view = self.publish.borrow().get(&name).map(Arc::clone);
        let gone = || Refusal::Conflict(format!("Connector {name} was removed meanwhile"));
        view.map(|view| (!existed, view)).ok_or_else(gone)
    }
}
