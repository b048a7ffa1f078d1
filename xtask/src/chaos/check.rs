//! Whether source and target hold the same, row by row, and whether the workers agree on who does what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xtask::{http, interrupt};
use xtask_servers::{MariaDb, Postgres};

use super::load::{MIRRORED, ONCE};
use super::rest::{self, Rest};
use super::workers::Workers;

/// How long the last rows may take after everything was healed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two comparisons, which read every row.
const PAUSE: Duration = Duration::from_secs(2);
/// Differences that are shown for each table.
const SHOWN: usize = 10;

/// The tables of the target, which have their source's names.
pub(super) fn create_tables(mariadb: &MariaDb) -> Result<()> {
    for table in MIRRORED {
        mariadb.query(&format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, n bigint NOT NULL, v varchar(60) NOT NULL, \
             updated_at datetime(3) NOT NULL)"
        ))?;
    }
    for table in ONCE {
        mariadb
            .query(&format!("CREATE TABLE {table} (id bigint NOT NULL, v varchar(60) NOT NULL)"))?;
    }
    Ok(())
}

/// Rows that are there, each with how often.
type Rows = BTreeMap<String, u64>;

fn rows(text: &str) -> Rows {
    let mut rows = Rows::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        *rows.entry(line.to_owned()).or_default() += 1;
    }
    rows
}

/// A table's rows in source and target, in the same words.
fn both(table: &str, postgres: &Postgres, mariadb: &MariaDb) -> Result<[Rows; 2]> {
    let (ours, theirs) = match MIRRORED.contains(&table) {
        // The records have milliseconds.
        true => (
            "id, n, v, to_char(updated_at, 'YYYY-MM-DD HH24:MI:SS.MS')",
            "id, n, v, LEFT(DATE_FORMAT(updated_at, '%Y-%m-%d %H:%i:%s.%f'), 23)",
        ),
        false => ("id, v", "id, v"),
    };
    let source = postgres.query(&format!("SELECT {ours} FROM {table}"))?;
    let target = mariadb.query(&format!("SELECT {theirs} FROM {table}"))?;
    Ok([rows(&source), rows(&target)])
}

/// What is wrong with a table, in a few lines; empty if nothing is. With `repeats`, rows may be there more than once.
fn differences(table: &str, source: &Rows, target: &Rows, repeats: bool) -> Vec<String> {
    let count = |rows: &Rows, row: &String| rows.get(row).copied().unwrap_or_default();
    let all: BTreeSet<_> = source.keys().chain(target.keys()).collect();
    let mut wrong = Vec::new();
    for row in all {
        let (wanted, found) = (count(source, row), count(target, row));
        if found < wanted || wanted == 0 || (found > wanted && !repeats) {
            wrong.push(format!(
                "{table}: {row:?} is {wanted} times in the source, {found} times in the target"
            ));
        }
    }
    let rest = wrong.len().saturating_sub(SHOWN);
    wrong.truncate(SHOWN);
    if rest > 0 {
        wrong.push(format!("{table}: {rest} more"));
    }
    wrong
}

/// Waits until every row of the source is in the target as it is, and nothing else: how many rows there are. What else there is to do
/// is done `meanwhile`, as in [`wait_until_agreed`].
pub(super) fn wait_until_equal(
    postgres: &Postgres,
    mariadb: &MariaDb,
    rest: &Rest,
    exactly_once: bool,
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<u64> {
    let look = || -> Result<(u64, Vec<String>)> {
        let (mut count, mut wrong) = (0, Vec::new());
        for table in MIRRORED.iter().chain(&ONCE) {
            let [source, target] = both(table, postgres, mariadb)?;
            count += source.len() as u64;
            let repeats = !exactly_once && ONCE.contains(table);
            wrong.extend(differences(table, &source, &target, repeats));
            let more = target.values().sum::<u64>().saturating_sub(source.len() as u64);
            if repeats && more > 0 && wrong.is_empty() {
                println!("   {table}: {more} rows are there again, as at-least-once allows");
            }
        }
        Ok((count, wrong))
    };
    let (mut next, mut last) = (Instant::now(), Vec::new());
    let equal = interrupt::wait("target to equal source", PATIENCE, || {
        if Instant::now() < next {
            return Ok(None);
        }
        next = Instant::now() + PAUSE;
        meanwhile()?;
        let failures = rest::failures(&statuses(rest.urls().first().context("no worker")?)?);
        ensure!(failures.is_empty(), "failed: {}", failures.join("\n"));
        let (count, wrong) = look()?;
        let equal = wrong.is_empty();
        last = wrong;
        Ok(equal.then_some(count))
    });
    equal.with_context(|| last.join("\n"))
}

/// Waits until all workers answer the same, every task runs, and runs in the one worker that they say, by the log of each.
pub(super) fn wait_until_agreed(
    workers: &Workers,
    rest: &Rest,
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<usize> {
    let mut last = String::new();
    let agreed = interrupt::wait("the workers to agree", PATIENCE, || {
        meanwhile()?;
        match owners(workers, rest) {
            Ok(tasks) => return Ok(Some(tasks)),
            Err(error) => last = format!("{error:#}"),
        }
        Ok(None)
    });
    agreed.with_context(|| last.clone())
}

fn owners(workers: &Workers, rest: &Rest) -> Result<usize> {
    let first = statuses(rest.urls().first().context("no worker")?)?;
    for url in rest.urls() {
        let other = statuses(url)?;
        ensure!(first == other, "workers say different things: {first} {url}: {other}");
    }
    let mut by_rest: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, connector) in first.as_object().into_iter().flatten() {
        for task in connector["status"]["tasks"].as_array().into_iter().flatten() {
            ensure!(task["state"] == "RUNNING", "{name} {task}");
            let worker = task["worker_id"].as_str().unwrap_or_default().to_owned();
            by_rest.entry(worker).or_default().insert(format!("{name:?}, {}", task["id"]));
        }
    }
    let mut tasks = 0;
    for (n, url) in rest.urls().iter().enumerate() {
        let worker = url.trim_start_matches("http://");
        let (says, does) = (by_rest.remove(worker).unwrap_or_default(), workers.tasks(n)?);
        ensure!(says == does, "worker {n} should run {says:?} and runs {does:?}");
        tasks += does.len();
    }
    ensure!(by_rest.is_empty(), "tasks run on workers that do not exist: {by_rest:?}");
    ensure!(tasks > 0, "no task runs");
    Ok(tasks)
}

fn statuses(url: &str) -> Result<Value> {
    let reply = http::get(&format!("{url}/connectors?expand=status"))?;
    if reply.status != 200 {
        bail!("{url}: {} {}", reply.status, reply.body);
    }
    reply.json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_missing_foreign_or_there_again_is_a_difference() {
        let found =
            |source, target, repeats| differences("t", &rows(source), &rows(target), repeats).len();
        assert_eq!(found("1\ta\n2\tb", "2\tb\n1\ta", false), 0);
        assert_eq!(found("1\ta\n2\tb", "1\ta", true), 1);
        assert_eq!(found("1\ta", "1\ta\n3\tc", true), 1);
        assert_eq!(found("1\ta", "1\ta\n1\ta", false), 1);
        assert_eq!(found("1\ta", "1\ta\n1\ta", true), 0);
    }
}
