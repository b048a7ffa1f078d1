//! kill -9 of every part under load: afterwards the target holds every row that was acknowledged, once and as it was last.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use xtask::build::{self, Profile};
use xtask::{http, root};
use xtask_servers::port::free_port;
use xtask_servers::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres,
    PostgresOptions, Process, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(180);
/// Posts that run side by side.
const WRITERS: u64 = 4;
/// Rows that must get through between two kills.
const ROWS_BETWEEN: u64 = 100;

/// One of our programs, which can be killed and started again as it was.
struct Program {
    name: &'static str,
    make: Box<dyn Fn() -> Command>,
    log: PathBuf,
    health: Vec<String>,
    process: Option<Process>,
}

impl Program {
    fn start(
        name: &'static str,
        dir: &Path,
        ports: &[u16],
        make: impl Fn() -> Command + 'static,
    ) -> Result<Self> {
        let health = ports.iter().map(|port| format!("http://127.0.0.1:{port}/health")).collect();
        let mut program =
            Self { name, make: Box::new(make), log: dir.join(name), health, process: None };
        program.run()?;
        Ok(program)
    }

    fn run(&mut self) -> Result<()> {
        let mut process = Process::spawn(self.name, &(self.make)(), &self.log)?;
        let healthy = |url: &String| http::get(url).is_ok_and(|reply| reply.status == 200);
        process.wait_ready(PATIENCE, || self.health.iter().all(healthy))?;
        self.process = Some(process);
        Ok(())
    }

    fn kill9(&mut self) -> Result<()> {
        self.process.take().context("not running")?.kill9()
    }
}

/// Posts rows until told to stop, each again and again until it is acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Result<BTreeMap<String, String>>>>,
    /// Failed attempts: a kill that nobody noticed proves nothing.
    failures: Arc<AtomicU64>,
}

impl Load {
    fn start(carga: u16) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let failures = Arc::new(AtomicU64::new(0));
        let writers = (0..WRITERS).map(|writer| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            let failures = Arc::clone(&failures);
            thread::spawn(move || write(writer, carga, &stop, &count, &failures))
        });
        let writers = writers.collect();
        Self { stop, acknowledged, writers, failures }
    }

    /// Waits until so many more rows were acknowledged.
    fn more(&self, rows: u64) -> Result<()> {
        let goal = self.acknowledged.load(Ordering::Acquire) + rows;
        wait_until("more rows to be acknowledged", PATIENCE, || {
            (self.acknowledged.load(Ordering::Acquire) >= goal).then_some(())
        })
    }

    /// Ends the load: what was acknowledged, as it was last.
    fn finish(self) -> Result<BTreeMap<String, String>> {
        self.stop.store(true, Ordering::Release);
        let mut all = BTreeMap::new();
        for writer in self.writers {
            all.extend(writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??);
        }
        Ok(all)
    }
}

fn write(
    writer: u64,
    carga: u16,
    stop: &AtomicBool,
    count: &AtomicU64,
    failures: &AtomicU64,
) -> Result<BTreeMap<String, String>> {
    let url = format!("http://127.0.0.1:{carga}/carga");
    let mut rows = BTreeMap::new();
    for n in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        // Ids of its own; every third post changes an earlier row.
        let id = if n % 3 == 2 { n / 2 } else { n } * WRITERS + writer;
        let valor = format!("'v{n}' \\ é");
        let body = json!({"id": id.to_string(), "valor": valor}).to_string();
        let acknowledged =
            wait_until("a post to be acknowledged", PATIENCE, || match http::post(&url, &body) {
                Ok(reply) if reply.status == 200 => Some(Ok(())),
                Ok(reply) if reply.status < 500 => Some(Err(reply)),
                _ => {
                    failures.fetch_add(1, Ordering::AcqRel);
                    None
                }
            })?;
        if let Err(reply) = acknowledged {
            bail!("{body}: {} {}", reply.status, reply.body);
        }
        rows.insert(id.to_string(), valor);
        count.fetch_add(1, Ordering::AcqRel);
    }
    Ok(rows)
}

