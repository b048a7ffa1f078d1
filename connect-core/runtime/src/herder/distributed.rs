//! The herder of a worker: a handle that is cheap to share, in front of the actor that owns the state
//! (`org.apache.kafka.connect.runtime.distributed.DistributedHerder`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use connect_core::{
    config::{ConfigKey, Properties},
    error::{Error, Result},
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
    ConfigInfos, ConnectorView, HIDDEN, Herder, PartitionOffset, PluginInfo, Refusal, Restart,
    State, Submitted, TargetState,
    actor::{Actor, Command, Connectors, member_name},
    cluster::Cluster,
    events::Event,
    forward::Forwarded,
    invalid_config, offsets,
    state::Model,
};
use crate::{
    config,
    loggers::{Level, Loggers},
    plugins,
    providers::Providers,
    storage::{
        Answer, ClusterStore, ConfigStore, OffsetStore, Replaces, Request, StatusStore, Stored,
    },
    validate::Validator,
    worker::{Context, Lease, TopicTracker, Worker},
};

/// How long a request waits for the herder (`RestServer.DEFAULT_REST_REQUEST_TIMEOUT_MS`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// What a herder needs.
pub struct Options {
    /// The worker's configuration.
    pub config: config::Worker,
    /// The log that it runs on.
    pub transport: Arc<dyn Transport>,
    /// The plugins that it can run besides those of Apache Kafka itself.
    pub registry: Registry,
    /// The process's loggers.
    pub loggers: Arc<Loggers>,
}

