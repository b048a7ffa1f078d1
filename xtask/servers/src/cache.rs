//! Programs that are unpacked once and used by every later run.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{apt, output_of};

/// The directory that outlives a run: `$FERROVIA_CACHE`, or else `target/servers` of the workspace.
pub fn dir() -> PathBuf {
    match env::var_os("FERROVIA_CACHE") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/servers"),
    }
}

/// Makes `dir()/name` by calling `build` with it, unless it is there complete. Processes that want the same thing at the
/// same time wait for the first one; what an interrupted run left is removed.
pub fn once(name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = dir().join(name);
    let complete = place.join(".complete");
    if !complete.exists() {
        fs::create_dir_all(dir()).with_context(|| format!("cannot create {}", dir().display()))?;
        let lock = File::create(dir().join(format!("{name}.lock")))?;
        lock.lock()?;
        if !complete.exists() {
            if place.exists() {
                fs::remove_dir_all(&place)?;
            }
            fs::create_dir_all(&place)?;
            eprintln!("installing {name} in {}", place.display());
            build(&place)?;
            File::create(&complete)?;
        }
    }
    Ok(place.canonicalize()?)
}

/// Fetches jars (`group:artifact:version`) with all that they need from Maven Central into `dir()/name`.
pub fn jars(name: &str, artifacts: &[String]) -> Result<PathBuf> {
    apt::ensure(&[apt::JAVA])?;
    once(name, |place| {
        apt::ensure(&[apt::MAVEN])?;
        let dependencies: String = artifacts.iter().map(|artifact| dependency(artifact)).collect();
        let pom = place.join("pom.xml");
        fs::write(
            &pom,
            format!(
                "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
                 <groupId>local</groupId><artifactId>{name}</artifactId><version>1</version><packaging>pom</packaging>\
                 <dependencies>{dependencies}</dependencies></project>"
            ),
        )?;
        let mut maven = Command::new("mvn");
        maven.args(["-B", "-q", "-f"]).arg(&pom);
        maven.arg("org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies");
        maven.arg("-DincludeScope=runtime");
        maven.arg(format!("-DoutputDirectory={}", place.display()));
        output_of(&mut maven).context("Maven Central must be reachable for the first run")?;
        Ok(())
    })
}

fn dependency(artifact: &str) -> String {
    let mut parts = artifact.splitn(3, ':');
    let mut part = || parts.next().unwrap_or_default();
    let (group, name, version) = (part(), part(), part());
    format!(
        "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
    )
}
