//! A Docker engine for one run: Debian's, with data of its own, no bridge of its own and no firewall rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xtask::{root, screen};
use xtask_servers::{Process, apt, cache, output_of};

/// The version of Docker Compose that is built, where Go is there.
const COMPOSE_VERSION: &str = "v2.40.3";
/// Debian's engine and client.
const ENGINE: apt::Package = apt::Package { name: "docker.io", proof: "/usr/sbin/dockerd" };
/// Debian's own Compose, an older one, where there is no Go.
const OLD_COMPOSE: apt::Package =
    apt::Package { name: "docker-compose", proof: "/usr/bin/docker-compose" };
/// Name of the project, and so the first part of its volumes' names.
const PROJECT: &str = "ferrovia";

/// A running engine.
pub(super) struct Engine {
    process: Process,
    host: String,
    compose: PathBuf,
    network_namespace: PathBuf,
}

impl Engine {
    /// Installs what is missing and starts the engine with its socket in `dir`.
    pub(super) fn start(dir: &Path) -> Result<Self> {
        apt::ensure(&[ENGINE])?;
        let compose = compose_program()?;
        let data = cache::dir().join("docker");
        fs::create_dir_all(&data)?;
        let data = data.canonicalize()?;
        let host = format!("unix://{}", dir.join("docker.sock").display());
        let mut dockerd = Command::new(ENGINE.proof);
        dockerd.arg("--data-root").arg(&data).arg("--exec-root").arg(dir.join("exec"));
        dockerd.arg("-p").arg(dir.join("engine.pid")).args(["-H", &host]);
        dockerd.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        let process = Process::spawn("dockerd", &dockerd, &dir.join("dockerd.log"))?;
        let network_namespace = dir.join("exec/netns/default");
        let mut engine = Self { process, host, compose, network_namespace };
        let spinner = screen::spinner("starting a Docker engine");
        let host = engine.host.clone();
        engine
            .process
            .wait_ready(Duration::from_secs(60), || output_of(docker(&host).arg("info")).is_ok())?;
        spinner.finish_and_clear();
        Ok(engine)
    }

    /// Runs `docker` with these words and returns what it prints.
    pub(super) fn docker(&self, words: &[&str]) -> Result<String> {
        output_of(docker(&self.host).args(words))
    }

    /// Builds an image from a Dockerfile and a folder; a build reaches the network by the host's.
    pub(super) fn build(&self, tag: &str, dockerfile: &Path, context: &Path) -> Result<()> {
        let spinner = screen::spinner(&format!("building a stand-in for {tag}"));
        let mut build = docker(&self.host);
        build.args(["build", "--network=host", "--progress=plain", "-t", tag, "-f"]);
        let built = output_of(build.arg(dockerfile).arg(context));
        spinner.finish_and_clear();
        built.map(drop)
    }

    /// Runs Compose on docker-compose.yml and the override file and returns what it prints.
    pub(super) fn compose(&self, overrides: &Path, words: &[&str]) -> Result<String> {
        output_of(self.compose_command(overrides).args(words))
    }

    /// The same with its output on our own.
    pub(super) fn compose_shown(&self, overrides: &Path, words: &[&str]) -> Result<()> {
        let status = self.compose_command(overrides).args(words).status();
        let status = status.context("cannot run Compose")?;
        ensure!(status.success(), "docker compose {} ended with {status}", words.join(" "));
        Ok(())
    }

    fn compose_command(&self, overrides: &Path) -> Command {
        let mut compose = Command::new(&self.compose);
        compose.args(["-p", PROJECT, "-f"]).arg(root().join("docker-compose.yml"));
        compose.arg("-f").arg(overrides);
        // Without the next, Debian's Compose builds without BuildKit.
        compose.env("DOCKER_HOST", &self.host).env("DOCKER_BUILDKIT", "1");
        compose.env("COMPOSE_DOCKER_CLI_BUILD", "1").env("PATH", debian_first());
        compose
    }

    /// Ends the engine in an orderly way.
    pub(super) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.process.terminate(Duration::from_secs(60))?;
        if self.network_namespace.exists() {
            // The engine leaves it mounted, and so its folder could not be removed.
            output_of(Command::new("umount").arg(&self.network_namespace))?;
            fs::remove_file(&self.network_namespace)?;
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // After an error or Ctrl-C: the first error is the one that matters.
        let _ = self.end();
    }
}

fn docker(host: &str) -> Command {
    // Debian's client has BuildKit built in; another one on the path may want a plugin for it.
    let mut docker = Command::new("/usr/bin/docker");
    docker.env("DOCKER_HOST", host).env("DOCKER_BUILDKIT", "1");
    docker
}

/// The path with Debian's programs first, so that Compose calls Debian's docker.
fn debian_first() -> String {
    format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default())
}

/// Docker Compose 2 built from its Go module, or Debian's Compose 1.29 where there is no Go.
fn compose_program() -> Result<PathBuf> {
    if apt::find("go").is_none() {
        apt::ensure(&[OLD_COMPOSE])?;
        return Ok(PathBuf::from(OLD_COMPOSE.proof));
    }
    let place = cache::once(&format!("compose-{COMPOSE_VERSION}"), |place| {
        let spinner = screen::spinner("building Docker Compose");
        let module = place.join("module");
        fs::create_dir(&module)?;
        // `go install` refuses modules that exclude versions, as Compose does; a module that uses it as a tool may build it.
        for words in [
            &["mod", "init", "local/compose"][..],
            &["get", "-tool", &format!("github.com/docker/compose/v2/cmd@{COMPOSE_VERSION}")],
            &[
                "build",
                "-trimpath",
                &format!(
                    "-ldflags=-s -w -X github.com/docker/compose/v2/internal.Version={COMPOSE_VERSION}"
                ),
                "-o",
                &place.join("docker-compose").to_string_lossy(),
                "github.com/docker/compose/v2/cmd",
            ],
        ] {
            output_of(Command::new("go").args(words).current_dir(&module).env("CGO_ENABLED", "0"))?;
        }
        spinner.finish_and_clear();
        Ok(())
    })?;
    let program = place.join("docker-compose");
    if !program.exists() {
        bail!("{} is missing", program.display());
    }
    Ok(program)
}
