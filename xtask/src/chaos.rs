//! `cargo xtask chaos`: real servers, several workers, a writer, an operator, and faults as a seed decides; at the end source
//! and target are compared row by row.

mod administrator;
mod check;
mod load;
mod net;
mod operator;
mod rest;
mod servers;
mod workers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use serde_json::{Value, json};
use xtask::build::{self, Profile};
use xtask::{http, interrupt, screen};
use xtask_servers::port::free_port;

use administrator::Administrator;
use load::Load;
use net::Net;
use operator::{Configs, Operator};
use rest::Rest;
use servers::Servers;
use workers::Workers;

/// How long a request may take while nothing is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where workers listen in namespaces of their own.
const REST_PORT: u16 = 8083;

/// What to break, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    minutes: f64,
    seed: u64,
    kafka: bool,
    embedded: bool,
    workers: usize,
    /// The worker's program; none builds it.
    program: Option<PathBuf>,
    /// Whether the pair without keys is exactly once on Kafka too.
    exactly_once: bool,
}

impl Options {
    /// Reads `--minutes N`, `--seed S`, `--kafka`, `--embedded`, `--workers N`, `--program PATH` and `--at-least-once`; without `--kafka` and
    /// `--embedded`, both are run.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options = Self {
            minutes: 10.0,
            seed: clock.as_secs() % 1_000_000,
            kafka: false,
            embedded: false,
            workers: 3,
            program: None,
            exactly_once: true,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut text = || words.next().with_context(|| format!("{word} needs a value"));
            match *word {
                "--minutes" => options.minutes = text()?.parse()?,
                "--seed" => options.seed = text()?.parse()?,
                "--workers" => options.workers = text()?.parse::<usize>()?.max(1),
                "--kafka" => options.kafka = true,
                "--embedded" => options.embedded = true,
                "--program" => options.program = Some(text()?.into()),
                "--at-least-once" => options.exactly_once = false,
                other => bail!(
                    "chaos knows --minutes N, --seed S, --kafka, --embedded, --workers N, --program PATH and --at-least-once, not {other}"
                ),
            }
        }
        if !options.kafka && !options.embedded {
            (options.kafka, options.embedded) = (true, true);
        }
        Ok(options)
    }
}

/// Runs on each of the transports that were asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    interrupt::install()?;
    let connect = match &options.program {
        Some(program) => program.clone(),
        None => build::programs(&["api"], Profile::Release)?.path("connect")?.to_owned(),
    };
    for (wanted, kafka) in [(options.kafka, true), (options.embedded, false)] {
        if !wanted {
            continue;
        }
        let name = if kafka { "Kafka" } else { "the embedded log" };
        screen::heading(&format!("chaos on {name}, seed {}", options.seed));
        let dir = tempfile::tempdir()?;
        if let Err(error) = on(options, kafka, &connect, dir.path()) {
            if !interrupt::happened() {
                println!("logs are in {}", dir.keep().display());
            }
            return Err(error.context(format!("chaos on {name}, seed {}", options.seed)));
        }
        println!("   clean: {name}, seed {}", options.seed);
    }
    Ok(())
}

