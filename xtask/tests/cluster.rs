//! Several workers on one Kafka: they share the work evenly, hand it over, take it over, and answer for each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xtask::build::{self, Profile};
use xtask::http;
use xtask_servers::port::free_port;
use xtask_servers::{Kafka, KafkaOptions, Process, Signal, wait_until};

const PATIENCE: Duration = Duration::from_secs(90);
/// Sources, of one task each; the sink has as many tasks again.
const SOURCES: usize = 6;

struct Cluster {
    connect: PathBuf,
    dir: PathBuf,
    ports: Vec<u16>,
    workers: BTreeMap<usize, Process>,
    lines: usize,
}

impl Cluster {
    fn start(dir: &Path, kafka: &Kafka) -> Result<Self> {
        let programs = build::programs(&["api"], Profile::Debug)?;
        let connect = programs.path("connect")?.to_owned();
        let ports = (0..3).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        for (worker, port) in ports.iter().enumerate() {
            fs::write(
                dir.join(format!("worker-{worker}.properties")),
                format!(
                    "bootstrap.servers={}\ngroup.id=cluster\nconfig.storage.topic=c\noffset.storage.topic=o\n\
                     status.storage.topic=s\nconfig.storage.replication.factor=1\n\
                     offset.storage.replication.factor=1\nstatus.storage.replication.factor=1\n\
                     session.timeout.ms=6000\nheartbeat.interval.ms=1000\nscheduled.rebalance.max.delay.ms=1000\n\
                     consumer.session.timeout.ms=6000\nconsumer.heartbeat.interval.ms=1000\n\
                     value.converter=org.apache.kafka.connect.storage.StringConverter\n\
                     listeners=http://127.0.0.1:{port}\n",
                    kafka.address()
                ),
            )?;
        }
        let (dir, workers) = (dir.to_owned(), BTreeMap::new());
        Ok(Self { connect, dir, ports, workers, lines: 0 })
    }

    fn run(&mut self, worker: usize) -> Result<()> {
        let mut command = Command::new(&self.connect);
        command.arg("worker").arg(self.dir.join(format!("worker-{worker}.properties")));
        let log = self.dir.join(format!("worker-{worker}.log"));
        let mut process = Process::spawn("connect", &command, &log)?;
        let url = self.url(worker, "/health");
        process.wait_ready(PATIENCE, || http::get(&url).is_ok_and(|reply| reply.status == 200))?;
        self.workers.insert(worker, process);
        Ok(())
    }

    fn url(&self, worker: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[worker])
    }

    fn create(&self) -> Result<()> {
        for n in 0..SOURCES {
            let file = self.dir.join(format!("in-{n}"));
            fs::write(&file, "")?;
            let config = json!({"connector.class": "FileStreamSource", "file": file, "topic": format!("t-{n}")});
            self.post(n % 3, json!({"name": format!("source-{n}"), "config": config}))?;
        }
        let config = json!({"connector.class": "FileStreamSink", "file": self.dir.join("out"),
            "topics.regex": "t-.*", "tasks.max": SOURCES});
        self.post(0, json!({"name": "sink", "config": config}))
    }

    fn post(&self, worker: usize, body: Value) -> Result<()> {
        let reply = http::post(&self.url(worker, "/connectors"), &body.to_string())?;
        ensure!(reply.status == 201, "{body}: {} {}", reply.status, reply.body);
        Ok(())
    }

    /// How many connectors and tasks each worker runs, as one of them tells; none unless all of them run.
    fn shares(&self, asked: usize) -> Option<Vec<(usize, usize)>> {
        let reply = http::get(&self.url(asked, "/connectors?expand=status")).ok()?;
        let all: BTreeMap<String, Value> = serde_json::from_str(&reply.body).ok()?;
        let mut shares = vec![(0, 0); self.ports.len()];
        let mut tasks = 0;
        for connector in all.values() {
            let status = &connector["status"];
            let parts = status["tasks"].as_array()?;
            tasks += parts.len();
            for (part, connector) in
                parts.iter().map(|task| (task, 0)).chain([(&status["connector"], 1)])
            {
                let id = part["worker_id"].as_str().filter(|_| part["state"] == "RUNNING")?;
                let port: u16 = id.rsplit(':').next()?.parse().ok()?;
                let share = &mut shares[self.ports.iter().position(|known| *known == port)?];
                share.0 += connector;
                share.1 += 1 - connector;
            }
        }
        (all.len() == SOURCES + 1 && tasks == 2 * SOURCES).then_some(shares)
    }

    /// Waits until these workers, and no others, have even shares, as each of them tells.
    fn even(&self, workers: &[usize]) -> Result<()> {
        let mut last = Vec::new();
        let found = wait_until("even shares", PATIENCE, || {
            let told: Option<Vec<_>> = workers.iter().map(|worker| self.shares(*worker)).collect();
            last = told?;
            let even = |shares: &Vec<(usize, usize)>| {
                let theirs = workers.iter().map(|worker| shares[*worker]);
                let (connectors, tasks): (Vec<_>, Vec<_>) = theirs.unzip();
                let spread =
                    |of: &[usize]| of.iter().max().zip(of.iter().min()).map(|(a, b)| a - b);
                let all: usize = tasks.iter().sum();
                all == 2 * SOURCES && spread(&connectors) <= Some(1) && spread(&tasks) <= Some(1)
            };
            last.iter().all(even).then_some(())
        });
        found.with_context(|| format!("{last:?}\n{}", self.last_words()))
    }

    fn last_words(&self) -> String {
        self.workers.values().map(Process::last_words).collect::<Vec<_>>().join("\n")
    }

    /// A line in every source: it arrives.
    fn flows(&mut self) -> Result<()> {
        self.lines += 1;
        for n in 0..SOURCES {
            let line = format!("{n}-{}\n", self.lines);
            let file = self.dir.join(format!("in-{n}"));
            fs::write(&file, fs::read_to_string(&file)? + &line)?;
        }
        let out = self.dir.join("out");
        let arrived = wait_until("all lines in the sink's file", PATIENCE, || {
            let text = fs::read_to_string(&out).ok()?;
            let found: std::collections::BTreeSet<_> = text.lines().collect();
            (found.len() == self.lines * SOURCES).then_some(())
        });
        arrived.with_context(|| self.last_words())
    }
}

