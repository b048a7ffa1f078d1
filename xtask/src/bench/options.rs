//! What `cargo xtask bench` is asked for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::latency;

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Rows of 100 bytes, or those that arrive one at a time.
    pub(crate) rows: u64,
    /// Columns of the table, instead of rows of 100 bytes.
    pub(crate) columns: Option<u64>,
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
    /// Whether to measure everything, and write `docs/performance.md`.
    pub(crate) report: bool,
    /// Rows of the largest table in the report.
    pub(crate) largest: u64,
    /// The `connect` to run, instead of one that is built.
    pub(crate) program: Option<PathBuf>,
}

impl Options {
    /// Reads the words after `bench`; without `--kafka` and `--embedded`, both are measured.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            rows: 0,
            columns: None,
            runs: 0,
            kafka: false,
            embedded: false,
            reverse: false,
            latency: false,
            report: false,
            largest: 10_000_000,
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
                "--rows" => options.rows = number()?,
                "--columns" => options.columns = Some(number()?.max(2)),
                "--runs" => options.runs = number()? as usize,
                "--largest" => options.largest = number()?,
                "--kafka" => options.kafka = true,
                "--embedded" => options.embedded = true,
                "--reverse" => options.reverse = true,
                "--latency" => options.latency = true,
                "--report" => options.report = true,
                other => bail!(
                    "bench knows --rows N, --columns N, --runs N, --kafka, --embedded, --reverse, --latency, --report, --largest N, \
                     --stages and --program PATH, not {other}"
                ),
            }
        }
        if options.report || !(options.kafka || options.embedded) {
            (options.kafka, options.embedded) = (true, true);
        }
        options.reverse |= options.report;
        if options.columns.is_some() && options.reverse {
            bail!(
                "bench --columns goes one way only, from PostgreSQL: without --reverse and --report"
            );
        }
        if options.runs == 0 {
            options.runs = if options.report { 5 } else { 1 };
        }
        if options.rows == 0 {
            options.rows = if options.latency { latency::ROWS } else { 500_000 };
        }
        Ok(options)
    }
}