fn on(options: &Options, kafka: bool, connect: &Path, dir: &Path) -> Result<()> {
    // An embedded log belongs to one process.
    let count = if kafka { options.workers } else { 1 };
    let exactly_once = options.exactly_once || !kafka;
    let net = match xtask_servers::is_root() {
        true => Some(Net::make(count)?),
        false => {
            println!("   not root: no network is cut");
            None
        }
    };
    let mut servers = Servers::start(dir, net.as_ref(), kafka)?;
    let (files, urls) = worker_files(dir, &servers, net.as_ref(), count, exactly_once)?;
    let rest = Rest::new(urls);
    let mut workers = Workers::start(connect, net, dir, files)?;
    {
        let postgres = servers.postgres.lock().unwrap_or_else(PoisonError::into_inner);
        load::create_tables(&postgres)?;
        let mariadb = servers.mariadb.lock().unwrap_or_else(PoisonError::into_inner);
        check::create_tables(&mariadb)?;
    }
    for url in rest.urls() {
        interrupt::wait(&format!("{url} to answer"), PATIENCE, || {
            workers.tend(false)?;
            let healthy =
                http::get(&format!("{url}/health")).is_ok_and(|reply| reply.status == 200);
            Ok(healthy.then_some(()))
        })?;
    }
    let mut random = Rng::with_seed(options.seed);
    let configs = configs(&servers, kafka && exactly_once);
    for (name, config) in &configs {
        let body = json!({"name": name, "config": config}).to_string();
        rest.send(&mut random, "POST", "/connectors", &body, PATIENCE)?;
    }

    let start = Instant::now();
    let load = Load::start(servers.postgres_url.clone());
    // A random of its own: how quickly requests are answered must not change the faults.
    let operators = Rng::with_seed(options.seed.wrapping_add(1));
    let sources: Vec<_> = configs.keys().filter(|name| name.ends_with("source")).cloned().collect();
    let operator = Operator::start(rest.clone(), configs, operators, start);
    let mut faults = Faults { start, random, counts: BTreeMap::new(), next: start };
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let broke = interrupt::wait("the end of the chaos", time + PATIENCE, || {
        faults.tend(&mut workers, &mut servers)?;
        Ok((start.elapsed() >= time).then_some(()))
    });
    println!("{:>7.1} s  everything heals", start.elapsed().as_secs_f64());
    let healed = servers.tend(true).and_then(|()| workers.tend(true));
    broke.and(healed)?;
    let done = operator.finish()?;
    let transactions = load.finish()?;
    interrupt::wait("workers that were ending", PATIENCE, || {
        workers.tend(true)?;
        Ok((workers.up().len() == count).then_some(()))
    })?;

    let postgres = servers.postgres.lock().unwrap_or_else(PoisonError::into_inner);
    let mariadb = servers.mariadb.lock().unwrap_or_else(PoisonError::into_inner);
    let kafka = servers.kafka.clone();
    let mut administrator = kafka.map(|kafka| Administrator::new(kafka, rest.clone(), sources));
    let mut look = || administrator.as_mut().map_or(Ok(()), Administrator::look);
    let tasks = check::wait_until_agreed(&workers, &rest, &mut look)?;
    let rows = check::wait_until_equal(&postgres, &mariadb, &rest, exactly_once, &mut look)?;
    if let Some(ended) = administrator.map(|administrator| administrator.ended).filter(|n| *n > 0) {
        println!("   {ended:>4} × a transaction in a partition ended that Kafka had lost");
    }
    println!("   {rows} rows are equal, after {transactions} transactions, {tasks} tasks run");
    println!(
        "   {:.0} rows/s, inserted and changed",
        transactions as f64 * load::CHANGES as f64 / time.as_secs_f64()
    );
    for (what, count) in
        faults.counts.into_iter().chain(done.into_iter().map(|(w, c)| (w.to_owned(), c)))
    {
        println!("   {count:>4} × {what}");
    }
    Ok(())
}

/// What breaks when.
struct Faults {
    start: Instant,
    random: Rng,
    counts: BTreeMap<String, u64>,
    next: Instant,
}

impl Faults {
    /// Ends what has lasted long enough, and breaks something else when it is time.
    fn tend(&mut self, workers: &mut Workers, servers: &mut Servers) -> Result<()> {
        workers.tend(false)?;
        servers.tend(false)?;
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next = Instant::now() + Duration::from_millis(self.random.u64(1000..8000));
        let worker = self.random.choice(&workers.up()).copied();
        let server = self.random.choice(&servers.up()).copied();
        let short = Duration::from_millis(self.random.u64(0..5000));
        let long = Duration::from_millis(self.random.u64(1000..20_000));
        let (what, time) = match (self.random.u64(0..10), worker, server) {
            (0..=2, Some(n), _) => {
                workers.kill(n, short)?;
                (format!("kill -9 of worker {n}"), short)
            }
            (3, Some(n), _) => {
                workers.terminate(n, short)?;
                (format!("SIGTERM to worker {n}"), short)
            }
            (4..=5, Some(n), _) => {
                workers.freeze(n, long)?;
                (format!("SIGSTOP of worker {n}"), long)
            }
            (6..=7, Some(n), _) if workers.has_net() => {
                workers.cut(n, long)?;
                (format!("network cut of worker {n}"), long)
            }
            (8.., _, Some(which)) => {
                servers.kill(which, short)?;
                (format!("kill -9 of {which:?}"), short)
            }
            _ => return Ok(()),
        };
        let at = self.start.elapsed().as_secs_f64();
        println!("{at:>7.1} s  {what}, for {:.1} s", time.as_secs_f64());
        let kind = what.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end().to_owned();
        *self.counts.entry(kind).or_default() += 1;
        Ok(())
    }
}