fn shared(dir: &Path) -> Result<()> {
    let kafka = Kafka::start(&dir.join("kafka"), KafkaOptions::default())?;
    let mut cluster = Cluster::start(dir, &kafka)?;
    for worker in 0..3 {
        cluster.run(worker)?;
    }
    cluster.create()?;
    cluster.even(&[0, 1, 2])?;
    cluster.flows()?;

    // One that leaves hands over: nobody waits for its session to end. The first one leads.
    for leaving in [2, 0] {
        let started = Instant::now();
        cluster.workers.get_mut(&leaving).context("it runs")?.terminate(PATIENCE)?;
        let rest: Vec<_> = [0, 1, 2].into_iter().filter(|worker| *worker != leaving).collect();
        cluster.even(&rest)?;
        println!("handed over after {:?}", started.elapsed());
        cluster.flows()?;
        cluster.run(leaving)?;
        cluster.even(&[0, 1, 2])?;
    }

    // One that is killed, and one that is paused and does not know that it was given up.
    cluster.workers.get_mut(&1).context("it runs")?.kill9()?;
    cluster.even(&[0, 2])?;
    cluster.flows()?;
    cluster.run(1)?;
    cluster.even(&[0, 1, 2])?;
    cluster.workers[&2].signal(Signal::STOP)?;
    let told = wait_until("the paused worker's tasks on others", PATIENCE, || {
        let shares = cluster.shares(0)?;
        (shares[2] == (0, 0)).then_some(())
    });
    told.with_context(|| cluster.last_words())?;
    cluster.flows()?;
    cluster.workers[&2].signal(Signal::CONT)?;
    cluster.even(&[0, 1, 2])?;
    cluster.flows()?;

    // Whoever is asked: what it answers holds everywhere.
    for worker in 0..3 {
        let reply = http::send("PUT", &cluster.url(worker, "/connectors/source-0/pause"), &[], "")?;
        ensure!(reply.status == 202, "{} {}", reply.status, reply.body);
        wait_until("the state that was asked for", PATIENCE, || {
            let reply = http::get(&cluster.url(2 - worker, "/connectors/source-0/status")).ok()?;
            reply.body.contains("PAUSED").then_some(())
        })?;
        let reply =
            http::send("PUT", &cluster.url(worker, "/connectors/source-0/resume"), &[], "")?;
        ensure!(reply.status == 202, "{} {}", reply.status, reply.body);
        cluster.even(&[0, 1, 2])?;
    }
    cluster.flows()
}

#[test]
fn work_is_shared() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    shared(dir.path()).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Kafka is there, but a worker that cannot be a member has nobody to ask: it says so.
#[test]
fn without_a_leader_writes_are_refused_for_a_while() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::default()).expect("Kafka");
    let mut cluster = Cluster::start(dir.path(), &kafka).expect("a cluster");
    // Less than brokers allow (group.min.session.timeout.ms).
    let file = dir.path().join("worker-0.properties");
    let properties = fs::read_to_string(&file).expect("properties");
    fs::write(
        &file,
        properties.replace("session.timeout.ms=6000\nheart", "session.timeout.ms=1000\nheart"),
    )
    .expect("properties");
    cluster.run(0).expect("a worker");
    let body = json!({"name": "a", "config": {"connector.class": "FileStreamSink", "topics": "t"}});
    let reply = http::post(&cluster.url(0, "/connectors"), &body.to_string()).expect("an answer");
    assert_eq!(reply.status, 409, "{}", reply.body);
    assert_eq!(reply.retry_after.as_deref(), Some("1"), "{}", reply.body);
}