/// Handle of the herder. Dropping it does not stop the worker; [`shut_down`](Self::shut_down) does.
pub struct DistributedHerder {
    cluster_id: String,
    context: Arc<Context>,
    loggers: Arc<Loggers>,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<Connectors>>,
    stop: CancellationToken,
    actor: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl DistributedHerder {
    /// Reads what is stored, and starts the connectors that should run.
    ///
    /// # Errors
    /// If the log cannot be reached, or one of the worker's topics is not fit for its purpose.
    pub async fn start(options: Options) -> Result<Self> {
        let Options { config, transport, registry, loggers } = options;
        let registry = Registry::apache().merge(registry);
        for key in config.unknown_keys() {
            tracing::warn!(key, "the worker's configuration has a key that nothing reads");
        }
        let providers = Providers::open(&config)?;
        let cluster_id = transport.cluster_id().await?;
        let mut configs = ConfigStore::open(&transport, &config.config).await?;
        let mut statuses = StatusStore::open(&transport, &config.config).await?;
        let mut topic = ClusterStore::open(&transport, &config.config).await?;
        let offsets = OffsetStore::open(&transport, &config.config).await?;
        let mut model = Model::new(config.id());
        for stored in configs.read().await? {
            // The level of a logger is for the workers that were there when it was set.
            if !matches!(stored, Stored::Logger { .. }) {
                model.step(Event::Stored(stored));
            }
        }
        for change in statuses.read().await? {
            model.step(Event::Told(change));
        }
        let mut cluster = Cluster::new(member_name(&config.id())?);
        for told in topic.read().await? {
            // Nothing of it is this worker's: it has a name of its own.
            cluster.told(told);
        }
        let (observed, observations) = mpsc::unbounded_channel();
        let (commands, receiver) = mpsc::channel(64);
        let (answers, answered) = mpsc::unbounded_channel();
        let (publish, view) = watch::channel(Arc::default());
        let stop = CancellationToken::new();
        let topics = TopicTracker::new(config.config.topic_tracking);
        let lease = Lease::new(config.config.heartbeat_interval.get());
        let requests = commands.clone();
        let context = Context {
            transport,
            registry,
            config,
            providers,
            offsets,
            observed,
            topics,
            lease,
            requests,
        };
        let worker = Worker::new(context);
        let context = worker.shared_context();
        let mut actor = Actor {
            model,
            cluster,
            configs,
            statuses,
            topic,
            worker,
            loggers: Arc::clone(&loggers),
            publish,
            stop: stop.clone(),
            keeper: None,
            forwarded: Forwarded::default(),
            answers,
            fencing: BTreeMap::new(),
            waiting: Vec::new(),
            elected: false,
            joined: false,
            unbalanced: false,
            asked_members: Instant::now(),
            claimed: Instant::now(),
            untold: None,
            start: Instant::now(),
        };
        actor.publish();
        actor.join().await?;
        let actor = tokio::spawn(actor.run(receiver, observations, answered));
        let actor = tokio::sync::Mutex::new(Some(actor));
        Ok(Self { cluster_id, context, loggers, commands, view, stop, actor })
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

    fn validator(&self) -> Validator<'_> {
        let Context { registry, config: worker, providers, .. } = &*self.context;
        Validator { registry, worker, providers }
    }

    async fn ask(&self, request: Request) -> Result<Answer, Refusal> {
        let (reply, wait) = oneshot::channel();
        let ended = || Refusal::Failed(Error::internal("Worker is shutting down"));
        self.commands.send((request, reply)).await.map_err(|_| ended())?;
        match timeout(REQUEST_TIMEOUT, wait).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(ended())),
            Err(_) => Err(Refusal::Failed(Error::connection("Request timed out"))),
        }
    }

    /// Stores a configuration: whether it is new, and the connector with it; none if another one came between.
    async fn store(
        &self,
        name: &str,
        config: Properties,
        replaces: Replaces,
    ) -> Result<Option<(bool, Arc<ConnectorView>)>, Refusal> {
        let answer = self.ask(Request::Put { name: name.to_owned(), config, replaces }).await?;
        let Answer::Stored(new) = answer else { return Ok(None) };
        let gone = || Refusal::Conflict(format!("Connector {name} was removed meanwhile"));
        self.get(name).map(|view| Some((new, view))).ok_or_else(gone)
    }

    /// Checks a configuration as a whole before it is stored.
    async fn check(&self, config: &Submitted) -> Result<Properties, Refusal> {
        let infos = self.validate(config).await?;
        if infos.error_count() > 0 {
            return Err(Refusal::BadRequest(invalid_config(&infos)));
        }
        Ok(config.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect())
    }

    /// Puts what is stored in place of passwords that were shown hidden.
    fn unmask(&self, name: &str, config: &mut Submitted) {
        if !self.context.config.config.mask_secrets {
            return;
        }
        let Some(stored) = self.get(name) else { return };
        for key in self.validator().password_keys(&stored.config) {
            if let Some(Some(value)) = config.get_mut(&key)
                && value == HIDDEN
                && let Some(old) = stored.config.get(&key)
            {
                value.clone_from(old);
            }
        }
    }

    async fn put(
        &self,
        name: &str,
        mut config: Submitted,
        replaces: Replaces,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal> {
        if let Some(Some(own)) = config.get("name")
            && own != name
        {
            return Err(Refusal::BadRequest(format!(
                "Connector name configuration ({own}) doesn't match connector name in the URL ({name})"
            )));
        }
        config.entry("name".into()).or_insert_with(|| Some(name.to_owned()));
        self.unmask(name, &mut config);
        let config = self.check(&config).await?;
        let changed = || Refusal::Conflict("another change came between".into());
        self.store(name, config, replaces).await?.ok_or_else(changed)
    }
}

#[async_trait]
impl Herder for DistributedHerder {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn plugins(&self) -> Vec<PluginInfo> {
        plugins::list(&self.context.registry)
    }

    fn plugin_config(
        &self,
        plugin: &str,
        version: Option<&str>,
    ) -> Result<Vec<ConfigKey>, Refusal> {
        plugins::keys(&self.context.registry, plugin, version)
    }

    /// Bounded: a connector may ask a system that never answers.
    async fn validate(&self, config: &Submitted) -> Result<ConfigInfos, Refusal> {
        let late = |_| Refusal::Failed(Error::connection("Request timed out"));
        timeout(REQUEST_TIMEOUT, self.validator().validate(config)).await.map_err(late)?
    }

    fn shown(&self, config: &Properties) -> Properties {
        let mut shown = config.clone();
        if self.context.config.config.mask_secrets {
            for key in self.validator().password_keys(config) {
                shown.insert(key, HIDDEN.to_owned());
            }
        }
        shown
    }

    fn connectors(&self) -> Arc<Connectors> {
        Arc::clone(&self.view.borrow())
    }

