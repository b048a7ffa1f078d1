//! Invariant 12: a sink leaves in its tables, and in the dead letter queue, what one plain statement a record would have
//! left, in the order of the log. Tables, records, batches and faults are drawn; real servers decide what is right.
//!
//! Runs the fixed seeds and then fresh ones for half a minute; `FUZZ_MINUTES` and `FUZZ_SEED` say otherwise. A failure names
//! the seed that repeats it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod database;
mod draw;
mod oracle;
mod world;

use std::{
    env,
    time::{Duration, Instant},
};

use database::{Database, Flavour};
use world::World;

/// Cases that once failed, or show a fault that was mended.
const FIXED: std::ops::Range<u64> = 1..25;
/// For how long fresh cases are drawn.
const FRESH: Duration = Duration::from_secs(30);

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

async fn explore(flavour: Flavour) {
    let Some(database) = Database::start(flavour).await else {
        println!("{flavour:?} cannot be had here");
        return;
    };
    let world = World::start(database).await;
    let minutes = number("FUZZ_MINUTES");
    let seeds: Vec<u64> = match number("FUZZ_SEED") {
        Some(seed) if minutes.is_none() => vec![seed],
        Some(_) => Vec::new(),
        None => FIXED.collect(),
    };
    let only = number("FUZZ_SEED").is_some() && minutes.is_none();
    for seed in seeds {
        world.case(seed).await;
    }
    let until = Instant::now() + minutes.map_or(FRESH, |n| Duration::from_secs(n * 60));
    let mut fresh = number("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(1 << 32..1 << 52));
    println!("{flavour:?}: fresh seeds from {fresh}");
    let mut cases = 0;
    while !only && Instant::now() < until {
        world.case(fresh).await;
        fresh += 1;
        cases += 1;
    }
    println!("{flavour:?}: {cases} fresh cases, {} records refused in all", world.refused());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql() {
    explore(Flavour::PostgreSql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    explore(Flavour::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    explore(Flavour::MySql).await;
}
