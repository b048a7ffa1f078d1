//! The worker between the databases.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::http;
use xtask_servers::{Kafka, MariaDb, Postgres, Process, port, wait_until};

use super::{Cost, DEADLINE, client::Client, cpu, table::Table};

/// What the chain runs on.
pub(crate) struct Parts<'p> {
    pub(crate) connect: &'p Path,
    pub(crate) postgres: &'p Postgres,
    pub(crate) mariadb: &'p MariaDb,
    pub(crate) table: &'p Table,
    /// From MariaDB to PostgreSQL.
    pub(crate) reverse: bool,
    /// Tasks of the sink, and partitions of the topic.
    pub(crate) tasks: u32,
}

impl Parts<'_> {
    /// Runs a statement in the target.
    fn target(&self, sql: &str) -> Result<String> {
        if self.reverse { self.postgres.query(sql) } else { self.mariadb.query(sql) }
    }

    /// A client of the target.
    fn look(&self) -> Result<Client> {
        if self.reverse { Client::psql(self.postgres) } else { Client::mariadb(self.mariadb) }
    }

    /// A name as the target quotes it.
    fn quoted(&self, name: &str) -> String {
        if self.reverse { format!("\"{name}\"") } else { format!("`{name}`") }
    }
}

/// Starts a worker in a directory of its own; with it its URL, and the name that its topics begin with.
pub(super) fn start(
    connect: &Path,
    kafka: Option<&Kafka>,
    schemas: bool,
    work: &Path,
) -> Result<(Process, String, String)> {
    fs::create_dir_all(work)?;
    let name =
        work.file_name().and_then(|name| name.to_str()).context("a directory without name")?;
    let rest = port::free_port()?;
    let log = match kafka {
        Some(kafka) => format!("bootstrap.servers={}", kafka.address()),
        None => format!("log.dir={}", work.join("log").display()),
    };
    let file = work.join("worker.properties");
    fs::write(
        &file,
        format!(
            "{log}\ngroup.id={name}\nconfig.storage.topic={name}-configs\noffset.storage.topic={name}-offsets\n\
             status.storage.topic={name}-status\nconfig.storage.replication.factor=1\n\
             offset.storage.replication.factor=1\nstatus.storage.replication.factor=1\n\
             key.converter.schemas.enable={schemas}\nvalue.converter.schemas.enable={schemas}\n\
             listeners=http://127.0.0.1:{rest}\n"
        ),
    )?;
    let mut command = Command::new(connect);
    command.arg("worker").arg(&file).env("RUST_LOG", "warn");
    let mut worker = Process::spawn("connect", &command, &work.join("worker.log"))?;
    let url = format!("http://127.0.0.1:{rest}");
    worker.wait_ready(Duration::from_secs(60), || {
        http::get(&format!("{url}/health")).is_ok_and(|reply| reply.status == 200)
    })?;
    Ok((worker, url, name.to_owned()))
}

/// Waits until the worker takes requests that change something: it has joined its group by then.
fn until_it_takes_work(url: &str) -> Result<()> {
    wait_until("a worker that takes work", Duration::from_secs(60), || {
        let reply = http::send("DELETE", &format!("{url}/connectors/none"), &[], "");
        reply.is_ok_and(|reply| reply.status == 404).then_some(())
    })
}

