//! The program `system`: carga, sync and the worker in one process, which says on its standard output where records pass.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::interrupt::wait;
use xtask::{http, screen};
use xtask_servers::{MariaDb, Postgres, Process};

/// Port of carga.
pub(super) const CARGA: u16 = 8000;
/// Port of sync.
pub(super) const SYNC: u16 = 3000;
/// Port of the worker's REST API.
pub(super) const CONNECT: u16 = 8083;

/// A record seen at a stop.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    /// When we heard of it.
    pub(super) at: Instant,
    /// `store`, `log`, …
    pub(super) stop: String,
    /// The topic, at a log.
    pub(super) topic: Option<String>,
    /// The record, as JSON.
    pub(super) record: String,
}

/// The running program.
pub(super) struct System {
    process: Process,
    passages: Arc<Mutex<Vec<Passage>>>,
}

impl System {
    /// Starts it with its data and log in `dir`, and returns when its three services answer.
    pub(super) fn start(
        program: &Path,
        dir: &Path,
        source: &Postgres,
        target: &MariaDb,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--data").arg(dir.join("system"));
        command.args(["--carga-port", &CARGA.to_string(), "--sync-port", &SYNC.to_string()]);
        command.args(["--connect-port", &CONNECT.to_string()]);
        for (host, address) in
            [("postgres-db:5432", source.address()), ("mysql-db:3306", target.address())]
        {
            command.args(["--resolve", &format!("{host}:{address}")]);
        }
        let mut process = Process::spawn_piped("the system", &command, &dir.join("system.log"))?;
        let output = process.take_stdout().context("the system without output")?;
        let passages = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&passages);
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Lines of other kinds are for people.
            lines.filter_map(|line| passage(&line)).for_each(|passage| lock(&heard).push(passage));
        });
        let mut system = Self { process, passages };
        let spinner = screen::spinner("starting carga, sync and the worker");
        for (port, name) in [(CARGA, "carga"), (SYNC, "sync"), (CONNECT, "the worker")] {
            let url = format!("http://127.0.0.1:{port}/health");
            wait(&format!("{name} to answer {url}"), Duration::from_secs(60), || {
                system.check()?;
                Ok(http::get(&url).ok().filter(|reply| reply.status == 200))
            })?;
        }
        spinner.finish_and_clear();
        Ok(system)
    }

    /// Fails, with its last words, when it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.process.exited()? {
            None => Ok(()),
            Some(status) => bail!("the system ended with {status}; {}", self.process.last_words()),
        }
    }

    /// The first passage since `start` of a record that holds `text`, at the stop (and topic).
    pub(super) fn passage(
        &self,
        start: Instant,
        stop: &str,
        topic: &str,
        text: &str,
    ) -> Option<Passage> {
        let passages = lock(&self.passages);
        let mut passages = passages.iter().filter(|p| p.at >= start && p.stop == stop);
        let found = passages
            .find(|p| p.topic.as_deref().is_none_or(|t| t == topic) && p.record.contains(text));
        found.cloned()
    }

    /// Ends it as Ctrl-C would.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.terminate(Duration::from_secs(30)).map(drop)
    }
}

fn lock(passages: &Mutex<Vec<Passage>>) -> MutexGuard<'_, Vec<Passage>> {
    passages.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A line such as `{"stop":"log","topic":"carga_topic","record":{…}}`.
fn passage(line: &str) -> Option<Passage> {
    let line: Value = serde_json::from_str(line).ok()?;
    let record = match &line["record"] {
        Value::String(text) => {
            serde_json::from_str(text).map_or_else(|_| text.clone(), |json: Value| json.to_string())
        }
        other => other.to_string(),
    };
    Some(Passage {
        at: Instant::now(),
        stop: line["stop"].as_str()?.to_owned(),
        topic: line["topic"].as_str().map(str::to_owned),
        record,
    })
}
