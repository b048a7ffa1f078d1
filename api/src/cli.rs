//! The command line of a worker, for our own binary and for those that people make with plugins of their own.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use connect_core::{config::Properties, registry::Registry};
use connect_core_runtime::loggers::Loggers;
use tokio::signal::unix::{SignalKind, signal};

use crate::{RunningWorker, WorkerOptions, logging, worker_properties};

const USAGE: &str = "\
usage: connect worker [FILE.properties] [--resolve host:port:addr:port]...

Runs a Kafka Connect worker. FILE.properties has Kafka Connect's own keys; CONNECT_*
variables are put on top, as the container images do. Without bootstrap.servers the
worker runs on an embedded log in log.dir.

  --resolve host:port:addr:port   connect to addr:port where a configuration says host:port
  --version                       print the version
";

struct Arguments {
    file: Option<PathBuf>,
    resolve: Vec<String>,
}

/// What the command line says; none if it asks for help or the version.
fn arguments() -> anyhow::Result<Option<Arguments>> {
    use lexopt::{Arg, ValueExt};
    let mut parser = lexopt::Parser::from_env();
    let mut arguments = Arguments { file: None, resolve: Vec::new() };
    let mut command = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => {
                print!("{USAGE}");
                return Ok(None);
            }
            Arg::Short('V') | Arg::Long("version") => {
                println!("connect {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            Arg::Long("resolve") => arguments.resolve.push(parser.value()?.string()?),
            Arg::Value(value) if command.is_none() => command = Some(value.string()?),
            Arg::Value(value) if arguments.file.is_none() => arguments.file = Some(value.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    match command.as_deref() {
        Some("worker") => Ok(Some(arguments)),
        Some(other) => anyhow::bail!("unknown command {other}\n\n{USAGE}"),
        None => anyhow::bail!("no command\n\n{USAGE}"),
    }
}

/// The whole of a worker's `main`: reads the command line, and runs until told to stop.
pub fn main(registry: Registry) -> ExitCode {
    let result = arguments().and_then(|arguments| match arguments {
        Some(arguments) => run(arguments, registry),
        None => Ok(()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connect: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments, registry: Registry) -> anyhow::Result<()> {
    let mut properties = worker_properties(arguments.file.as_deref(), std::env::vars())?;
    let configured = properties.get("log4j.root.loglevel").map_or("info", String::as_str);
    let loggers = match std::env::var("RUST_LOG") {
        Ok(directives) => logging::start(&directives)?,
        Err(_) => logging::start(configured)?,
    };
    if !arguments.resolve.is_empty() {
        let mut all = arguments.resolve;
        all.extend(properties.remove("resolve"));
        properties.insert("resolve".into(), all.join(","));
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(properties, registry, loggers))
}

async fn serve(
    properties: Properties,
    registry: Registry,
    loggers: Arc<Loggers>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let options = WorkerOptions { properties, registry, transport: None, loggers };
    let worker = tokio::select! {
        worker = RunningWorker::start(options) => worker?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    worker.shut_down().await;
    Ok(())
}
