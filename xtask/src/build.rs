//! Building the project's own programs with cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use serde_json::Value;

use crate::{root, screen};

/// Programs that a build made, by name.
#[derive(Debug)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Where the program `name` is.
    pub fn path(&self, name: &str) -> Result<&Path> {
        let known: Vec<_> = self.0.keys().map(String::as_str).collect();
        let path = self.0.get(name).map(PathBuf::as_path);
        path.with_context(|| {
            format!("the build made no program `{name}`, only {}", known.join(", "))
        })
    }
}

/// Which profile to build with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `target/debug`.
    Debug,
    /// `target/release`.
    Release,
}

/// Builds the programs of `packages`, with a bar of the crates done.
pub fn programs(packages: &[&str], profile: Profile) -> Result<Programs> {
    let selected = packages.iter().flat_map(|package| ["-p", package]);
    let mut cargo = cargo();
    cargo
        .args(["build", "--bins", "--message-format=json-render-diagnostics"])
        .args(selected.clone());
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let bar = screen::bar(&format!("building {}", packages.join(", ")), count_crates(packages)?);
    // cargo's own progress would draw over the bar; its errors come at the end.
    cargo.arg("--quiet").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = cargo.spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo without output")?;
    let programs = follow(BufReader::new(output), &bar);
    let status = child.wait()?;
    bar.finish_and_clear();
    if !status.success() {
        bail!("the build failed with {status}; the compiler's messages are above");
    }
    Ok(Programs(programs?))
}

/// The cargo that runs us, in the project's folder.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn follow(messages: impl BufRead, bar: &ProgressBar) -> Result<BTreeMap<String, PathBuf>> {
    let mut done = BTreeSet::new();
    let mut programs = BTreeMap::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let Some(package) = message["package_id"].as_str() else { continue };
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if done.insert(package.to_owned()) {
            bar.set_position(done.len() as u64);
            bar.set_message(name.to_owned());
        }
        if let Some(program) = message["executable"].as_str() {
            programs.insert(name.to_owned(), PathBuf::from(program));
        }
    }
    Ok(programs)
}

/// How many crates a build of `packages` takes at most.
fn count_crates(packages: &[&str]) -> Result<u64> {
    let mut tree = cargo();
    tree.args([
        "tree",
        "--quiet",
        "--prefix",
        "none",
        "--edges",
        "normal,build",
        "--format",
        "{p}",
    ]);
    tree.args(packages.iter().flat_map(|package| ["-p", package]));
    let output = tree.stdin(Stdio::null()).output().context("cannot run cargo")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("cannot resolve the dependencies (is crates.io reachable?): {}", reason.trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let crates = text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|l| !l.is_empty());
    Ok(crates.collect::<BTreeSet<_>>().len() as u64)
}
