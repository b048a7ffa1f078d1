//! The workers: processes in networks of their own, and what was done to each of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask_servers::{Process, Signal};

use super::net::Net;

/// How long a worker may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(60);

/// What a worker is in the middle of.
#[derive(Debug, Clone, Copy)]
enum State {
    Up,
    /// Stopped by SIGSTOP until then.
    Frozen(Instant),
    /// Without a network until then.
    Cut(Instant),
    /// Asked to end; afterwards it stays down for so long.
    Ending {
        since: Instant,
        rest: Duration,
    },
    /// Dead until then.
    Down(Instant),
}

struct Worker {
    properties: PathBuf,
    log: PathBuf,
    /// Where in the log its present life begins.
    life: usize,
    process: Option<Process>,
    state: State,
}

/// All workers.
pub(super) struct Workers {
    program: PathBuf,
    all: Vec<Worker>,
    /// Last: it can be taken away only when the processes in it are gone.
    net: Option<Net>,
}

impl Workers {
    /// Starts a worker for each of `properties`.
    pub(super) fn start(
        program: &Path,
        net: Option<Net>,
        dir: &Path,
        properties: Vec<PathBuf>,
    ) -> Result<Self> {
        let workers = properties.into_iter().zip(0..).map(|(properties, n)| Worker {
            properties,
            log: dir.join(format!("worker-{n}.log")),
            life: 0,
            process: None,
            state: State::Up,
        });
        let mut workers = Self { program: program.to_owned(), net, all: workers.collect() };
        for n in 0..workers.all.len() {
            workers.run(n)?;
        }
        Ok(workers)
    }

    fn run(&mut self, n: usize) -> Result<()> {
        let mut command = match &self.net {
            Some(net) => net.command(n, &self.program),
            None => Command::new(&self.program),
        };
        let worker = &mut self.all[n];
        command.arg("worker").arg(&worker.properties).env_remove("RUST_LOG").env("NO_COLOR", "1");
        worker.life = fs::metadata(&worker.log).map_or(0, |log| log.len() as usize);
        worker.process = Some(Process::spawn(&format!("worker {n}"), &command, &worker.log)?);
        worker.state = State::Up;
        Ok(())
    }

    /// Those that nothing is being done to.
    pub(super) fn up(&self) -> Vec<usize> {
        let is_up = |n: &usize| matches!(self.all[*n].state, State::Up);
        (0..self.all.len()).filter(is_up).collect()
    }

    /// Whether workers can be cut off.
    pub(super) fn has_net(&self) -> bool {
        self.net.is_some()
    }

    /// SIGKILL; it starts again after `rest`.
    pub(super) fn kill(&mut self, n: usize, rest: Duration) -> Result<()> {
        self.process(n)?.kill9()?;
        self.all[n].process = None;
        self.all[n].state = State::Down(Instant::now() + rest);
        Ok(())
    }

    /// SIGTERM; it starts again `rest` after it has ended.
    pub(super) fn terminate(&mut self, n: usize, rest: Duration) -> Result<()> {
        self.process(n)?.signal(Signal::TERM)?;
        self.all[n].state = State::Ending { since: Instant::now(), rest };
        Ok(())
    }

    /// SIGSTOP for so long: afterwards it goes on as if nothing had happened.
    pub(super) fn freeze(&mut self, n: usize, time: Duration) -> Result<()> {
        self.process(n)?.signal(Signal::STOP)?;
        self.all[n].state = State::Frozen(Instant::now() + time);
        Ok(())
    }

    /// Takes its network away for so long.
    pub(super) fn cut(&mut self, n: usize, time: Duration) -> Result<()> {
        self.net.as_ref().context("workers have no network of their own")?.cut(n)?;
        self.all[n].state = State::Cut(Instant::now() + time);
        Ok(())
    }

    /// Ends what has lasted long enough, or everything with `heal`; fails when a worker died that nobody killed.
    pub(super) fn tend(&mut self, heal: bool) -> Result<()> {
        for n in 0..self.all.len() {
            let now = Instant::now();
            let over = |until: Instant| heal || now >= until;
            match self.all[n].state {
                State::Frozen(until) if over(until) => {
                    self.process(n)?.signal(Signal::CONT)?;
                    self.all[n].state = State::Up;
                }
                State::Cut(until) if over(until) => {
                    self.net.as_ref().map_or(Ok(()), |net| net.join(n))?;
                    self.all[n].state = State::Up;
                }
                State::Down(until) if over(until) => self.run(n)?,
                State::Ending { since, rest } => match self.process(n)?.exited()? {
                    Some(status) if status.success() => {
                        self.all[n].process = None;
                        self.all[n].state = State::Down(now + rest);
                    }
                    Some(status) => bail!("worker {n} ended with {status} after SIGTERM"),
                    None if since.elapsed() > GRACE => {
                        // Where core dumps are allowed (`ulimit -c`), one tells what it hangs in.
                        self.process(n)?.end(Signal::ABORT, GRACE)?;
                        bail!("worker {n} did not end within {GRACE:?} after SIGTERM")
                    }
                    None => {}
                },
                State::Up => {
                    if let Some(status) = self.process(n)?.exited()? {
                        let words = self.process(n)?.last_words();
                        bail!("worker {n} ended by itself with {status}; {words}");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Tasks that run in a worker by its own log: started in its present life, and not ended.
    pub(super) fn tasks(&self, n: usize) -> Result<BTreeSet<String>> {
        let worker = &self.all[n];
        let log = fs::read(&worker.log)?;
        Ok(running(&String::from_utf8_lossy(log.get(worker.life..).unwrap_or_default())))
    }

    fn process(&mut self, n: usize) -> Result<&mut Process> {
        self.all[n].process.as_mut().with_context(|| format!("worker {n} has no process"))
    }
}

/// Tasks that a worker's log tells of as started, and not as stopped or failed afterwards.
fn running(log: &str) -> BTreeSet<String> {
    let mut running = BTreeSet::new();
    for line in log.lines() {
        let Some((_, rest)) = line.split_once("subject=Task(") else { continue };
        let Some((task, _)) = rest.split_once(')') else { continue };
        let message = |word: &str| line.contains(&format!(": {word} "));
        if message("starting") {
            running.insert(task.to_owned());
        } else if message("stopped") || message("failed") || message("did not stop") {
            running.remove(task);
        }
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_runs_from_its_start_to_its_end() {
        let at = "2026-11-26T21:00:00Z  INFO connect_core_runtime::worker";
        let log = format!(
            "{at}: starting connector=a subject=Task(\"a\", 0)\n{at}: starting connector=a subject=Connector(\"a\")\n\
             {at}: starting connector=a subject=Task(\"a\", 1)\n{at}: stopped subject=Task(\"a\", 0)\n"
        );
        assert_eq!(running(&log), BTreeSet::from(["\"a\", 1".to_owned()]));
    }
}
