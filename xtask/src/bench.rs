//! `cargo xtask bench`: rows from PostgreSQL through the log into MariaDB, beside what the databases themselves need for
//! it (`COPY | LOAD DATA`), in one run; `--reverse` adds the way back, so that each of the four connectors is measured.
//! `--report` measures everything else too, and writes `docs/performance.md`.

mod chain;
mod client;
mod cpu;
mod floor;
mod footprint;
mod growth;
mod latency;
mod options;
mod plot;
mod report;
pub(crate) mod stages;
mod table;

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use tempfile::TempDir;
use xtask::build::{self, Profile};
use xtask_servers::{Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres, PostgresOptions};

pub(crate) use options::Options;
use report::Report;
use table::Table;

/// Most time that one measurement may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1800);

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
    /// Seconds since the start, and rows in the target by then.
    pub(crate) progress: Vec<(f64, u64)>,
}

/// A way of moving the rows, with what each run of it cost.
pub(crate) type Ways = Vec<(String, Vec<Cost>)>;

/// The real parts that are measured.
pub(crate) struct Bench {
    connect: PathBuf,
    postgres: Postgres,
    mariadb: MariaDb,
    kafka: Option<Kafka>,
    dir: TempDir,
}

impl Bench {
    fn start(options: &Options) -> Result<Self> {
        let connect = match &options.program {
            Some(path) => path.clone(),
            None => build::programs(&["api"], Profile::Release)?.path("connect")?.to_owned(),
        };
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
        Ok(Self { connect, postgres, mariadb, kafka, dir })
    }

    fn parts<'b>(&'b self, table: &'b Table) -> chain::Parts<'b> {
        chain::Parts {
            connect: &self.connect,
            postgres: &self.postgres,
            mariadb: &self.mariadb,
            table,
            reverse: false,
            tasks: 1,
        }
    }

    /// The logs to measure on; none is the embedded one.
    fn logs(&self, options: &Options) -> Vec<Option<&Kafka>> {
        let embedded = options.embedded.then_some(None);
        [self.kafka.as_ref().map(Some), embedded].into_iter().flatten().collect()
    }
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let bench = Bench::start(options)?;
    if options.latency {
        let table = Table::of_rows("none", 0);
        let (parts, logs) = (bench.parts(&table), bench.logs(options));
        return latency::measure(&parts, options.rows, &logs, bench.dir.path()).map(drop);
    }
    let table = match options.columns {
        None => Table::of_rows("bench", options.rows),
        Some(columns) => Table::of_columns("bench", columns, growth::CELLS),
    };
    table.fill(&bench.postgres)?;
    if options.reverse {
        table.fill_mariadb(&bench.mariadb)?;
    }
    let ways = ways(&bench, options, &table)?;
    if !options.report {
        return Ok(());
    }
    let (logs, dir) = (bench.logs(options), bench.dir.path());
    let report = Report {
        rows: options.rows,
        runs: options.runs,
        ways,
        footprint: footprint::measure(&bench.connect, &logs, dir)?,
        latency: latency::measure(&bench.parts(&table), latency::ROWS, &logs, dir)?,
        rows_growth: growth::by_rows(&bench, &logs, options.largest)?,
        columns_growth: growth::by_columns(&bench, &logs)?,
        tasks_growth: growth::by_tasks(&bench, &logs, &table)?,
        stages: stages::table()?,
    };
    report.write()
}

fn ways(bench: &Bench, options: &Options, table: &Table) -> Result<Ways> {
    println!(
        "{} rows of {} bytes, PostgreSQL -> log -> MariaDB, {} run(s)\n",
        table.rows,
        table.row(),
        options.runs
    );
    let mut ways: Ways = Vec::new();
    for run in 0..options.runs {
        let mut add = |name: &str, cost: Cost| {
            println!("{}", line(&format!("run {}: {name}", run + 1), table.rows, &cost));
            match ways.iter_mut().find(|(known, _)| known == name) {
                Some((_, costs)) => costs.push(cost),
                None => ways.push((name.to_owned(), vec![cost])),
            }
        };
        add(FLOOR, floor::measure(&bench.postgres, &bench.mariadb, table)?);
        for reverse in [false, true].into_iter().filter(|reverse| !reverse || options.reverse) {
            let parts = chain::Parts { reverse, ..bench.parts(table) };
            let way = if reverse { ", reverse" } else { "" };
            for kafka in bench.logs(options) {
                for schemas in [false, true].into_iter().filter(|s| !s || kafka.is_some()) {
                    let log = if kafka.is_some() { "Kafka" } else { "embedded" };
                    let kind = if schemas { "with schema" } else { "schemaless" };
                    let work = format!("{}-{run}-{schemas}-{reverse}", log.to_lowercase());
                    let work = bench.dir.path().join(work);
                    let cost = chain::measure(&parts, kafka, schemas, &work)?;
                    add(&format!("{log}, {kind}{way}"), cost);
                }
            }
        }
    }
    println!("\n{HEADER}");
    for (name, costs) in &ways {
        println!("{}", line(name, table.rows, &median(costs)));
    }
    Ok(ways)
}

/// What the databases need by themselves.
pub(crate) const FLOOR: &str = "COPY | LOAD DATA";

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

/// Each figure's own median; the progress is that of the run with the median wall time.
fn median(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = costs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let wall = of(|c| c.wall);
    let middle = costs.iter().find(|cost| cost.wall == wall);
    Cost {
        wall,
        worker: of(|c| c.worker),
        postgres: of(|c| c.postgres),
        mariadb: of(|c| c.mariadb),
        broker: of(|c| c.broker),
        memory: of(|c| c.memory),
        progress: middle.map(|cost| cost.progress.clone()).unwrap_or_default(),
    }
}