/// A properties file for each worker, and the URLs under which they answer.
fn worker_files(
    dir: &Path,
    servers: &Servers,
    net: Option<&Net>,
    count: usize,
    exactly_once: bool,
) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let log = match &servers.bootstrap {
        Some(bootstrap) => format!("bootstrap.servers={bootstrap}"),
        None => format!("log.dir={}", dir.join("log").display()),
    };
    let support = if exactly_once { "enabled" } else { "disabled" };
    let (mut files, mut urls) = (Vec::new(), Vec::new());
    for n in 0..count {
        let (host, port) = match net {
            Some(net) => (net.address(n), REST_PORT),
            None => ("127.0.0.1".to_owned(), free_port()?),
        };
        let file = dir.join(format!("worker-{n}.properties"));
        // Short sessions: whatever a dead worker held should move on within the time of a fault.
        fs::write(
            &file,
            format!(
                "{log}\ngroup.id=chaos\nconfig.storage.topic=c\noffset.storage.topic=o\nstatus.storage.topic=s\n\
                 config.storage.replication.factor=1\noffset.storage.replication.factor=1\n\
                 status.storage.replication.factor=1\nexactly.once.source.support={support}\n\
                 session.timeout.ms=6000\nheartbeat.interval.ms=1000\nscheduled.rebalance.max.delay.ms=5000\n\
                 consumer.isolation.level=read_committed\nconsumer.session.timeout.ms=6000\nconsumer.heartbeat.interval.ms=1000\n\
                 connector.client.config.override.policy=All\nlisteners=http://{host}:{port}\n\
                 rest.advertised.host.name={host}\nrest.advertised.port={port}\n"
            ),
        )?;
        files.push(file);
        urls.push(format!("http://{host}:{port}"));
    }
    Ok((files, urls))
}

/// The pair that follows changes, and the pair without keys.
fn configs(servers: &Servers, required: bool) -> Configs {
    let [postgres, mariadb] = &servers.addresses;
    let source = |tables: &[&str], mode: Value| {
        let mut config = json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "tasks.max": "2",
            "connection.url": format!("jdbc:postgresql://{postgres}/mydb"),
            "connection.user": "user", "connection.password": "password", "table.whitelist": tables.join(","),
            "topic.prefix": "", "poll.interval.ms": "100", "incrementing.column.name": "id",
            "topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
            // Changes of a row must stay in order: they go to one partition.
            "transforms": "key,id", "transforms.key.type": "org.apache.kafka.connect.transforms.ValueToKey",
            "transforms.key.fields": "id", "transforms.id.type": "org.apache.kafka.connect.transforms.ExtractField$Key",
            "transforms.id.field": "id",
        });
        merge(&mut config, mode);
        config
    };
    let sink = |tables: &[&str], mode: Value| {
        let mut config = json!({
            "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "tasks.max": "3",
            "connection.url": format!("jdbc:mysql://{mariadb}/mysql-db-sync"), "connection.user": "user",
            "connection.password": "123", "topics": tables.join(","), "max.retries": "1000", "retry.backoff.ms": "500",
        });
        merge(&mut config, mode);
        config
    };
    let mut once = source(&load::ONCE, json!({"mode": "incrementing"}));
    if required {
        merge(&mut once, json!({"exactly.once.support": "required"}));
    }
    let changes = json!({"mode": "timestamp+incrementing", "timestamp.column.name": "updated_at"});
    let upsert = json!({"insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id"});
    let insert = json!({"insert.mode": "insert", "pk.mode": "none", "offsets.storage": "target"});
    let all = [
        ("mirror-source", source(&load::MIRRORED, changes)),
        ("mirror-sink", sink(&load::MIRRORED, upsert)),
        ("once-source", once),
        ("once-sink", sink(&load::ONCE, insert)),
    ];
    let object = |config: Value| config.as_object().cloned().unwrap_or_default();
    all.into_iter().map(|(name, config)| (name.to_owned(), object(config))).collect()
}

fn merge(config: &mut Value, more: Value) {
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
}
