//! `cargo xtask COMMAND`: the project's commands.

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod api_test;
mod bench;
mod chaos;
mod compose_test;
mod demo;
mod fuzz;
mod suite;
mod tidy;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo [--once]   run the whole system on this machine and follow a record through it;
                  --once: end as soon as it has arrived
  test            everything that CI checks
  bench [--rows N | --columns N] [--runs N] [--kafka] [--embedded] [--reverse] [--program PATH]
                  rows from PostgreSQL to MariaDB, beside COPY | LOAD DATA; --reverse: and back
  bench --latency [--rows N] [--kafka] [--embedded] [--program PATH]
                  from a row's commit to its being seen, one row at a time
  bench --stages  what a record costs in each stage on its way, without servers
  bench --report [--rows N] [--runs N] [--largest N]
                  all of it, how it grows, and docs/performance.md
  chaos [--minutes N] [--seed S] [--kafka] [--embedded] [--workers N] [--program PATH]
        [--at-least-once]
                  kill -9, SIGSTOP, network cuts (root) and restarts under load; then source and
                  target are compared row by row
  fuzz [sink|source] [--minutes N] [--seed S]
                  the property tests on real servers, N minutes each (10)
  tidy            the checks of the source tree alone
  docs            write the generated part of docs/reference anew
  api-test        requests made up from the API's description (schemathesis)
  compose-test    docker-compose.yml on a real Docker engine (root; takes long)

in the containers of compose-test:
  serve NAME DIR  postgres, mysql, kafka or cassandra, as its image would
  gateway FILE PORT
                  stand-in for KrakenD, driven by its krakend.json";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["demo"] => demo::run(false),
        ["demo", "--once"] => demo::run(true),
        ["test"] => suite::run(),
        ["bench", "--stages"] => {
            print!("{}", bench::stages::table()?);
            Ok(())
        }
        ["bench", options @ ..] => bench::run(&bench::Options::parse(options)?),
        ["chaos", options @ ..] => chaos::run(&chaos::Options::parse(options)?),
        ["fuzz", options @ ..] => fuzz::run(&fuzz::Options::parse(options)?),
        ["tidy"] => tidy::run(),
        ["docs"] => suite::docs(),
        ["api-test"] => api_test::run(),
        ["compose-test"] => compose_test::run(),
        ["serve", name, dir] => xtask::images::serve(name, dir.as_ref()),
        ["gateway", file, port] => xtask::gateway::serve(file, port.parse()?),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is no command\n\n{USAGE}", words.join(" ")),
    }
}
