//! `cargo xtask demo`: the whole system on this machine, and a record followed through it.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use xtask::build::{self, Profile};
use xtask::interrupt::{self, wait};
use xtask::{http, root, screen};
use xtask_servers::port::must_be_free;
use xtask_servers::{MariaDb, MariaDbOptions, Postgres, PostgresOptions, apt};

mod stops;
mod system;

use system::{CARGA, CONNECT, SYNC, System};

/// How long a record may take from one end to the other on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo; `once` ends it when the record has arrived.
pub(crate) fn run(once: bool) -> Result<()> {
    println!(
        "Ferrovia demo: PostgreSQL and MariaDB in private directories, the system in one process on its embedded log.\n\
         Needs: Rust, a C compiler, PostgreSQL, MariaDB (installed with apt when missing), crates.io for the first build,\n\
         and the ports {CARGA} (carga), {SYNC} (sync) and {CONNECT} (Connect's REST API)."
    );
    ports_are_free()?;
    screen::heading("Preparing");
    let tools =
        [apt::GCC, apt::GXX, apt::MAKE, apt::PERL, apt::ZLIB, apt::POSTGRESQL, apt::MARIADB];
    apt::ensure(&tools)?;
    let programs = build::programs(&["api", "examples"], Profile::Release)?;
    interrupt::install()?;
    let dir = tempfile::Builder::new().prefix("ferrovia-demo-").tempdir()?;
    match in_dir(&dir, programs.path("system")?, once) {
        Err(error) if interrupt::happened() => {
            println!("\nstopped: {error:#}");
            Ok(())
        }
        Err(error) => {
            let kept = dir.keep();
            Err(error.context(format!("the demo failed; data and logs are in {}", kept.display())))
        }
        Ok(()) => Ok(()),
    }
}

fn in_dir(dir: &TempDir, program: &Path, once: bool) -> Result<()> {
    let spinner = screen::spinner("starting PostgreSQL and MariaDB");
    let (postgres, mariadb) = databases(dir.path())?;
    spinner.finish_and_clear();
    let tables = root().join("examples/sql/postgres.sql");
    postgres.query(&read(&tables)?).context("cannot create the table in PostgreSQL")?;
    println!("   PostgreSQL on {}, MariaDB on {}", postgres.address(), mariadb.address());

    // The build took its time; whatever came to listen there meanwhile would answer in our system's place.
    ports_are_free()?;
    let mut system = System::start(program, dir.path(), &postgres, &mariadb)?;
    screen::heading("Connectors, as the user wrote them");
    connectors(&mut system, &["connector_config.json", "mysql-sink.json"])?;
    screen::heading("A record on its way");
    stops::follow(&mut system, &postgres, &mariadb)?;
    screen::heading("Ids in any order, rows that change: the upsert pair");
    connectors(&mut system, &["upsert-source.json", "upsert-sink.json"])?;
    stops::mirror(&mut system, &mariadb)?;

    if !once {
        keep_running(&mut system, &postgres, &mariadb)?;
    }
    system.stop()
}

fn ports_are_free() -> Result<()> {
    must_be_free(CARGA, "carga")?;
    must_be_free(SYNC, "sync")?;
    must_be_free(CONNECT, "the Connect worker")
}

fn databases(dir: &Path) -> Result<(Postgres, MariaDb)> {
    let (for_postgres, for_mariadb) = (dir.join("postgres"), dir.join("mariadb"));
    let postgres =
        thread::spawn(move || Postgres::start(&for_postgres, PostgresOptions::default()));
    let mariadb = MariaDb::start(&for_mariadb, MariaDbOptions::default());
    let postgres = postgres.join().map_err(|_| anyhow::anyhow!("starting PostgreSQL panicked"))?;
    Ok((postgres?, mariadb?))
}

/// POSTs files of `examples/` byte for byte and waits until what they describe runs.
fn connectors(system: &mut System, files: &[&str]) -> Result<()> {
    for file in files {
        let text = read(&root().join("examples").join(file))?;
        let reply = http::post(&format!("http://127.0.0.1:{CONNECT}/connectors"), &text)?;
        ensure!(
            reply.status == 201,
            "the worker answered {file} with {}, not 201: {}",
            reply.status,
            reply.body
        );
        let name = reply.json()?["name"].as_str().unwrap_or_default().to_owned();
        let what = format!("{name} to run");
        let spinner = screen::spinner(&format!("POST {file}: 201, waiting for {what}"));
        let url = format!("http://127.0.0.1:{CONNECT}/connectors/{name}/status");
        wait(&what, PATIENCE, || {
            system.check()?;
            let status = http::get(&url)?;
            ensure!(!status.body.contains("FAILED"), "{name} failed: {}", status.body);
            let status = status.json().unwrap_or_default();
            let runs = |part: &serde_json::Value| part["state"] == "RUNNING";
            let tasks = status["tasks"].as_array().filter(|tasks| !tasks.is_empty());
            let all = runs(&status["connector"]) && tasks.is_some_and(|t| t.iter().all(runs));
            Ok(all.then_some(()))
        })?;
        spinner.finish_and_clear();
        println!("   POST {file}: 201, {name} runs");
    }
    Ok(())
}

fn keep_running(system: &mut System, postgres: &Postgres, mariadb: &MariaDb) -> Result<()> {
    screen::heading("Running until Ctrl-C");
    println!(
        "   carga    POST http://127.0.0.1:{CARGA}/carga\n\
         \x20  sync     GET  http://127.0.0.1:{SYNC}/health\n\
         \x20  Connect  http://127.0.0.1:{CONNECT}/connectors\n\
         \x20  try      curl -d '{{\"id\":\"1238\",\"valor\":\"Olá\"}}' -H 'Content-Type: application/json' http://127.0.0.1:{CARGA}/carga\n\
         \x20  source   PGPASSWORD=password psql -h 127.0.0.1 -p {} -U user mydb -c 'TABLE tabela'\n\
         \x20  target   mariadb -h 127.0.0.1 -P {} -u user -p123 mysql-db-sync -e 'SELECT * FROM `postgres-tabela`; SELECT * FROM tabela_espelho'",
        postgres.port(),
        mariadb.port()
    );
    let ended = wait("Ctrl-C", Duration::MAX, || system.check().map(|()| None::<()>));
    match ended {
        Err(_) if interrupt::happened() => {
            println!("\nstopping");
            Ok(())
        }
        other => other,
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