/// The rows of the target.
fn target(mariadb: &MariaDb) -> Result<BTreeMap<String, String>> {
    let text = mariadb.query("SELECT id, HEX(valor) FROM tabela_espelho")?;
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let (id, hex) = line.split_once('\t').context("a row without value")?;
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
        let valor = String::from_utf8(bytes.collect::<Result<_, _>>()?)?;
        ensure!(rows.insert(id.to_owned(), valor).is_none(), "{id} is there twice");
    }
    Ok(rows)
}

fn check(load: Load, mariadb: &MariaDb) -> Result<()> {
    let failures = load.failures.load(Ordering::Acquire);
    let expected = load.finish()?;
    let complete = wait_until("every row in the target", PATIENCE, || {
        target(mariadb).is_ok_and(|rows| rows == expected).then_some(())
    });
    if complete.is_err() {
        let found = target(mariadb)?;
        let wrong: Vec<_> = expected.iter().filter(|(id, v)| found.get(*id) != Some(v)).collect();
        let shown = &wrong[..wrong.len().min(10)];
        bail!("{} of {} rows are missing or old, such as {shown:?}", wrong.len(), expected.len());
    }
    ensure!(failures > 0, "no post ever failed: nothing was killed under load");
    println!("{} rows arrived, {failures} attempts had failed", expected.len());
    Ok(())
}

/// POSTs the pair that follows changes, as the files are.
fn connectors(connect: u16) -> Result<()> {
    for file in ["upsert-source.json", "upsert-sink.json"] {
        let body = fs::read_to_string(root().join("examples").join(file))?;
        let reply = http::post(&format!("http://127.0.0.1:{connect}/connectors"), &body)?;
        ensure!(reply.status == 201, "{file}: {} {}", reply.status, reply.body);
    }
    Ok(())
}

struct Databases {
    postgres: Postgres,
    mariadb: MariaDb,
}

impl Databases {
    fn start(dir: &Path) -> Result<Self> {
        let postgres = Postgres::start(&dir.join("postgres"), PostgresOptions::default())?;
        postgres.query(&fs::read_to_string(root().join("examples/sql/postgres.sql"))?)?;
        let mariadb = MariaDb::start(&dir.join("mariadb"), MariaDbOptions::default())?;
        Ok(Self { postgres, mariadb })
    }

    fn resolve(&self) -> [String; 2] {
        [
            format!("postgres-db:5432:{}", self.postgres.address()),
            format!("mysql-db:3306:{}", self.mariadb.address()),
        ]
    }

    /// Both, one after the other, under load.
    fn kill9(&mut self, load: &Load) -> Result<()> {
        load.more(ROWS_BETWEEN)?;
        self.postgres.kill9()?;
        self.postgres.restart()?;
        load.more(ROWS_BETWEEN)?;
        self.mariadb.kill9()?;
        load.more(ROWS_BETWEEN)?;
        self.mariadb.restart()
    }
}

