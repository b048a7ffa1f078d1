//! Runs what the herder decides: connector instances, and source and sink tasks, each in a task of its own that
//! ends when its token is cancelled.

mod chain;
mod codec;
mod connector;
mod deliver;
mod lease;
mod sink_reader;
mod sink_task;
mod source_batch;
mod source_limits;
mod source_task;
mod topics;
mod transactions;

use std::{collections::HashMap, sync::Arc, time::Duration};

use connect_core::{
    config::Properties,
    error::{Error, Result},
    plugin::{Plugin, PluginType},
    registry::Registry,
    transport::Transport,
};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, ConnectorConfig, below},
    errors::Classes,
    herder::{Command, Observed},
    providers::Providers,
    storage::{OffsetStore, Subject},
};

pub(crate) use lease::Lease;
pub(crate) use topics::TopicTracker;

/// Pause after a retriable error of a source, a start or a listing; doubles.
const BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// Beyond the graceful time-out, before what doesn't end is given up.
const MARGIN: Duration = Duration::from_secs(1);

/// What every connector and task is given.
pub(crate) struct Context {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) registry: Registry,
    pub(crate) config: config::Worker,
    pub(crate) providers: Providers,
    pub(crate) offsets: OffsetStore,
    pub(crate) observed: UnboundedSender<Observed>,
    pub(crate) topics: TopicTracker,
    pub(crate) lease: Lease,
    /// For the leader, who may be elsewhere.
    pub(crate) requests: mpsc::Sender<Command>,
}

impl Context {
    fn observe(&self, observed: Observed) {
        // The herder has gone: the worker is ending, and nobody asks for statuses any more.
        let _ = self.observed.send(observed);
    }

    /// The plugin of a connector's configuration.
    pub(crate) fn plugin(&self, config: &Properties) -> Result<Arc<dyn Plugin>> {
        let class = config.get("connector.class").map(String::as_str).unwrap_or_default();
        self.registry.find(class, config).ok_or_else(|| {
            Error::config(format!(
                "Failed to find any class that implements Connector and which name matches {class}"
            ))
        })
    }
}

/// The consumer group of a sink (`org.apache.kafka.connect.util.SinkUtils.consumerGroupId`).
pub(crate) fn consumer_group(worker: &config::Worker, name: &str, config: &Properties) -> String {
    let own = config.get("consumer.override.group.id");
    let own = own.or_else(|| worker.properties.get("consumer.group.id"));
    own.cloned().unwrap_or_else(|| format!("connect-{name}"))
}

/// Settings of a task's client: the worker's, and the connector's on top.
fn client_properties(context: &Context, client: &str, config: &Properties) -> Properties {
    let mut properties = below(&context.config.properties, &format!("{client}."));
    properties.extend(below(config, &format!("{client}.override.")));
    properties
}

/// The log as the client sees it that creates a connector's topics (`admin.override.`); none where it has no settings of
/// its own.
async fn administrator(
    context: &Context,
    config: &Properties,
) -> Result<Option<Box<dyn Transport>>> {
    context.transport.administrator(&below(config, "admin.override.")).await
}

/// What the records of a task go through.
fn classes(context: &Context, common: &ConnectorConfig) -> Classes {
    let worker = &context.config.config;
    let name = |own: &Option<String>, default: &String| own.as_ref().unwrap_or(default).clone();
    Classes {
        key_converter: name(&common.key_converter, &worker.key_converter),
        value_converter: name(&common.value_converter, &worker.value_converter),
        header_converter: name(&common.header_converter, &worker.header_converter),
        task: connector::task_class(&context.registry, &common.class),
    }
}

struct Running {
    stop: CancellationToken,
    /// Cancelled when it has ended.
    ended: CancellationToken,
    done: JoinHandle<()>,
}

/// Holds what runs.
pub(crate) struct Worker {
    context: Arc<Context>,
    running: HashMap<Subject, Running>,
}

