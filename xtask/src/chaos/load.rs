//! The writer: rows that are inserted and changed all the time.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use xtask_servers::{Postgres, apt, output_of};

/// Tables whose rows are inserted and changed; the target holds them as they were last.
pub(super) const MIRRORED: [&str; 4] = ["m0", "m1", "m2", "m3"];
/// Tables whose rows are inserted; the target has no key that would hide a second one.
pub(super) const ONCE: [&str; 2] = ["e0", "e1"];
/// Rows that one transaction inserts into a table, and changes there.
const ROWS: u64 = 12;
/// Rows that one transaction inserts or changes in all.
pub(super) const CHANGES: u64 = ROWS * 2 * (MIRRORED.len() + ONCE.len()) as u64;
/// Pause between two transactions: the workers are to be tested, not PostgreSQL.
const PAUSE: Duration = Duration::from_millis(100);

/// The tables of the source.
pub(super) fn create_tables(postgres: &Postgres) -> Result<()> {
    for table in MIRRORED {
        postgres.query(&format!(
            "CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n bigint NOT NULL, \
             v varchar(60) NOT NULL, updated_at timestamp NOT NULL DEFAULT clock_timestamp()); \
             CREATE INDEX ON {table} (updated_at, id)"
        ))?;
    }
    for table in ONCE {
        postgres.query(&format!(
            "CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v varchar(60) NOT NULL)"
        ))?;
    }
    Ok(())
}

/// One transaction.
fn statements() -> String {
    let mut sql = String::new();
    for table in MIRRORED {
        sql += &format!(
            "INSERT INTO {table} (n, v) SELECT 0, md5(random()::text) FROM generate_series(1, {ROWS}); \
             UPDATE {table} SET n = n + 1, v = md5(random()::text), updated_at = clock_timestamp() WHERE id IN \
             (SELECT 1 + floor(random() * (SELECT max(id) FROM {table}))::bigint FROM generate_series(1, {ROWS}));"
        );
    }
    for table in ONCE {
        sql += &format!(
            "INSERT INTO {table} (v) SELECT md5(random()::text) FROM generate_series(1, {ROWS} * 2);"
        );
    }
    sql
}

/// The running writer.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Result<u64>>,
}

impl Load {
    /// Writes to the database at `url`, whether it is there or not, until told to stop.
    pub(super) fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, writer: thread::spawn(move || write(&url, &stopped)) }
    }

    /// Stops it: how many transactions went well.
    pub(super) fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Release);
        self.writer.join().map_err(|_| anyhow!("the writer panicked"))?
    }
}

fn write(url: &str, stop: &AtomicBool) -> Result<u64> {
    let psql = apt::find("psql").context("psql is missing")?;
    let sql = statements();
    let mut transactions = 0;
    while !stop.load(Ordering::Acquire) {
        let mut psql = Command::new(&psql);
        psql.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", &sql]);
        // PostgreSQL may be down; a transaction of which nobody knows whether it went well counts as none.
        transactions += u64::from(output_of(&mut psql).is_ok());
        thread::sleep(PAUSE);
    }
    Ok(transactions)
}
