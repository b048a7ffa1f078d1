//! `cargo xtask compose-test`: docker-compose.yml on a real Docker engine.
//!
//! The engine is one of our own, beside any other. Images that a registry would give are built from Debian's and the language
//! registries' packages; an override file, made here, puts them in place. Everything else is the file itself, its health checks included.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::compose::Compose;
use xtask::interrupt::{self, wait};
use xtask::{http, root, screen};
use xtask_servers::port::must_be_free;
use xtask_servers::{CassandraOptions, KafkaOptions, Kind};

mod engine;
mod stand_in;

use engine::Engine;

/// How long the connectors' one-shot service may take from its start.
const PATIENCE: Duration = Duration::from_secs(600);
const BODY: &str = r#"{"id":"1237","valor":"Teste de integração"}"#;
const ROW: &str = "1237\tTeste de integração";

/// Brings the file up, sends a record through, takes it down, and looks for what is left.
pub(crate) fn run() -> Result<()> {
    let compose = Compose::read(&root().join("docker-compose.yml"))?;
    for (name, service) in &compose.services {
        for (port, _) in &service.ports {
            must_be_free(*port, &format!("the service {name}"))?;
        }
    }
    interrupt::install()?;
    screen::heading("Docker engine and images");
    KafkaOptions::install()?;
    CassandraOptions::install()?;
    let dir = tempfile::Builder::new().prefix("ferrovia-compose-").tempdir()?;
    let engine = Engine::start(dir.path())?;
    stand_in::build_images(&engine, dir.path())?;
    let file = dir.path().join("override.yml");
    fs::write(&file, stand_in::override_file(&compose, dir.path())?)?;

    screen::heading("docker compose up --build");
    let result = up_and_through(&engine, &compose, &file);
    if result.is_err() {
        // The engine is removed with all its logs.
        let logs = engine.compose(&file, &["logs", "--no-color", "--tail", "40"]);
        println!("{}", logs.unwrap_or_else(|error| format!("{error:#}")));
    }
    screen::heading("docker compose down -v");
    let down = engine.compose(&file, &["down", "-v"]).and_then(|_| nothing_left(&engine));
    engine.stop()?;
    result.and(down)?;
    println!("   nothing is left");
    Ok(())
}

fn up_and_through(engine: &Engine, compose: &Compose, file: &Path) -> Result<()> {
    engine.compose_shown(file, &["up", "--build", "--detach"])?;
    let connectors = wait("the service `connectors` to end", PATIENCE, || {
        let state = engine.compose(file, &["ps", "--all", "--quiet", "connectors"])?;
        let format = "--format={{.State.Status}} {{.State.ExitCode}}";
        let state = engine.docker(&["inspect", format, state.trim()])?;
        Ok(state.trim().strip_prefix("exited ").map(str::to_owned))
    })?;
    ensure!(connectors == "0", "the service `connectors` ended with {connectors}");
    for (name, service) in compose.services.iter().filter(|(_, service)| service.is_built) {
        let user = engine.docker(&["exec", &service.host, "id", "-u"])?;
        ensure!(user.trim() != "0", "{name} runs as root");
        wait(&format!("{name} to be healthy"), PATIENCE, || {
            let health =
                engine.docker(&["inspect", "--format={{.State.Health.Status}}", &service.host])?;
            Ok((health.trim() == "healthy").then_some(()))
        })?;
    }
    screen::heading("A record through the gateway");
    let reply = http::post("http://127.0.0.1:8080/carga", BODY)?;
    ensure!(reply.status == 200, "carga answered {reply:?}");
    let row = wait("the row in MySQL", PATIENCE, || row_in_mysql(engine, compose))?;
    ensure!(row == ROW, "MySQL should hold {ROW:?} and holds {row:?}");
    println!("   MySQL holds {row:?}");
    Ok(())
}

/// The target's rows, once the sink has made the table and filled it.
fn row_in_mysql(engine: &Engine, compose: &Compose) -> Result<Option<String>> {
    let mysql = compose.service("mysql")?;
    let (user, database) = (mysql.variable("MYSQL_USER")?, mysql.variable("MYSQL_DATABASE")?);
    let password = format!("-p{}", mysql.variable("MYSQL_PASSWORD")?);
    let select = "SELECT id, valor FROM `postgres-tabela`";
    let rows = engine.docker(&[
        "exec",
        &mysql.host,
        "mysql",
        "-u",
        user,
        &password,
        "-h",
        "127.0.0.1",
        "-N",
        "-B",
        "--default-character-set=utf8mb4",
        database,
        "-e",
        select,
    ]);
    match rows {
        Err(error) if format!("{error:#}").contains("doesn't exist") => Ok(None),
        rows => Ok(Some(rows?.trim_end().to_owned()).filter(|rows| !rows.is_empty())),
    }
}

fn nothing_left(engine: &Engine) -> Result<()> {
    for (what, list) in [
        ("containers", &["ps", "--all", "--quiet"][..]),
        ("volumes", &["volume", "ls", "--quiet"]),
        ("networks", &["network", "ls", "--quiet", "--filter", "type=custom"]),
    ] {
        let left = engine.docker(list).with_context(|| format!("cannot list {what}"))?;
        ensure!(left.trim().is_empty(), "{what} are left: {}", left.trim());
    }
    Ok(())
}