impl Worker {
    pub(crate) fn new(context: Context) -> Self {
        Self { context: Arc::new(context), running: HashMap::new() }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn shared_context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    /// A token that is cancelled when what runs under the subject has ended, if something does.
    pub(crate) fn ended(&self, subject: &Subject) -> Option<CancellationToken> {
        self.running.get(subject).map(|running| running.ended.clone())
    }

    /// Tells everything to stop; the tokens are cancelled when it has ended.
    pub(crate) fn stop_all(&mut self) -> Vec<CancellationToken> {
        self.running.values().for_each(|running| running.stop.cancel());
        self.running.values().map(|running| running.ended.clone()).collect()
    }

    /// Starts a connector or task, after the one that runs under the same subject has ended.
    pub(crate) fn start(&mut self, subject: Subject, run: u64, config: Properties) {
        self.stop(&subject);
        let previous = self.running.remove(&subject);
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let (context, token, key) = (Arc::clone(&self.context), stop.clone(), subject.clone());
        let guard = ended.clone().drop_guard();
        let done = tokio::spawn(async move {
            let _guard = guard;
            if let Some(previous) = previous {
                // It reports its own panics.
                let _ = previous.done.await;
            }
            let runner = Runner { context, subject: key, run, stop: token };
            runner.run(config).await;
        });
        self.running.insert(subject, Running { stop, ended, done });
    }

    /// Tells it to stop; it ends when what it has in hand is durable.
    pub(crate) fn stop(&mut self, subject: &Subject) {
        if let Some(running) = self.running.get(subject) {
            running.stop.cancel();
        }
        self.running.retain(|_, running| !running.done.is_finished());
    }

    /// Stops everything and waits, at most for the graceful time-out.
    pub(crate) async fn shut_down(&mut self) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        let graceful = self.context.config.config.shutdown_timeout.get() + Duration::from_secs(1);
        let all = futures_util::future::join_all(self.running.drain().map(|(_, r)| r.done));
        if timeout(graceful, all).await.is_err() {
            tracing::warn!("tasks did not stop in time; what they had in hand will be read again");
        }
    }
}

/// One start of a connector or task.
struct Runner {
    context: Arc<Context>,
    subject: Subject,
    run: u64,
    stop: CancellationToken,
}

impl Runner {
    async fn run(self, config: Properties) {
        let (Subject::Connector(name) | Subject::Task(name, _)) = &self.subject;
        tracing::info!(connector = %name, subject = ?self.subject, "starting");
        // In a task of its own: a panic in a plugin fails that plugin, and says so.
        let runner = Arc::new(self);
        let inner = Arc::clone(&runner);
        let mut serving = tokio::spawn(async move { inner.serve(config).await });
        let result = tokio::select! {
            result = &mut serving => result,
            () = runner.overdue() => {
                serving.abort();
                tracing::warn!(
                    subject = ?runner.subject,
                    "did not stop within task.shutdown.graceful.timeout.ms; what it had in hand will be read again"
                );
                Ok(Ok(()))
            }
        };
        let error = match result {
            Ok(Ok(())) => {
                tracing::info!(subject = ?runner.subject, "stopped");
                let subject = runner.subject.clone();
                return runner.context.observe(Observed::Ended { subject, run: runner.run });
            }
            Ok(Err(error)) => error,
            Err(panic) => Error::internal("the plugin panicked").with_source(panic),
        };
        tracing::error!(subject = ?runner.subject, error = %error.trace().trim_end(), "failed");
        let (subject, trace) = (runner.subject.clone(), error.trace());
        runner.context.observe(Observed::Failed { subject, run: runner.run, trace });
    }

    /// Resolves when it should have ended by now.
    async fn overdue(&self) {
        self.stop.cancelled().await;
        // The loops know the time-out themselves; this is for what does not even look.
        sleep(self.context.config.config.shutdown_timeout.get() * 2 + MARGIN).await;
    }

    /// The configuration with what its variables stand for, and where host names lead.
    fn plugin_properties(&self, config: &Properties) -> Result<Properties> {
        let resolved = self.context.providers.resolve_all(config)?;
        Ok(self.context.config.plugin_properties(&resolved))
    }

    async fn serve(&self, config: Properties) -> Result<()> {
        let plugin = self.context.plugin(&config)?;
        match (&self.subject, plugin.ty()) {
            (Subject::Connector(_), _) => connector::run(self, &*plugin, config).await,
            (Subject::Task(name, task), PluginType::Source) => {
                source_task::run(self, &*plugin, name, *task, config).await
            }
            (Subject::Task(name, task), PluginType::Sink) => {
                sink_task::run(self, &*plugin, name, *task, config).await
            }
        }
    }

    fn running(&self, plugin: &dyn Plugin) {
        let (subject, version) = (self.subject.clone(), plugin.version().to_owned());
        self.context.observe(Observed::Running { subject, run: self.run, version });
    }

    /// Has the status say what is to be known; nothing takes it back.
    fn notice(&self, notice: Option<String>) {
        let (subject, trace) = (self.subject.clone(), notice.unwrap_or_default());
        self.context.observe(Observed::Notice { subject, run: self.run, trace });
    }

    /// Tries until it works, fails for good, or is told to stop (then none).
    async fn retrying<T, F>(
        &self,
        what: &'static str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<Option<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let mut backoff = Backoff::default();
        loop {
            let result = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                result = attempt() => result,
            };
            match result {
                Err(error) if error.is_retriable() => {
                    tracing::warn!(subject = ?self.subject, %error, "{what} failed; trying again");
                    tokio::select! {
                        () = self.stop.cancelled() => return Ok(None),
                        () = backoff.pause() => {}
                    }
                }
                result => return result.map(Some),
            }
        }
    }
}

/// Growing pauses between attempts.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(MAX_BACKOFF);
        pause
    }
    async fn pause(&mut self) {
        sleep(self.next()).await;
    }
}
