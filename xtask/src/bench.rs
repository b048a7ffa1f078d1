//! `cargo xtask bench`: rows from PostgreSQL through the log into MariaDB, beside what the databases themselves need for
//! it (`COPY | LOAD DATA`), in one run; `--reverse` adds the way back, so that each of the four connectors is measured.

mod chain;
mod cpu;
mod floor;
mod latency;
pub(crate) mod stages;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use xtask::build::{self, Profile};
use xtask_servers::{Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres, PostgresOptions};

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Rows of 100 bytes.
    pub(crate) rows: u64,
    /// Runs of each kind; medians are shown.
    pub(crate) runs: usize,
    /// Whether to measure on Kafka.
    pub(crate) kafka: bool,
    /// Whether to measure on the embedded log.
    pub(crate) embedded: bool,
    /// Whether to measure the way from MariaDB to PostgreSQL too.
    pub(crate) reverse: bool,
    /// Whether to measure the time of single rows instead.
    pub(crate) latency: bool,
    /// The `connect` to run, instead of one that is built.
    pub(crate) program: Option<PathBuf>,
}

/// Rows of a measurement, and those that arrive one at a time.
const ROWS: (u64, u64) = (500_000, 400);

impl Options {
    /// Reads `--rows N`, `--runs N`, `--kafka`, `--embedded`, `--reverse`, `--latency`, `--program PATH`; without `--kafka` and `--embedded`, both are
    /// measured.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            rows: 0,
            runs: 1,
            kafka: false,
            embedded: false,
            reverse: false,
            latency: false,
            program: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<u64> {
                let text = words.next().with_context(|| format!("{word} needs a number"))?;
                text.replace('_', "")
                    .parse()
                    .with_context(|| format!("{word} {text}: not a number"))
            };
            match *word {
                "--program" => {
                    let path = words.next().context("--program needs a path")?;
                    options.program = Some(PathBuf::from(path));
                }
                "--latency" => options.latency = true,
                "--rows" => options.rows = number()?,
                "--runs" => options.runs = number()?.max(1) as usize,
                "--kafka" => options.kafka = true,
                "--embedded" => options.embedded = true,
                "--reverse" => options.reverse = true,
                other => bail!(
                    "bench knows --rows N, --runs N, --kafka, --embedded, --reverse, --latency and --program PATH, not {other}"
                ),
            }
        }
        if !options.kafka && !options.embedded {
            (options.kafka, options.embedded) = (true, true);
        }
        if options.rows == 0 {
            options.rows = if options.latency { ROWS.1 } else { ROWS.0 };
        }
        Ok(options)
    }
}