    async fn create(
        &self,
        name: &str,
        config: Submitted,
        initial: TargetState,
    ) -> Result<Arc<ConnectorView>, Refusal> {
        self.put(name, config, Replaces::Nothing(initial)).await.map(|(_, view)| view)
    }

    async fn put_config(
        &self,
        name: &str,
        config: Submitted,
    ) -> Result<(bool, Arc<ConnectorView>), Refusal> {
        self.put(name, config, Replaces::Anything).await
    }

    async fn patch_config(
        &self,
        name: &str,
        mut patch: Submitted,
    ) -> Result<Arc<ConnectorView>, Refusal> {
        self.unmask(name, &mut patch);
        loop {
            let old = self.known(name, format!("Connector {name} not found"))?;
            let mut merged: Submitted =
                old.config.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
            for (key, value) in &patch {
                match value {
                    Some(value) => drop(merged.insert(key.clone(), Some(value.clone()))),
                    None => drop(merged.remove(key)),
                }
            }
            let config = self.check(&merged).await?;
            let replaces = Replaces::Exactly(old.config.clone());
            if let Some((_, view)) = self.store(name, config, replaces).await? {
                return Ok(view);
            }
        }
    }

    async fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.ask(Request::Delete { name: name.to_owned() }).await.map(drop)
    }

    async fn set_target(&self, name: &str, target: TargetState) -> Result<(), Refusal> {
        self.ask(Request::Target { name: name.to_owned(), target }).await.map(drop)
    }

    async fn restart(&self, name: &str, what: Restart) -> Result<ConnectorView, Refusal> {
        let unknown = || Refusal::NotFound(format!("Unknown connector: {name}"));
        let mut plan = (*self.get(name).ok_or_else(unknown)?).clone();
        let answer = self.ask(Request::Restart { name: name.to_owned(), what }).await?;
        let Answer::Restarted { instance, tasks } = answer else { return Ok(plan) };
        let instance = plan.status.as_mut().filter(|_| instance);
        let tasks = plan.task_status.iter_mut().filter(|(task, _)| tasks.contains(task));
        for status in instance.into_iter().chain(tasks.map(|(_, status)| status)) {
            status.state = State::Restarting;
        }
        Ok(plan)
    }

    async fn restart_task(&self, name: &str, task: u32) -> Result<(), Refusal> {
        self.ask(Request::RestartTask { name: name.to_owned(), task }).await.map(drop)
    }

    fn topics(&self, name: &str) -> Result<BTreeSet<String>, Refusal> {
        if !self.context.config.config.topic_tracking {
            return Err(Refusal::Forbidden("Topic tracking is disabled.".into()));
        }
        Ok(self.get(name).map(|view| view.topics.clone()).unwrap_or_default())
    }

    async fn reset_topics(&self, name: &str) -> Result<(), Refusal> {
        if !self.context.config.config.topic_tracking {
            return Err(Refusal::Forbidden("Topic tracking is disabled.".into()));
        }
        if !self.context.config.config.topic_tracking_reset {
            return Err(Refusal::Forbidden("Topic tracking reset is disabled.".into()));
        }
        self.ask(Request::ResetTopics { name: name.to_owned() }).await.map(drop)
    }

    async fn offsets(&self, name: &str) -> Result<Vec<PartitionOffset>, Refusal> {
        let view = self.known(name, format!("Connector {name} not found"))?;
        offsets::read(&self.context, name, &view.config).await
    }

    async fn alter_offsets(
        &self,
        name: &str,
        offsets: Option<Vec<PartitionOffset>>,
    ) -> Result<bool, Refusal> {
        let change = |o: PartitionOffset| (o.partition, Some(o.offset).filter(|o| !o.is_null()));
        let offsets = offsets.map(|all| all.into_iter().map(change).collect());
        let answer = self.ask(Request::Alter { name: name.to_owned(), offsets }).await?;
        Ok(answer == Answer::Altered(true))
    }

    fn loggers(&self) -> &Loggers {
        &self.loggers
    }

    async fn set_cluster_level(&self, logger: &str, level: Level) -> Result<(), Refusal> {
        let logger = logger.to_owned();
        self.ask(Request::Level { logger, level }).await.map(drop)
    }
}
