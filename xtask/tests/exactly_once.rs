//! kill -9 of workers, a hundred times, under `insert` without keys: with `offsets.storage=target` no row is missing
//! and none is there twice, in either database. On Kafka the source writes transactions, and two workers share the work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::build::{self, Profile};
use xtask::http;
use xtask_servers::port::free_port;
use xtask_servers::{
    Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres, PostgresOptions, Process, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(180);
/// Rows that are added before each kill.
const ROWS: u64 = 60;

struct World {
    postgres: Postgres,
    mariadb: MariaDb,
    connect: PathBuf,
    dir: PathBuf,
    /// Ports of the workers.
    ports: Vec<u16>,
}

impl World {
    fn start(dir: &Path, kafka: Option<&Kafka>) -> Result<Self> {
        let programs = build::programs(&["api"], Profile::Debug)?;
        let connect = programs.path("connect")?.to_owned();
        let postgres = Postgres::start(&dir.join("postgres"), PostgresOptions::default())?;
        let mariadb = MariaDb::start(&dir.join("mariadb"), MariaDbOptions::default())?;
        let columns = "id bigint NOT NULL, v varchar(100)";
        postgres.query(&format!(
            "CREATE TABLE origin ({columns}, PRIMARY KEY (id)); CREATE TABLE copy ({columns})"
        ))?;
        mariadb.query(&format!("CREATE TABLE copy ({columns})"))?;
        let log = match kafka {
            Some(kafka) => format!(
                "bootstrap.servers={}\nexactly.once.source.support=enabled\nsession.timeout.ms=6000\n\
                 heartbeat.interval.ms=1000\nscheduled.rebalance.max.delay.ms=0\n\
                 consumer.session.timeout.ms=6000\nconsumer.heartbeat.interval.ms=1000",
                kafka.address()
            ),
            None => format!("log.dir={}", dir.join("log").display()),
        };
        let workers = if kafka.is_some() { 2 } else { 1 };
        let ports = (0..workers).map(|_| free_port()).collect::<Result<Vec<_>>>()?;
        for (worker, port) in ports.iter().enumerate() {
            fs::write(
                dir.join(format!("worker-{worker}.properties")),
                format!(
                    "{log}\ngroup.id=once\nconfig.storage.topic=c\noffset.storage.topic=o\nstatus.storage.topic=s\n\
                     config.storage.replication.factor=1\noffset.storage.replication.factor=1\n\
                     status.storage.replication.factor=1\nvalue.converter.schemas.enable=false\n\
                     connector.client.config.override.policy=All\nlisteners=http://127.0.0.1:{port}\n"
                ),
            )?;
        }
        Ok(Self { postgres, mariadb, connect, dir: dir.to_owned(), ports })
    }

    fn run(&self, worker: usize) -> Result<Process> {
        let mut command = Command::new(&self.connect);
        command.arg("worker").arg(self.dir.join(format!("worker-{worker}.properties")));
        let log = self.dir.join(format!("worker-{worker}.log"));
        let mut process = Process::spawn("connect", &command, &log)?;
        let url = format!("http://127.0.0.1:{}/health", self.ports[worker]);
        process.wait_ready(PATIENCE, || http::get(&url).is_ok_and(|reply| reply.status == 200))?;
        Ok(process)
    }

    fn post(&self, config: &serde_json::Value) -> Result<()> {
        // Any worker takes it.
        let port = self.ports.last().context("a worker")?;
        let reply =
            http::post(&format!("http://127.0.0.1:{port}/connectors"), &config.to_string())?;
        ensure!(reply.status == 201, "{config}: {} {}", reply.status, reply.body);
        Ok(())
    }

    fn source(&self) -> Result<()> {
        let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb", self.postgres.port());
        self.post(&json!({"name": "source", "config": {
            "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": url,
            "connection.user": "user", "connection.password": "password", "table.whitelist": "origin",
            "mode": "incrementing", "incrementing.column.name": "id", "topic.prefix": "", "poll.interval.ms": "10",
            "batch.max.rows": "7"}}))
    }

    fn sinks(&self) -> Result<()> {
        let postgres = format!("jdbc:postgresql://127.0.0.1:{}/mydb", self.postgres.port());
        let mysql = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", self.mariadb.port());
        for (name, url, password) in [("postgres", postgres, "password"), ("mysql", mysql, "123")] {
            self.post(&json!({"name": name, "config": {
                "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": url,
                "connection.user": "user", "connection.password": password, "topics": "origin",
                "table.name.format": "copy", "insert.mode": "insert", "pk.mode": "none",
                "offsets.storage": "target", "retry.backoff.ms": "100",
                "consumer.override.max.poll.records": "11"}}))?;
        }
        Ok(())
    }

    fn insert(&self, from: u64, rows: u64) -> Result<()> {
        let sql = format!(
            "INSERT INTO origin SELECT n, 'v' || n FROM generate_series({from} + 1, {from} + {rows}) n"
        );
        self.postgres.query(&sql).map(drop)
    }

    /// Waits until all rows are in both targets, and nothing else.
    fn check(&self, rows: u64, workers: &[Process]) -> Result<()> {
        let complete = wait_until("every row in both targets", PATIENCE, || {
            self.counts().ok()?.iter().all(|(_, ids)| *ids == rows).then_some(())
        });
        let counts = self.counts()?;
        let last: Vec<_> = workers.iter().map(Process::last_words).collect();
        complete.with_context(|| format!("{rows} rows, found {counts:?}\n{}", last.join("\n")))?;
        ensure!(counts == [(rows, rows); 2], "{rows} rows, found {counts:?}");
        Ok(())
    }

    /// How many rows there are, and how many different ones, in both targets.
    fn counts(&self) -> Result<[(u64, u64); 2]> {
        const SQL: &str = "SELECT count(*), count(DISTINCT id) FROM copy";
        let read = |text: String| -> Result<(u64, u64)> {
            let (all, ids) = text.trim().split_once('\t').context("two numbers expected")?;
            Ok((all.parse()?, ids.parse()?))
        };
        Ok([read(self.postgres.query(SQL)?)?, read(self.mariadb.query(SQL)?)?])
    }
}

/// Rows are added while one worker after the other is killed.
fn kills(kafka: Option<&Kafka>, dir: &Path, kills: u64) -> Result<()> {
    let world = World::start(dir, kafka)?;
    let workers = (0..world.ports.len()).map(|worker| world.run(worker));
    let mut workers = workers.collect::<Result<Vec<_>>>()?;
    world.source()?;
    world.sinks()?;
    let (mut rows, mut random) = (0, fastrand::Rng::with_seed(20_261_126));
    for kill in 0..kills {
        world.insert(rows, ROWS)?;
        // Some of them are there, as many as chance has it, others on their way.
        let there = rows + random.u64(1..=ROWS);
        wait_until("rows on their way", PATIENCE, || {
            world.counts().ok()?.iter().any(|(all, _)| *all >= there).then_some(())
        })?;
        rows += ROWS;
        let worker = kill as usize % workers.len();
        workers[worker].kill9()?;
        workers[worker] = world.run(worker)?;
    }
    world.check(rows, &workers)
}

#[test]
fn a_hundred_kills_on_the_embedded_log() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    kills(None, dir.path(), 100).unwrap_or_else(|error| panic!("{error:#}"));
}

/// A group notices a death when its session has ended: a hundred kills take long, so that
/// `EXACTLY_ONCE_KILLS` has to ask for them.
#[test]
fn kills_on_kafka() {
    let count = std::env::var("EXACTLY_ONCE_KILLS").ok().and_then(|text| text.parse().ok());
    let dir = tempfile::tempdir().expect("a temporary directory");
    let kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::default()).expect("Kafka");
    kills(Some(&kafka), dir.path(), count.unwrap_or(4)).unwrap_or_else(|error| panic!("{error:#}"));
}
