//! The stops of a record, each looked at where it is: not what the system says of the databases, but what they hold.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::interrupt::{self, wait};
use xtask::{http, screen};
use xtask_servers::{MariaDb, Postgres};

use super::PATIENCE;
use super::system::{CARGA, System};

const ID: &str = "1237";
const VALOR: &str = "Teste de integração";
const CHANGED: &str = "Teste alterado";
/// Smaller than [`ID`] and later: what an incrementing column cannot follow.
const LATE_ID: &str = "12";
const LATE_VALOR: &str = "Fora de ordem";

/// POSTs the record and shows it at each stop, up to the row in MySQL, which is compared.
pub(super) fn follow(system: &mut System, postgres: &Postgres, mysql: &MariaDb) -> Result<()> {
    let start = Instant::now();
    post(ID, VALOR)?;
    let posted = start.elapsed();
    let row = format!("{ID}\t{VALOR}");
    let select = format!("FROM tabela WHERE id = '{ID}'");
    arrived(system, "PostgreSQL", || postgres.query(&format!("SELECT id, valor {select}")), &row)?;
    let in_postgres = start.elapsed();
    // The sink creates the table with the first record.
    let in_mysql = || mysql.query("SELECT id, valor FROM `postgres-tabela`");
    arrived(system, "MySQL", || rows_if_table(in_mysql()), &row)?;
    let in_mysql = start.elapsed();

    println!(
        "   POST /carga {{\"id\":\"{ID}\",\"valor\":\"{VALOR}\"}}: 200 after {}",
        shown(posted)
    );
    let row = format!("{ID} | {VALOR}");
    reported(system, start, "store", "")?;
    reported(system, start, "log", "carga_topic")?;
    line("PostgreSQL tabela", in_postgres, &row);
    reported(system, start, "log", "postgres-tabela")?;
    line("MySQL postgres-tabela", in_mysql, &row);
    println!("   the row in MySQL was compared: it is the one that was sent");
    Ok(())
}

/// Shows the record at a stop inside the system, of which only the system can tell.
fn reported(system: &mut System, start: Instant, stop: &str, topic: &str) -> Result<()> {
    let passage = wait("the system's report of the record", Duration::from_secs(10), || {
        system.check()?;
        Ok(system.passage(start, stop, topic, VALOR))
    });
    let name = format!("{stop} {topic}");
    match passage {
        Ok(passage) => line(&name, passage.at - start, &passage.record),
        Err(_) => {
            interrupt::check()?;
            system.check()?;
            println!("   {name:<24}{:>10}   not reported", "?");
        }
    }
    Ok(())
}

/// Sends a smaller id and a changed row, which the upsert pair brings into its own table, compared as well.
pub(super) fn mirror(system: &mut System, mysql: &MariaDb) -> Result<()> {
    let start = Instant::now();
    post(LATE_ID, LATE_VALOR)?;
    post(ID, CHANGED)?;
    let rows = format!("{LATE_ID}\t{LATE_VALOR}\n{ID}\t{CHANGED}");
    let espelho = || mysql.query("SELECT id, valor FROM tabela_espelho ORDER BY valor");
    arrived(system, "MySQL (tabela_espelho)", || rows_if_table(espelho()), &rows)?;
    for row in rows.split('\n') {
        line("MySQL tabela_espelho", start.elapsed(), &row.replace('\t', " | "));
    }
    let theirs = mysql.query("SELECT id, valor FROM `postgres-tabela`")?;
    println!(
        "   postgres-tabela still holds: {} (mode incrementing follows growing ids only)",
        theirs.replace('\t', " | ").replace('\n', ", ")
    );
    Ok(())
}

fn post(id: &str, valor: &str) -> Result<()> {
    let body = format!("{{\"id\":\"{id}\",\"valor\":\"{valor}\"}}");
    let reply = http::post(&format!("http://127.0.0.1:{CARGA}/carga"), &body)?;
    let (status, answer) = (reply.status, reply.body);
    ensure!(status == 200, "carga answered {body} with {status}, not 200: {answer}");
    Ok(())
}

/// Waits until the rows are exactly `wanted`; the error says what was there instead.
fn arrived(
    system: &mut System,
    place: &str,
    rows: impl Fn() -> Result<String>,
    wanted: &str,
) -> Result<()> {
    let spinner = screen::spinner(&format!("waiting for the record in {place}"));
    let mut last = String::new();
    let waited = wait(&format!("the record in {place}"), PATIENCE, || {
        system.check()?;
        last = rows()?;
        Ok((last == wanted).then_some(()))
    });
    spinner.finish_and_clear();
    waited.with_context(|| format!("{place} should hold {wanted:?} and holds {last:?}"))
}

/// No rows where the table isn't there yet.
fn rows_if_table(rows: Result<String>) -> Result<String> {
    match rows {
        Err(error) if format!("{error:#}").contains("doesn't exist") => Ok(String::new()),
        other => other,
    }
}

fn line(stop: &str, after: Duration, record: &str) {
    println!("   {stop:<24}{:>10}   {record}", shown(after));
}

fn shown(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}