/// Moves the table once: source and sink connector on one worker, upserts by key.
pub(crate) fn measure(
    parts: &Parts<'_>,
    kafka: Option<&Kafka>,
    schemas: bool,
    work: &Path,
) -> Result<Cost> {
    let (mut worker, url, name) = start(parts.connect, kafka, schemas, work)?;
    until_it_takes_work(&url).with_context(|| worker.last_words())?;
    let Table { name: source, rows, .. } = parts.table;
    let table = format!("{name}-{source}");
    let quoted = parts.quoted(&table);
    parts.target(&format!("DROP TABLE IF EXISTS {quoted}"))?;
    let broker = kafka.and_then(|kafka| kafka.pid());
    let pid = |pid: Option<u32>| pid.context("the server is not running");
    let (p, m) = (pid(parts.postgres.pid())?, pid(parts.mariadb.pid())?);
    let now = || -> Result<[f64; 4]> {
        let broker = broker.map(cpu::seconds).transpose()?.unwrap_or_default();
        Ok([cpu::seconds(worker.pid())?, cpu::seconds(p)?, cpu::seconds(m)?, broker])
    };
    let (before, start) = (now()?, Instant::now());
    for config in configs(parts, &name) {
        let reply = http::post(&format!("{url}/connectors"), &config.to_string())?;
        ensure!(reply.status == 201, "POST /connectors: {} {}", reply.status, reply.body);
    }
    let within = |reply: Result<()>| reply.with_context(|| worker.last_words());
    within(wait_until("the table in the target", DEADLINE, || {
        let found =
            format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = '{table}'");
        parts.target(&found).is_ok_and(|count| count.trim() == "1").then_some(())
    }))?;
    // The greatest key costs a database next to nothing to look up, unlike a count.
    let last = format!("SELECT COALESCE((SELECT MAX(id) FROM {quoted}), 0);");
    let (mut client, mut progress) = (parts.look()?, Vec::new());
    within(wait_until("the last row in the target", DEADLINE, || {
        let max: u64 = client.ask(&last).ok()?.parse().ok()?;
        progress.push((start.elapsed().as_secs_f64(), max));
        (max == *rows).then_some(())
    }))?;
    let sum = u128::from(*rows) * u128::from(rows + 1) / 2;
    let all = format!("SELECT CONCAT(COUNT(*), ' ', SUM(id)) FROM {quoted};");
    let complete =
        |client: &mut Client| client.ask(&all).is_ok_and(|a| a == format!("{rows} {sum}"));
    // With one task the last row is the last one; its count is not a part of what is measured.
    if parts.tasks > 1 {
        within(wait_until("all rows in the target", DEADLINE, || {
            complete(&mut client).then_some(())
        }))?;
    }
    let wall = start.elapsed().as_secs_f64();
    let after = now()?;
    let memory = cpu::peak_memory(worker.pid())?;
    worker.terminate(Duration::from_secs(30))?;
    ensure!(complete(&mut client), "{rows} rows expected, found {}", client.ask(&all)?);
    parts.target(&format!("DROP TABLE {quoted}"))?;
    let [w, p, m, b] = std::array::from_fn(|at| after[at] - before[at]);
    Ok(Cost { wall, worker: w, postgres: p, mariadb: m, broker: b, memory, progress })
}

fn configs(parts: &Parts<'_>, name: &str) -> [serde_json::Value; 2] {
    let postgres = format!("jdbc:postgresql://127.0.0.1:{}/mydb", parts.postgres.port());
    let mariadb = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", parts.mariadb.port());
    let ends = [(postgres, "password"), (mariadb, "123")];
    let [from, to] = if parts.reverse { [&ends[1], &ends[0]] } else { [&ends[0], &ends[1]] };
    let source = json!({"name": format!("{name}-source"), "config": {
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
        "connection.url": from.0, "connection.user": "user", "connection.password": from.1,
        "table.whitelist": parts.table.name, "mode": "incrementing", "incrementing.column.name": "id",
        "topic.prefix": format!("{name}-"), "poll.interval.ms": "1000",
        "topic.creation.default.partitions": parts.tasks.to_string(), "topic.creation.default.replication.factor": "1",
    }});
    let sink = json!({"name": format!("{name}-sink"), "config": {
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "connection.url": to.0, "connection.user": "user", "connection.password": to.1,
        "topics": format!("{name}-{}", parts.table.name), "tasks.max": parts.tasks.to_string(), "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id",
        "auto.create": "true",
    }});
    [source, sink]
}
