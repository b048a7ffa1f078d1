//! `cargo xtask test`: what CI runs.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::build::cargo;
use xtask_servers::{CassandraOptions, ConnectJvmOptions, KafkaOptions, Kind, MySqlOptions, apt};

use crate::{api_test, tidy};

/// A step with its result and duration.
struct Step {
    name: &'static str,
    result: Result<()>,
    took: Duration,
}

/// Installs what the checks need, runs all of them, and fails when one did.
pub(crate) fn run() -> Result<()> {
    let mut steps = Vec::new();
    let mut step = |name, check: &dyn Fn() -> Result<()>| {
        println!("\n== {name}");
        let start = Instant::now();
        let result = check();
        if let Err(error) = &result {
            println!("{name} failed: {error:#}");
        }
        steps.push(Step { name, result, took: start.elapsed() });
    };
    step("install", &install);
    step("format", &|| status(cargo().args(["fmt", "--all", "--check"])));
    step("tidy", &tidy::run);
    step("licences", &deny);
    step("clippy", &|| {
        let mut clippy = cargo();
        clippy.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        status(&mut clippy)
    });
    step("doc", &|| {
        let mut doc = cargo();
        doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        status(&mut doc)
    });
    step("api", &api_test::run);
    step("test", &|| status(cargo().args(["test", "--workspace", "--no-fail-fast"])));

    println!("\n== summary");
    for Step { name, result, took } in &steps {
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("   {name:<10}{:>6.0} s  {word}", took.as_secs_f64());
    }
    let failed: Vec<_> = steps.iter().filter(|s| s.result.is_err()).map(|s| s.name).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Writes the generated part of `docs/reference` anew: the tests that compare it do.
pub(crate) fn docs() -> Result<()> {
    apt::ensure(&[apt::POSTGRESQL, apt::MARIADB])?;
    let types = "types::";
    for (package, tests) in [
        ("api", "reference"),
        ("connect-core-kafka", "reference"),
        ("connectors-postgres", types),
        ("connectors-mysql", types),
    ] {
        let mut test = cargo();
        test.args(["test", "-p", package, "--test", "it", tests]).env("UPDATE_DOCS", "1");
        status(&mut test)?;
    }
    Ok(())
}

fn install() -> Result<()> {
    apt::ensure(&[
        apt::GCC,
        apt::GXX,
        apt::MAKE,
        apt::PERL,
        apt::ZLIB,
        apt::POSTGRESQL,
        apt::MARIADB,
    ])?;
    apt::ensure(&[apt::JAVA, apt::MAVEN, apt::MMDEBSTRAP])?;
    // Downloads belong here, not into the deadlines of tests.
    KafkaOptions::install()?;
    ConnectJvmOptions::install()?;
    CassandraOptions::install()?;
    if let Err(error) = MySqlOptions::install() {
        println!("MySQL itself cannot be had here, MariaDB stands for it: {error:#}");
    }
    Ok(())
}

/// Checked where cargo-deny is installed: building it takes longer than everything else.
fn deny() -> Result<()> {
    if apt::find("cargo-deny").is_none() {
        println!("cargo-deny is not installed: deny.toml is not checked");
        return Ok(());
    }
    status(cargo().args(["deny", "check"]))
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(())
}
