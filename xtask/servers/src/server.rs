//! What all servers have in common: one life cycle over the few things in which they differ.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::port::{free_port, must_be_free};
use crate::process::Process;

/// How long a server may take to become ready: a JVM on a machine that compiles at the same time is slow.
const START: Duration = Duration::from_secs(240);
/// How long a server may take to end by itself.
const STOP: Duration = Duration::from_secs(60);

/// Where a server lives.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its private directory, absolute.
    pub dir: PathBuf,
    /// The port for clients.
    pub port: u16,
    /// A second port, for those that talk to themselves (Kafka's controller, Cassandra's storage).
    pub inner_port: u16,
}

impl Place {
    /// The file that holds the server's output.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }
}

/// A kind of server, with its options: what [`Server`] needs to know of it.
pub trait Kind: Send + 'static {
    /// Its name in messages.
    const NAME: &'static str;
    /// The signal that makes it stop in an orderly way, without waiting for its clients.
    const STOP_SIGNAL: Signal = Signal::TERM;

    /// The client port that was asked for, or any free one.
    fn wanted_port(&self) -> Option<u16>;
    /// Gets the program itself, when it isn't there yet.
    fn install() -> Result<()>;
    /// Makes data directory and configuration in `place.dir`; called before every start.
    fn prepare(&self, place: &Place) -> Result<()>;
    /// The command that runs the server in the foreground.
    fn command(&self, place: &Place) -> Result<Command>;
    /// Whether it answers its clients now.
    fn ready(&self, place: &Place) -> bool;
    /// Called once, when a new server is ready for the first time: creates what the options ask for.
    fn populate(&self, _place: &Place) -> Result<()> {
        Ok(())
    }
}

/// A server that runs on 127.0.0.1 with its data in a directory of its own. Dropping it kills it; the data stays.
#[derive(Debug)]
pub struct Server<K: Kind> {
    pub(crate) kind: K,
    pub(crate) place: Place,
    process: Option<Process>,
}

impl<K: Kind> Server<K> {
    /// Installs what is needed, creates the server in `dir` (made when missing), and returns when it answers.
    pub fn start(dir: &Path, options: K) -> Result<Self> {
        K::install().with_context(|| format!("cannot install {}", K::NAME))?;
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let port = match options.wanted_port() {
            Some(port) => must_be_free(port, K::NAME).map(|()| port)?,
            None => free_port()?,
        };
        let place = Place { dir, port, inner_port: free_port()? };
        let mut server = Self { kind: options, place, process: None };
        server.run()?;
        server
            .kind
            .populate(&server.place)
            .with_context(|| format!("cannot set up {}", K::NAME))?;
        Ok(server)
    }

    /// The port for clients; it stays the same for the whole life.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.place.port)
    }

    /// Process id of the server, or `None` when it doesn't run.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The file that holds the server's output.
    pub fn log(&self) -> PathBuf {
        self.place.log()
    }

    /// Kills the server as a power failure would, and returns when it is dead.
    pub fn kill9(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill9(),
            None => Ok(()),
        }
    }

    /// Stops the server in an orderly way.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.end(K::STOP_SIGNAL, STOP).map(drop),
            None => Ok(()),
        }
    }

    /// Starts the server again on the same port and data, killing it first if it still runs; returns when it answers.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.run()
    }

    fn run(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} runs already", K::NAME);
        self.kind.prepare(&self.place)?;
        let command = self.kind.command(&self.place)?;
        let mut process = Process::spawn(K::NAME, &command, &self.place.log())?;
        process.wait_ready(START, || self.kind.ready(&self.place))?;
        self.process = Some(process);
        Ok(())
    }
}
