//! The whole system in one process on the embedded log: carga, sync and a worker. `cargo xtask demo` runs it.
//!
//! Each record that passes a stop is told on standard output, a JSON line each:
//! `{"stop":"store"|"log","at_ms":...,"topic":...,"record":...}`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use api::{RunningWorker, WorkerOptions};
use connect_core::{
    config::Properties,
    sink::Offsets,
    transport::{Consumer, ConsumerOptions, Fetch, Subscription, Transport},
};
use connect_core_log::EmbeddedLog;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{Event, Subscriber, field::Visit};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::Context, layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Topics whose records are told.
const TOPICS: &str = "carga_topic|postgres-.*|espelho-.*";
/// Target of carga's events of this kind.
const STOPS: &str = "ferrovia::stop";

struct Arguments {
    data: PathBuf,
    carga: u16,
    sync: u16,
    connect: u16,
    resolve: Vec<String>,
}

fn arguments() -> anyhow::Result<Arguments> {
    use lexopt::{Arg, ValueExt};
    let mut parsed = Arguments {
        data: "ferrovia-data".into(),
        carga: 8000,
        sync: 3000,
        connect: 8083,
        resolve: vec![],
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("data") => parsed.data = parser.value()?.into(),
            Arg::Long("carga-port") => parsed.carga = parser.value()?.parse()?,
            Arg::Long("sync-port") => parsed.sync = parser.value()?.parse()?,
            Arg::Long("connect-port") => parsed.connect = parser.value()?.parse()?,
            Arg::Long("resolve") => parsed.resolve.push(parser.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(parsed)
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let stops = Stops.with_filter(filter_fn(|metadata| metadata.target() == STOPS));
    tracing_subscriber::registry().with(logs).with(stops).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("system: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let arguments = arguments()?;
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let log: Arc<dyn Transport> = Arc::new(EmbeddedLog::open(arguments.data.join("log"))?);

    let store = Arc::new(carga::EmbeddedStore::open(arguments.data.join("carga.db"))?);
    let options = carga::Options {
        listen: format!("127.0.0.1:{}", arguments.carga),
        ..carga::Options::default()
    };
    let carga = carga::Carga::bind(options, store, Arc::clone(&log)).await?;
    let mut carga = tokio::spawn(carga.run(stop.clone().cancelled_owned()));

    let listen = format!("127.0.0.1:{}", arguments.sync);
    let variable = |name: &str| match name {
        "SYNC_LISTEN" => Some(listen.clone()),
        // The password of the user's own compose file, unless the environment has another.
        "PGPASSWORD" => std::env::var(name).ok().or_else(|| Some("password".into())),
        name => std::env::var(name).ok(),
    };
    let config = sync::Config::from_env(variable, &arguments.resolve)?;
    let mut sync = tokio::spawn(sync::run(config, Arc::clone(&log), stop.clone()));

    let properties = Properties::from([
        ("listeners".into(), format!("http://127.0.0.1:{}", arguments.connect)),
        ("resolve".into(), arguments.resolve.join(",")),
        ("key.converter.schemas.enable".into(), "false".into()),
        ("value.converter.schemas.enable".into(), "false".into()),
    ]);
    let registry = connectors::registry();
    let transport = Some(Arc::clone(&log));
    let worker = RunningWorker::start(WorkerOptions {
        properties,
        registry,
        transport,
        loggers: Arc::default(),
    })
    .await?;
    let mut followed = tokio::spawn(follow(log));

    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = &mut carga => Some(ended?.map_err(anyhow::Error::from)),
        ended = &mut sync => Some(ended?),
        ended = &mut followed => Some(ended?.map_err(anyhow::Error::from)),
    };
    followed.abort();
    worker.shut_down().await;
    stop.cancel();
    if let Some(result) = ended {
        return result;
    }
    carga.await??;
    sync.await?
}

fn tell(stop: &str, topic: Option<&str>, record: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    println!(
        "{}",
        json!({"stop": stop, "at_ms": now.as_millis() as u64, "topic": topic, "record": record})
    );
}

/// Tells of each record that the log has.
async fn follow(log: Arc<dyn Transport>) -> connect_core::error::Result<()> {
    let options = ConsumerOptions {
        group: "system-stops".into(),
        client_id: "system".into(),
        subscription: Subscription::Pattern(TOPICS.into()),
        max_messages: 100,
        properties: BTreeMap::new(),
    };
    let mut consumer: Box<dyn Consumer> = log.consumer(options).await?;
    loop {
        let Fetch::Messages(parts) = consumer.fetch().await? else { continue };
        let mut next = Offsets::new();
        for part in parts {
            for (offset, message) in part.messages {
                let value = message.value.unwrap_or_default();
                tell("log", Some(&part.origin.topic), &String::from_utf8_lossy(&value));
                next.insert(part.origin.clone(), offset + 1);
            }
        }
        consumer.commit(&next).await?;
    }
}

/// Tells of each record that carga has stored.
struct Stops;

impl<S: Subscriber> Layer<S> for Stops {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let field = |name| fields.0.get(name).map(String::as_str).unwrap_or_default();
        if field("stop") == "store" {
            let record = json!({"id": field("id"), "valor": field("valor")});
            tell("store", None, &record.to_string());
        }
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