/// Shows the logs of what failed.
fn run(test: impl FnOnce(&Path) -> Result<()>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    if let Err(error) = test(dir.path()) {
        for name in ["connect", "carga", "sync", "system"] {
            if let Ok(log) = fs::read_to_string(dir.path().join(name)) {
                let lines: Vec<_> = log.lines().filter(|l| !l.starts_with("Dados")).collect();
                eprintln!("--- {name}\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
        panic!("{error:#}");
    }
}

#[test]
fn on_kafka() {
    run(|dir| {
        let programs = build::programs(&["api", "carga", "sync"], Profile::Debug)?;
        let for_cassandra = dir.join("cassandra");
        let cassandra =
            thread::spawn(move || Cassandra::start(&for_cassandra, CassandraOptions::default()));
        let mut kafka = Kafka::start(&dir.join("kafka"), KafkaOptions::default())?;
        let mut databases = Databases::start(dir)?;
        let mut cassandra =
            cassandra.join().map_err(|_| anyhow::anyhow!("starting Cassandra panicked"))??;
        let cql = fs::read_to_string(root().join("examples/sql/cassandra.cql"))?;
        let code: Vec<_> = cql.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in code.join("\n").split(';').filter(|s| !s.trim().is_empty()) {
            cassandra.query(statement)?;
        }
        let [pg, my] = databases.resolve();
        let (carga_port, sync_port, connect_port) = (free_port()?, free_port()?, free_port()?);

        let path = programs.path("carga")?.to_owned();
        let (broker, contact) = (kafka.address(), cassandra.address());
        let mut carga = Program::start("carga", dir, &[carga_port], move || {
            let mut command = Command::new(&path);
            command.env("CARGA_LISTEN", format!("127.0.0.1:{carga_port}"));
            command.env("KAFKA_BOOTSTRAP_SERVERS", &broker);
            command.env("CASSANDRA_CONTACT_POINTS", &contact);
            command
        })?;
        let path = programs.path("sync")?.to_owned();
        let (broker, resolve) = (kafka.address(), pg.clone());
        let mut sync = Program::start("sync", dir, &[sync_port], move || {
            let mut command = Command::new(&path);
            command.env("SYNC_LISTEN", format!("127.0.0.1:{sync_port}"));
            command.env("KAFKA_BOOTSTRAP_SERVERS", &broker);
            command.env("PGHOST", "postgres-db").env("PGPORT", "5432").env("PGUSER", "user");
            command.env("PGPASSWORD", "password").env("PGDATABASE", "mydb");
            command.args(["--resolve", &resolve]);
            command
        })?;
        let path = programs.path("connect")?.to_owned();
        let broker = kafka.address();
        let mut connect = Program::start("connect", dir, &[connect_port], move || {
            let mut command = Command::new(&path);
            command.args(["worker", "--resolve", &pg, "--resolve", &my]);
            command.env("CONNECT_BOOTSTRAP_SERVERS", &broker);
            command.env("CONNECT_LISTENERS", format!("http://127.0.0.1:{connect_port}"));
            command.env("CONNECT_KEY_CONVERTER_SCHEMAS_ENABLE", "false");
            command.env("CONNECT_VALUE_CONVERTER_SCHEMAS_ENABLE", "false");
            for topic in ["CONFIG", "OFFSET", "STATUS"] {
                command.env(format!("CONNECT_{topic}_STORAGE_REPLICATION_FACTOR"), "1");
            }
            command
        })?;
        connectors(connect_port)?;

        let load = Load::start(carga_port);
        for program in [&mut connect, &mut sync, &mut carga] {
            load.more(ROWS_BETWEEN)?;
            program.kill9()?;
            program.run()?;
        }
        load.more(ROWS_BETWEEN)?;
        kafka.kill9()?;
        kafka.restart()?;
        databases.kill9(&load)?;
        load.more(ROWS_BETWEEN)?;
        cassandra.kill9()?;
        cassandra.restart()?;
        load.more(ROWS_BETWEEN)?;
        check(load, &databases.mariadb)
    });
}

#[test]
fn on_the_embedded_log() {
    run(|dir| {
        let programs = build::programs(&["examples"], Profile::Debug)?;
        let mut databases = Databases::start(dir)?;
        let [pg, my] = databases.resolve();
        let ports = [free_port()?, free_port()?, free_port()?];
        let (path, data) = (programs.path("system")?.to_owned(), dir.join("data"));
        let mut system = Program::start("system", dir, &ports, move || {
            let mut command = Command::new(&path);
            command.arg("--data").arg(&data).args(["--resolve", &pg, "--resolve", &my]);
            for (service, port) in ["carga", "sync", "connect"].iter().zip(&ports) {
                command.args([format!("--{service}-port"), port.to_string()]);
            }
            command
        })?;
        connectors(ports[2])?;
        let load = Load::start(ports[0]);
        for _ in 0..3 {
            load.more(ROWS_BETWEEN)?;
            system.kill9()?;
            system.run()?;
        }
        databases.kill9(&load)?;
        load.more(ROWS_BETWEEN)?;
        check(load, &databases.mariadb)
    });
}
