//! What the databases need by themselves: `COPY ... TO STDOUT` into `LOAD DATA`.

use std::{process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use xtask_servers::{MariaDb, Postgres};

use super::{Cost, cpu, table::Table};

/// Copies the table once.
pub(crate) fn measure(postgres: &Postgres, mariadb: &MariaDb, table: &Table) -> Result<Cost> {
    mariadb.query(&format!(
        "DROP TABLE IF EXISTS floor; CREATE TABLE floor ({})",
        table.columns("datetime(3)")
    ))?;
    let pid = |pid: Option<u32>| pid.context("the server is not running");
    let (p, m) = (pid(postgres.pid())?, pid(mariadb.pid())?);
    let before = (cpu::seconds(p)?, cpu::seconds(m)?, Instant::now());
    let script = format!(
        "set -o pipefail; psql -q '{}' -c 'COPY {} TO STDOUT' | mariadb --no-defaults --protocol=tcp -h 127.0.0.1 \
         -P {} -u user -p123 --local-infile=1 mysql-db-sync \
         -e \"LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE floor CHARACTER SET utf8mb4\"",
        postgres.url(),
        table.name,
        mariadb.port()
    );
    let status = Command::new("bash").arg("-c").arg(script).status()?;
    ensure!(status.success(), "COPY | LOAD DATA ended with {status}");
    let wall = before.2.elapsed().as_secs_f64();
    let count = mariadb.query("SELECT COUNT(*) FROM floor")?;
    ensure!(
        count.trim() == table.rows.to_string(),
        "COPY | LOAD DATA copied {} of {} rows",
        count.trim(),
        table.rows
    );
    Ok(Cost {
        wall,
        postgres: cpu::seconds(p)? - before.0,
        mariadb: cpu::seconds(m)? - before.1,
        ..Cost::default()
    })
}
