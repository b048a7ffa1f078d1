//! `cargo xtask bench --latency`: how long after its commit in PostgreSQL a row is visible in MariaDB, one row at a time.

use std::{
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use xtask::http;
use xtask_servers::Kafka;

use super::{
    chain::{self, Parts},
    client::Client,
};

/// Rows that are measured, unless another number is asked for.
pub(crate) const ROWS: u64 = 400;
/// Between two rows: twenty a second, and never in phase with the poll.
const PAUSE: (u64, u64) = (25_000, 75_000);
/// Rows before those that count: everything is connected and prepared.
const WARM_UP: usize = 20;
/// Between two looks at the target.
const LOOK: Duration = Duration::from_millis(1);
/// Longest time for one row.
const LATEST: Duration = Duration::from_secs(60);

/// Milliseconds from commit to visible, of one way.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    pub(crate) name: String,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// Measures each way, polling every 100 ms and notified, and prints the table.
pub(crate) fn measure(
    parts: &Parts<'_>,
    rows: u64,
    logs: &[Option<&Kafka>],
    dir: &Path,
) -> Result<Vec<Latency>> {
    println!(
        "{rows} rows, one at a time, 20 a second: PostgreSQL commit -> visible in MariaDB, ms\n\n{HEADER}"
    );
    let mut table = Vec::new();
    for kafka in logs {
        for notified in [false, true] {
            let log = if kafka.is_some() { "Kafka" } else { "embedded" };
            let way = if notified { "notify.channel" } else { "poll.interval.ms=100" };
            let work = dir.join(format!(
                "{}-{}",
                log.to_lowercase(),
                if notified { "notify" } else { "poll" }
            ));
            let each = one(parts, rows, *kafka, notified, &work)?;
            let latency = summary(format!("{log}, {way}"), each);
            println!("{}", line(&latency));
            table.push(latency);
        }
    }
    Ok(table)
}

const HEADER: &str = "                                    p50     p90     p99     max";

fn line(latency: &Latency) -> String {
    let Latency { name, p50, p90, p99, max } = latency;
    format!("{name:<32}{p50:>7.1} {p90:>7.1} {p99:>7.1} {max:>7.1}")
}

fn summary(name: String, rows: Vec<Duration>) -> Latency {
    let mut rows: Vec<f64> = rows.iter().map(|row| row.as_secs_f64() * 1000.0).collect();
    rows.sort_by(f64::total_cmp);
    let at = |quantile: f64| {
        let rank = (rows.len() as f64 * quantile).ceil() as usize;
        rows.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    Latency { name, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
}

/// Each row's time.
fn one(
    parts: &Parts<'_>,
    rows: u64,
    kafka: Option<&Kafka>,
    notified: bool,
    work: &Path,
) -> Result<Vec<Duration>> {
    let (mut worker, url, name) = chain::start(parts.connect, kafka, false, work)?;
    let topic = format!("{name}-latency");
    parts.postgres.query(
        "DROP TABLE IF EXISTS latency; CREATE TABLE latency (id serial PRIMARY KEY, valor text NOT NULL, \
         updated_at timestamp NOT NULL DEFAULT now())",
    )?;
    parts.mariadb.query(&format!(
        "DROP TABLE IF EXISTS `{topic}`; CREATE TABLE `{topic}` (id bigint PRIMARY KEY, valor text NOT NULL, \
         updated_at datetime(3) NOT NULL)"
    ))?;
    for config in configs(parts, &name, notified) {
        let reply = http::post(&format!("{url}/connectors"), &config.to_string())?;
        ensure!(reply.status == 201, "POST /connectors: {} {}", reply.status, reply.body);
    }
    let total = WARM_UP + usize::try_from(rows)?;
    let reader = Client::mariadb(parts.mariadb)?;
    let look = format!("SELECT COALESCE(MAX(id), 0) FROM `{topic}`;");
    let (arrived, first) = mpsc::channel();
    let seen = thread::spawn(move || watch(reader, &look, total, &arrived));
    let mut writer = Client::psql(parts.postgres)?;
    let mut committed = Vec::with_capacity(total);
    for _ in 0..total {
        thread::sleep(Duration::from_micros(fastrand::u64(PAUSE.0..PAUSE.1)));
        writer.ask("INSERT INTO latency (valor) VALUES (repeat('x', 84)) RETURNING id;")?;
        committed.push(Instant::now());
        // By then the sink has its place in its group.
        if committed.len() == 1 {
            first.recv_timeout(LATEST).context("the first row does not arrive")?;
        }
    }
    let seen = seen.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    let seen = seen.with_context(|| worker.last_words())?;
    worker.terminate(Duration::from_secs(30))?;
    let both = committed.iter().zip(seen).skip(WARM_UP);
    Ok(both.map(|(committed, seen)| seen.saturating_duration_since(*committed)).collect())
}

/// When each of the rows was first there.
fn watch(
    mut reader: Client,
    look: &str,
    total: usize,
    arrived: &mpsc::Sender<()>,
) -> Result<Vec<Instant>> {
    let (mut seen, mut last) = (Vec::with_capacity(total), Instant::now());
    while seen.len() < total {
        let highest: usize = reader.ask(look)?.parse().context("the highest id")?;
        let now = Instant::now();
        if highest > seen.len() {
            seen.resize(highest.min(total), now);
            // Only the first is waited for.
            let _ = arrived.send(());
            last = now;
        }
        ensure!(last.elapsed() < LATEST, "row {} does not arrive", seen.len() + 1);
        thread::sleep(LOOK);
    }
    Ok(seen)
}

fn configs(parts: &Parts<'_>, name: &str, notified: bool) -> [serde_json::Value; 2] {
    let mut source = json!({"name": format!("{name}-source"), "config": {
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
        "connection.url": format!("jdbc:postgresql://127.0.0.1:{}/mydb", parts.postgres.port()),
        "connection.user": "user", "connection.password": "password",
        "table.whitelist": "latency", "mode": "incrementing", "incrementing.column.name": "id",
        "topic.prefix": format!("{name}-"), "poll.interval.ms": "100",
    }});
    if notified {
        source["config"]["poll.interval.ms"] = "60000".into();
        source["config"]["notify.channel"] = "latency".into();
        source["config"]["notify.install.trigger"] = "true".into();
    }
    let sink = json!({"name": format!("{name}-sink"), "config": {
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "connection.url": format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", parts.mariadb.port()),
        "connection.user": "user", "connection.password": "123",
        "topics": format!("{name}-latency"), "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id",
    }});
    [source, sink]
}
