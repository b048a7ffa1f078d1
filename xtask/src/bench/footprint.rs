//! What a worker needs before it has anything to do.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use xtask_servers::Kafka;

use super::{chain, cpu};

/// Starts of each kind; the median counts.
const STARTS: usize = 5;
/// After this long without anything to do, its memory is looked at.
const IDLE: Duration = Duration::from_secs(35);

/// An idle worker.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    /// Bytes of the program.
    pub(crate) binary: u64,
    pub(crate) logs: Vec<Idle>,
}

/// An idle worker on one log.
#[derive(Debug, Clone)]
pub(crate) struct Idle {
    pub(crate) log: &'static str,
    /// Milliseconds from its start to its first answer.
    pub(crate) start: f64,
    /// Resident memory in MB, and CPU seconds by then.
    pub(crate) memory: f64,
    pub(crate) cpu: f64,
}

pub(crate) fn measure(connect: &Path, logs: &[Option<&Kafka>], dir: &Path) -> Result<Footprint> {
    let binary = fs::metadata(connect).context("the program")?.len();
    let mut idle = Vec::new();
    for kafka in logs {
        let log = if kafka.is_some() { "Kafka" } else { "embedded" };
        let work = dir.join(format!("{}-idle", log.to_lowercase()));
        let mut starts = Vec::new();
        let mut start = || -> Result<_> {
            let begun = Instant::now();
            let (worker, ..) = chain::start(connect, *kafka, false, &work)?;
            starts.push(begun.elapsed().as_secs_f64() * 1000.0);
            Ok(worker)
        };
        for _ in 1..STARTS {
            start()?.terminate(Duration::from_secs(30))?;
        }
        let worker = start()?;
        thread::sleep(IDLE);
        starts.sort_by(f64::total_cmp);
        let start = starts[STARTS / 2];
        let (memory, cpu) = (cpu::memory(worker.pid())?, cpu::seconds(worker.pid())?);
        println!("{log}: first answer after {start:.0} ms, idle {memory:.1} MB");
        idle.push(Idle { log, start, memory, cpu });
    }
    Ok(Footprint { binary, logs: idle })
}