/// What one way of moving the rows cost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    pub(crate) wall: f64,
    /// CPU seconds.
    pub(crate) worker: f64,
    pub(crate) postgres: f64,
    pub(crate) mariadb: f64,
    pub(crate) broker: f64,
    /// Most resident memory of the worker in MB.
    pub(crate) memory: f64,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let connect = match &options.program {
        Some(path) => path.clone(),
        None => build::programs(&["api"], Profile::Release)?.path("connect")?.to_owned(),
    };
    let connect = connect.as_path();
    let dir = tempfile::tempdir()?;
    let postgres = Postgres::start(&dir.path().join("postgres"), PostgresOptions::default())?;
    let settings = [
        "--innodb-buffer-pool-size=512M",
        "--local-infile=1",
        "--innodb-flush-log-at-trx-commit=1",
    ];
    let mariadb = MariaDbOptions {
        args: settings.iter().map(|arg| (*arg).to_owned()).collect(),
        ..MariaDbOptions::default()
    };
    let mariadb = MariaDb::start(&dir.path().join("mariadb"), mariadb)?;
    let kafka = match options.kafka {
        true => Some(Kafka::start(&dir.path().join("kafka"), KafkaOptions::default())?),
        false => None,
    };
    if options.latency {
        let logs = [options.embedded.then_some(None), kafka.as_ref().map(Some)];
        let logs: Vec<_> = logs.into_iter().flatten().collect();
        let rows = options.rows;
        let parts =
            chain::Parts { connect, postgres: &postgres, mariadb: &mariadb, rows, reverse: false };
        return latency::measure(&parts, &logs, dir.path()).map(drop);
    }
    fill(&postgres, options.rows)?;
    if options.reverse {
        fill_mariadb(&mariadb, options.rows)?;
    }
    println!(
        "{} rows of 100 bytes, PostgreSQL -> log -> MariaDB, {} run(s)\n",
        options.rows, options.runs
    );
    let mut table: Vec<(String, Vec<Cost>)> = Vec::new();
    for run in 0..options.runs {
        let mut add = |name: &str, cost: Cost| {
            println!("{}", line(&format!("run {}: {name}", run + 1), options.rows, &cost));
            match table.iter_mut().find(|(known, _)| known == name) {
                Some((_, costs)) => costs.push(cost),
                None => table.push((name.to_owned(), vec![cost])),
            }
        };
        add("COPY | LOAD DATA", floor::measure(&postgres, &mariadb, options.rows)?);
        for reverse in [false, true].into_iter().filter(|reverse| !reverse || options.reverse) {
            let rows = options.rows;
            let parts =
                chain::Parts { connect, postgres: &postgres, mariadb: &mariadb, rows, reverse };
            let way = if reverse { ", reverse" } else { "" };
            if let Some(kafka) = &kafka {
                for schemas in [false, true] {
                    let kind = if schemas { "with schema" } else { "schemaless" };
                    let work = dir.path().join(format!("kafka-{run}-{schemas}-{reverse}"));
                    let cost = chain::measure(&parts, Some(kafka), schemas, &work)?;
                    add(&format!("Kafka, {kind}{way}"), cost);
                }
            }
            if options.embedded {
                let work = dir.path().join(format!("embedded-{run}-{reverse}"));
                let cost = chain::measure(&parts, None, false, &work)?;
                add(&format!("embedded, schemaless{way}"), cost);
            }
        }
    }
    println!("\n{HEADER}");
    for (name, costs) in table {
        println!("{}", line(&name, options.rows, &median(&costs)));
    }
    Ok(())
}

const HEADER: &str = "                               rows/s  wall s  worker CPU s  peak MB  PostgreSQL CPU s  MariaDB CPU s  broker CPU s";

fn line(name: &str, rows: u64, cost: &Cost) -> String {
    format!(
        "{name:<28}{:>9.0}{:>8.2}{:>14.2}{:>9.0}{:>18.2}{:>15.2}{:>14.2}",
        rows as f64 / cost.wall,
        cost.wall,
        cost.worker,
        cost.memory,
        cost.postgres,
        cost.mariadb,
        cost.broker
    )
}

/// Each figure's own median.
fn median(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    Cost {
        wall: of(|c| c.wall),
        worker: of(|c| c.worker),
        postgres: of(|c| c.postgres),
        mariadb: of(|c| c.mariadb),
        broker: of(|c| c.broker),
        memory: of(|c| c.memory),
    }
}

/// The table that is copied: a key, a text and a timestamp, 100 bytes a row.
fn fill(postgres: &Postgres, rows: u64) -> Result<()> {
    postgres.query(&format!(
        "CREATE TABLE bench (id bigint PRIMARY KEY, valor text NOT NULL, updated_at timestamp NOT NULL); \
         INSERT INTO bench SELECT g, rpad(md5(g::text), 84, 'x'), timestamp '2021-01-01' + g * interval '1 second' \
         FROM generate_series(1, {rows}) g; ANALYZE bench"
    ))?;
    Ok(())
}

/// The same in MariaDB.
fn fill_mariadb(mariadb: &MariaDb, rows: u64) -> Result<()> {
    mariadb.query(&format!(
        "CREATE TABLE bench (id bigint PRIMARY KEY, valor text NOT NULL, updated_at datetime NOT NULL); \
         INSERT INTO bench SELECT seq, RPAD(MD5(seq), 84, 'x'), TIMESTAMP'2021-01-01 00:00:00' + INTERVAL seq SECOND \
         FROM seq_1_to_{rows}"
    ))?;
    Ok(())
}

/// Most time that one measurement may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1800);
