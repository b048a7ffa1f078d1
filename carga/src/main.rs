//! carga on Cassandra and Kafka.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use carga::{Carga, CassandraStore, Config};
use connect_core_kafka::KafkaTransport;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let result = Runtime::new().context("cannot start the runtime").and_then(|runtime| {
        let result = runtime.block_on(run());
        // A call to brokers that are away would hold the end up.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carga: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let config = Config::read(std::env::vars(), std::env::args().skip(1))?;
    let transport = KafkaTransport::new(&config.bootstrap_servers(), &Default::default())?;
    let store = Arc::new(CassandraStore::new(config.cassandra()));
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    let carga = Carga::bind(config.options(), store, Arc::new(transport)).await?;
    tracing::info!(address = %carga.address(), "listening");
    Ok(carga.run(shutdown).await?)
}
