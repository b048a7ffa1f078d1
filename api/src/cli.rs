//! The command line of a worker, for our own binary and for those that people make with plugins of their own.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use connect_core::{config::Properties, registry::Registry};
use connect_core_runtime::loggers::Loggers;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{RunningWorker, WorkerOptions, doctor, logging, memory, worker_properties};

/// What a command ends with that could not even be read.
const USAGE_ERROR: u8 = 2;

const USAGE: &str = "\
usage: connect worker [FILE.properties] [--resolve host:port:addr:port]...
       connect doctor [FILE.properties] [--json] [--resolve host:port:addr:port]...

worker: runs a Kafka Connect worker. FILE.properties has Kafka Connect's own keys;
CONNECT_* variables are put on top, as the container images do. Without
bootstrap.servers the worker runs on an embedded log in log.dir.

doctor: says, without writing anything, whether the cluster of FILE.properties can be
taken over from Kafka Connect on the JVM. Ends with 0 if all of it can, with 1 if not,
with 2 if it could not look.

  --resolve host:port:addr:port   connect to addr:port where a configuration says host:port
  --json                          the doctor's findings as JSON
  --version                       print the version
";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Worker,
    Doctor,
}

struct Arguments {
    verb: Verb,
    file: Option<PathBuf>,
    resolve: Vec<String>,
    json: bool,
}

impl Arguments {
    /// The worker's properties, with what the command line adds.
    fn properties(&self) -> anyhow::Result<Properties> {
        let mut properties = worker_properties(self.file.as_deref(), std::env::vars())?;
        if !self.resolve.is_empty() {
            let mut all = self.resolve.clone();
            all.extend(properties.remove("resolve"));
            properties.insert("resolve".into(), all.join(","));
        }
        Ok(properties)
    }
}

/// What the command line says; none if it asks for help or the version.
fn arguments() -> anyhow::Result<Option<Arguments>> {
    use lexopt::{Arg, ValueExt};
    let mut parser = lexopt::Parser::from_env();
    let (mut file, mut resolve, mut json) = (None, Vec::new(), false);
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
            Arg::Long("resolve") => resolve.push(parser.value()?.string()?),
            Arg::Long("json") => json = true,
            Arg::Value(value) if command.is_none() => command = Some(value.string()?),
            Arg::Value(value) if file.is_none() => file = Some(value.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    let verb = match command.as_deref() {
        Some("worker") if json => anyhow::bail!("--json is the doctor's\n\n{USAGE}"),
        Some("worker") => Verb::Worker,
        Some("doctor") => Verb::Doctor,
        Some(other) => anyhow::bail!("unknown command {other}\n\n{USAGE}"),
        None => anyhow::bail!("no command\n\n{USAGE}"),
    };
    Ok(Some(Arguments { verb, file, resolve, json }))
}

/// The whole of a worker's `main`: reads the command line, and runs until told to stop.
pub fn main(registry: Registry) -> ExitCode {
    let (result, failure) = match arguments() {
        Ok(None) => (Ok(ExitCode::SUCCESS), ExitCode::FAILURE),
        Ok(Some(arguments)) if arguments.verb == Verb::Doctor => {
            (examine(&arguments, registry), doctor::COULD_NOT_LOOK.into())
        }
        Ok(Some(arguments)) => (run(&arguments, registry), ExitCode::FAILURE),
        Err(error) => (Err(error), USAGE_ERROR.into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("connect: {error:#}");
        failure
    })
}

fn run(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    let properties = arguments.properties()?;
    let configured = properties.get("log4j.root.loglevel").map_or("info", String::as_str);
    let loggers = match std::env::var("RUST_LOG") {
        Ok(directives) => logging::start(&directives)?,
        Err(_) => logging::start(configured)?,
    };
    end(runtime()?, serve(properties, registry, loggers))?;
    Ok(ExitCode::SUCCESS)
}

fn examine(arguments: &Arguments, registry: Registry) -> anyhow::Result<ExitCode> {
    let properties = arguments.properties()?;
    end(runtime()?, doctor::run(properties, registry, arguments.json))
}

/// Runs to the end, without waiting for what still waits for a broker that doesn't answer.
fn end<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
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
    tokio::spawn(memory::give_back());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    worker.shut_down().await;
    Ok(())
}
