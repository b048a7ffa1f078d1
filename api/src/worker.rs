//! A worker: the log that its configuration names, a herder on it, and the REST API in front.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Extension;
use connect_core::{
    config::{Properties, parse},
    registry::Registry,
    transport::Transport,
};
use connect_core_kafka::KafkaTransport;
use connect_core_log::EmbeddedLog;
use connect_core_runtime::{
    config::{Worker, below},
    herder::{DistributedHerder, Options},
    loggers::Loggers,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    Part, extract, listen,
    rest_config::RestConfig,
    router,
    security::Security,
    tls::{self, TlsListener},
};

/// Directory of the embedded log, where `log.dir` isn't given.
const LOG_DIR: &str = "ferrovia-log";

/// Pause before the log is tried again at the start.
const START_PAUSE: Duration = Duration::from_secs(1);

/// A sink that has read nothing for this long is idle.
const IDLE: Duration = Duration::from_secs(30);

/// How long connections may take to end when the worker stops.
const CLOSING: Duration = Duration::from_secs(1);

/// What a worker is made of.
pub struct WorkerOptions {
    /// Its properties.
    pub properties: Properties,
    /// The connectors that it can run.
    pub registry: Registry,
    /// The log to run on; none opens what the properties name.
    pub transport: Option<Arc<dyn Transport>>,
    /// The process's loggers; the default has nothing to change.
    pub loggers: Arc<Loggers>,
}

/// A worker that answers requests.
pub struct RunningWorker {
    herder: Arc<DistributedHerder>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    addresses: Vec<SocketAddr>,
}

impl RunningWorker {
    /// Starts a worker; on return it answers.
    ///
    /// # Errors
    /// If the configuration is wrong, the log cannot be reached, or a listener cannot be bound.
    pub async fn start(options: WorkerOptions) -> anyhow::Result<Self> {
        let mut config = Worker::parse(options.properties)?;
        let rest = rest_config(&config.properties)?;
        let security = Security::open(&rest)?;
        // Before anything else: a port that is taken should not cost a start.
        let mut listeners = Vec::new();
        for (uri, part) in parts(&config, &rest) {
            let (listener, tls) = listen::bind(uri).await?;
            let tls = tls.then(|| tls::server_config(&rest)).transpose()?;
            listeners.push((listener, tls, part));
        }
        // So that statuses name a port that the system has chosen.
        if config.config.advertised_port.is_none()
            && let Some((listener, ..)) = listeners.first()
        {
            config.config.advertised_port = Some(listener.local_addr()?.port());
        }
        let transport = match options.transport {
            Some(transport) => transport,
            None => open_transport(&config)?,
        };
        let herder =
            Arc::new(start_herder(config, transport, options.registry, options.loggers).await?);
        let stop = CancellationToken::new();
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for (listener, tls, part) in listeners {
            let address = listener.local_addr()?;
            tracing::info!(%address, tls = tls.is_some(), "REST API listening");
            addresses.push(address);
            let app = security.around(router(Arc::clone(&herder) as _, part));
            let stopped = stop.clone().cancelled_owned();
            servers.push(match tls {
                None => {
                    let server = axum::serve(listener, app).with_graceful_shutdown(stopped);
                    tokio::spawn(server.into_future())
                }
                Some(tls) => {
                    let listener = TlsListener::new(listener, tls)?;
                    let app = app.layer(Extension(extract::Tls));
                    let server = axum::serve(listener, app).with_graceful_shutdown(stopped);
                    tokio::spawn(server.into_future())
                }
            });
        }
        Ok(Self { herder, stop, servers, addresses })
    }

    /// Where the REST API listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops taking requests, makes what is in flight durable, and commits offsets.
    pub async fn shut_down(self) {
        self.stop.cancel();
        self.herder.shut_down().await;
        for mut server in self.servers {
            // Connections that are idle close at once; a client that keeps one open must not keep the worker.
            if timeout(CLOSING, &mut server).await.is_err() {
                server.abort();
            }
        }
    }
}

/// The REST API's keys; those of `listeners.https.` win over those that the Kafka clients share.
fn rest_config(properties: &Properties) -> anyhow::Result<RestConfig> {
    let mut own = properties.clone();
    own.extend(below(properties, "listeners.https."));
    Ok(parse(&own)?)
}

/// The listeners with what each of them serves.
fn parts<'a>(config: &'a Worker, rest: &'a RestConfig) -> Vec<(&'a String, Part)> {
    let admin = config.properties.contains_key("admin.listeners");
    let normal = if admin { Part::Connectors } else { Part::All };
    let admins = rest.admin_listeners.iter().flatten().map(|uri| (uri, Part::Admin));
    config.config.listeners.iter().map(|uri| (uri, normal)).chain(admins).collect()
}

/// Starts the herder, as soon as the log can be reached: brokers and workers are often started together.
async fn start_herder(
    config: Worker,
    transport: Arc<dyn Transport>,
    registry: Registry,
    loggers: Arc<Loggers>,
) -> anyhow::Result<DistributedHerder> {
    loop {
        let (config, registry) = (config.clone(), registry.clone());
        let (transport, loggers) = (Arc::clone(&transport), Arc::clone(&loggers));
        let options = Options { config, transport, registry, loggers };
        match DistributedHerder::start(options).await {
            Err(error) if error.is_retriable() => {
                tracing::warn!(error = %error.trace().trim_end(), "cannot start yet; trying again");
                tokio::time::sleep(START_PAUSE).await;
            }
            started => return started.context("cannot start the worker"),
        }
    }
}

fn open_transport(config: &Worker) -> anyhow::Result<Arc<dyn Transport>> {
    match &config.config.bootstrap_servers {
        Some(servers) => Ok(Arc::new(open_kafka(config, servers)?)),
        None => {
            let dir = config.config.log_dir.as_deref().unwrap_or(LOG_DIR);
            let log = EmbeddedLog::open(Path::new(dir));
            Ok(Arc::new(log.with_context(|| format!("cannot open the embedded log in {dir}"))?))
        }
    }
}

/// The clients of the brokers at `servers`, as the worker's properties want them.
pub(crate) fn open_kafka(config: &Worker, servers: &str) -> anyhow::Result<KafkaTransport> {
    let servers = config.config.resolve.rewrite(servers);
    let (shared, admin) = (config.client_properties(), config.admin_properties());
    let transport = KafkaTransport::with_admin(&servers, &shared, &admin);
    let transport = transport.context("cannot set up the Kafka clients")?;
    Ok(match usize::try_from(config.config.idle_consumers) {
        Ok(most) => transport.with_idle(most, IDLE),
        Err(_) => transport,
    })
}
