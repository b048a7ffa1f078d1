//! The operator: somebody who pauses, resumes, restarts and reconfigures connectors while everything breaks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use xtask_servers::wait_until;

use super::rest::{self, Rest};

/// How long a request is tried: longer than any outage.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connectors' configurations, by name.
pub(super) type Configs = BTreeMap<String, Map<String, Value>>;

/// The running operator.
pub(super) struct Operator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<BTreeMap<&'static str, u64>>>,
}

impl Operator {
    /// Begins to work, as `random` decides.
    pub(super) fn start(rest: Rest, configs: Configs, random: Rng, start: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut work =
            Work { rest, configs, random, start, stop: Arc::clone(&stop), done: BTreeMap::new() };
        let thread = thread::spawn(move || {
            while !work.stopped() {
                work.one()?;
            }
            Ok(work.done)
        });
        Self { stop, thread }
    }

    /// Ends when what it is at is done; connectors run afterwards. How often it did what.
    pub(super) fn finish(self) -> Result<BTreeMap<&'static str, u64>> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the operator panicked"))?
    }
}

struct Work {
    rest: Rest,
    configs: Configs,
    random: Rng,
    start: Instant,
    stop: Arc<AtomicBool>,
    done: BTreeMap<&'static str, u64>,
}

impl Work {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn one(&mut self) -> Result<()> {
        self.rest_for(4000, 12_000);
        let names: Vec<_> = self.configs.keys().cloned().collect();
        let Some(name) = self.random.choice(&names).cloned() else { return Ok(()) };
        let path = format!("/connectors/{name}");
        let what = match self.random.u64(0..4) {
            0 => {
                self.send("PUT", &format!("{path}/pause"), "")?;
                self.rest_for(500, 4000);
                self.send("PUT", &format!("{path}/resume"), "")?;
                "pause, resume"
            }
            1 => {
                self.send("PUT", &format!("{path}/stop"), "")?;
                self.rest_for(500, 4000);
                self.send("PUT", &format!("{path}/resume"), "")?;
                "stop, resume"
            }
            2 => {
                self.send("POST", &format!("{path}/restart?includeTasks=true"), "")?;
                "restart"
            }
            _ => {
                let mut config = self.configs.get(&name).cloned().unwrap_or_default();
                // Keys that change how much is done at once, and nothing else.
                let rows = self.random.u64(20..2000).to_string();
                let key = if name.ends_with("source") { "batch.max.rows" } else { "batch.size" };
                config.insert(key.to_owned(), json!(rows));
                self.send("PUT", &format!("{path}/config"), &Value::Object(config).to_string())?;
                "configuration"
            }
        };
        *self.done.entry(what).or_default() += 1;
        println!("{:>7.1} s  REST: {what} of {name}", self.start.elapsed().as_secs_f64());
        let statuses = self.send("GET", "/connectors?expand=status", "")?;
        for failure in rest::failures(&statuses) {
            println!("{:>7.1} s  FAILED: {failure}", self.start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        self.rest.send(&mut self.random, method, path, body, PATIENCE)
    }

    /// A while as `random` decides, shorter when it is time to end.
    fn rest_for(&mut self, from: u64, to: u64) {
        let time = Duration::from_millis(self.random.u64(from..to));
        // That the time is over is what is waited for.
        let _ = wait_until("the end", time, || self.stopped().then_some(()));
    }
}
