//! `sync`: the service on Kafka.

use std::{process::ExitCode, sync::Arc};

use connect_core_kafka::KafkaTransport;
use sync::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const USAGE: &str = "\
usage: sync [--resolve host:port:addr:port]...

Upserts the messages of a topic into a PostgreSQL table. Configured by the environment:
SYNC_LISTEN, SYNC_TOPIC, SYNC_DLQ_TOPIC, SYNC_TABLE, KAFKA_BOOTSTRAP_SERVERS,
KAFKA_GROUP_ID, PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, RESOLVE.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sync: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    use lexopt::{Arg, ValueExt};
    let mut resolve = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("resolve") => resolve.push(parser.value()?.string()?),
            Arg::Short('h') | Arg::Long("help") => {
                print!("{USAGE}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let config = Config::from_env(|name| std::env::var(name).ok(), &resolve)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    let servers = config.resolve.rewrite(&config.bootstrap_servers);
    let transport = KafkaTransport::new(&servers, &Default::default())?;
    sync::run(config, Arc::new(transport), stop).await
}
