//! `cargo xtask api-test`: requests made up from the API's own description, against a running worker. Any 5xx, and any
//! answer that the description does not know, is a failure.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use xtask::build::{self, Profile};
use xtask_servers::{Process, apt, port::free_port};

/// What makes the requests up; pinned, so that a new release breaks nothing by itself.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Most time that a worker needs to start.
const START: Duration = Duration::from_secs(60);

/// Installs what is needed into `target`, and runs it.
pub(crate) fn run() -> Result<()> {
    let programs = build::programs(&["api"], Profile::Debug)?;
    let schemathesis = install()?;
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    let properties = dir.path().join("worker.properties");
    let log = dir.path().join("log");
    let text = format!("listeners=http://127.0.0.1:{port}\nlog.dir={}\n", log.display());
    fs::write(&properties, text)?;
    let mut command = Command::new(programs.path("connect")?);
    command.arg("worker").arg(&properties).env("RUST_LOG", "warn");
    let mut worker = Process::spawn("connect", &command, &dir.path().join("worker.log"))?;
    let url = format!("http://127.0.0.1:{port}");
    worker.wait_ready(START, || minreq::get(format!("{url}/health")).send().is_ok())?;
    let status = Command::new(schemathesis)
        .args(["run", &format!("{url}/openapi.json"), "--checks", CHECKS])
        // The same requests each time: a failure here is one that can be seen again.
        .args(["--seed", "1", "--max-examples", "25", "--no-color"])
        .current_dir(dir.path())
        .status()
        .context("cannot run schemathesis")?;
    if !status.success() {
        bail!("schemathesis ended with {status}; the worker said: {}", worker.last_words());
    }
    Ok(())
}

/// The program, in a Python environment of its own below `target`.
fn install() -> Result<PathBuf> {
    apt::ensure(&[apt::PYTHON_VENV])?;
    let dir = xtask::root().join("target/schemathesis");
    let program = dir.join("bin/schemathesis");
    let marker = dir.join(SCHEMATHESIS);
    if !marker.exists() {
        python(Path::new("python3"), &["-m", "venv", &dir.display().to_string()])?;
        python(&dir.join("bin/python"), &["-m", "pip", "install", "--quiet", SCHEMATHESIS])?;
        fs::write(marker, "")?;
    }
    Ok(program)
}

fn python(python: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new(python).args(arguments).status();
    let status = status.with_context(|| format!("cannot run {}", python.display()))?;
    if !status.success() {
        bail!("{} {} ended with {status}", python.display(), arguments.join(" "));
    }
    Ok(())
}
