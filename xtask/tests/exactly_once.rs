//! kill -9 of the worker, a hundred times, under `insert` without keys: with `offsets.storage=target` no row is missing
//! and none is there twice, in either database.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
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
    worker: Box<dyn Fn() -> Command>,
    log: std::path::PathBuf,
    url: String,
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
        let port = free_port()?;
        let log = match kafka {
            Some(kafka) => format!("bootstrap.servers={}", kafka.address()),
            None => format!("log.dir={}", dir.join("log").display()),
        };
        let file = dir.join("worker.properties");
        fs::write(
            &file,
            format!(
                "{log}\ngroup.id=once\nconfig.storage.topic=c\noffset.storage.topic=o\nstatus.storage.topic=s\n\
                 config.storage.replication.factor=1\noffset.storage.replication.factor=1\n\
                 status.storage.replication.factor=1\nvalue.converter.schemas.enable=false\n\
                 consumer.session.timeout.ms=6000\nconsumer.heartbeat.interval.ms=1000\n\
                 connector.client.config.override.policy=All\nlisteners=http://127.0.0.1:{port}\n"
            ),
        )?;
        let worker = Box::new(move || {
            let mut command = Command::new(&connect);
            command.arg("worker").arg(&file);
            command
        });
        let url = format!("http://127.0.0.1:{port}");
        Ok(Self { postgres, mariadb, worker, log: dir.join("connect"), url })
    }

    fn run(&self) -> Result<Process> {
        let mut process = Process::spawn("connect", &(self.worker)(), &self.log)?;
        let url = format!("{}/health", self.url);
        process.wait_ready(PATIENCE, || http::get(&url).is_ok_and(|reply| reply.status == 200))?;
        Ok(process)
    }

    fn post(&self, config: &serde_json::Value) -> Result<()> {
        let reply = http::post(&format!("{}/connectors", self.url), &config.to_string())?;
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
    fn check(&self, rows: u64, worker: &Process) -> Result<()> {
        let complete = wait_until("every row in both targets", PATIENCE, || {
            self.counts().ok()?.iter().all(|(_, ids)| *ids == rows).then_some(())
        });
        let counts = self.counts()?;
        complete
            .with_context(|| format!("{rows} rows, found {counts:?}\n{}", worker.last_words()))?;
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

/// Up to 31 ms, another time each time: what a kill interrupts is left to chance.
fn wait_until_some_moment(seed: &mut u64) {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    thread::sleep(Duration::from_millis(*seed >> 33 & 31));
}

/// On the embedded log the source is exactly once as well: rows are added while everything is killed.
fn on_the_embedded_log(kills: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let world = World::start(dir.path(), None)?;
    let mut worker = world.run()?;
    world.source()?;
    world.sinks()?;
    let (mut rows, mut seed) = (0, 20_261_126);
    for _ in 0..kills {
        world.insert(rows, ROWS)?;
        // Some of them are there, others on their way.
        wait_until("rows on their way", PATIENCE, || {
            world.counts().ok()?.iter().any(|(all, _)| *all > rows).then_some(())
        })?;
        rows += ROWS;
        wait_until_some_moment(&mut seed);
        worker.kill9()?;
        worker = world.run()?;
    }
    world.check(rows, &worker)
}

/// On Kafka the source may repeat rows after a crash: the topic is filled before anything is killed.
fn on_kafka(kills: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::default())?;
    let world = World::start(dir.path(), Some(&kafka))?;
    let mut worker = world.run()?;
    let rows = (kills + 1) * 2000;
    world.insert(0, rows)?;
    world.source()?;
    let offsets = format!("{}/connectors/source/offsets", world.url);
    wait_until("the topic to be full", PATIENCE, || {
        http::get(&offsets)
            .ok()?
            .body
            .contains(&format!("{{\"incrementing\":{rows}}}"))
            .then_some(())
    })?;
    world.sinks()?;
    let (mut before, mut seed) = (0, 20_261_126);
    for _ in 0..kills {
        wait_until("rows on their way", PATIENCE, || {
            let most = world.counts().ok()?.iter().map(|(all, _)| *all).max()?;
            (most > before + 500).then(|| before = most)
        })?;
        wait_until_some_moment(&mut seed);
        worker.kill9()?;
        worker = world.run()?;
    }
    world.check(rows, &worker)
}

#[test]
fn a_hundred_kills_on_the_embedded_log() {
    on_the_embedded_log(100).unwrap_or_else(|error| panic!("{error:#}"));
}

/// A consumer group notices a death when its session has ended: a hundred kills take long, so that
/// `EXACTLY_ONCE_KILLS` has to ask for them.
#[test]
fn kills_on_kafka() {
    let kills = std::env::var("EXACTLY_ONCE_KILLS").ok().and_then(|text| text.parse().ok());
    on_kafka(kills.unwrap_or(3)).unwrap_or_else(|error| panic!("{error:#}"));
}
