//! A cluster moves from the JVM's Kafka Connect to ours and back: one is stopped, the other started with the same properties
//! file. Connectors, configurations, target states, statuses, offsets and consumer groups are what they were, and no row is
//! missing or there again.

mod doctor;
mod world;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::build::{self, Profile};
use xtask_servers::wait_until;

use world::{PATIENCE, Seen, World};

const STOP: Duration = Duration::from_secs(60);

fn same(before: &Seen, after: &Seen) -> Result<()> {
    let mut wrong = Vec::new();
    let empty = serde_json::Map::new();
    let names = before.connectors.as_object().unwrap_or(&empty);
    for name in names.keys() {
        for part in ["info", "status"] {
            let (old, new) = (&before.connectors[name][part], &after.connectors[name][part]);
            if old != new {
                wrong.push(format!("{name} {part}:\n  {old}\n  {new}"));
            }
        }
        let (old, new) = (&before.offsets.get(name), &after.offsets.get(name));
        if old != new {
            wrong.push(format!("{name} offsets:\n  {old:?}\n  {new:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(before == after, "connectors came or went: {:?}", after.connectors);
    Ok(())
}

fn there_and_back(dir: &Path) -> Result<()> {
    let programs = build::programs(&["api"], Profile::Debug)?;
    let connect = programs.path("connect")?;
    let mut world = World::start(dir)?;
    let as_they_are = |state| state;

    doctor::plugins(&dir.join("plugins"))?;
    let mut jvm = world.jvm()?;
    world.write()?;
    world.create()?;
    world.arrived(true)?;
    doctor::finds_what_is_odd(&world, connect)?;
    world.set_states()?;
    world.states(as_they_are)?;
    world.write()?;
    world.arrived(false)?;
    let configured = settled(&world)?;
    jvm.stop()?;
    let at_the_stop = world.kafka()?;
    doctor::agrees(&world, connect)?;

    // Nothing new is there to read: what ours says must be what the JVM said.
    let mut ours = world.ours(connect)?;
    world.states(as_they_are)?;
    let taken = settled(&world)?;
    same(&configured, &taken).context("after the JVM, ours tells")?;
    ours.terminate(STOP)?;
    ensure!(world.kafka()? == at_the_stop, "{:?} {at_the_stop:?}", world.kafka()?);

    // Written while nobody runs, and while ours does.
    world.write()?;
    let mut ours = world.ours(connect)?;
    world.states(as_they_are)?;
    world.arrived(false)?;
    world.write()?;
    world.arrived(false)?;
    let left = settled(&world)?;
    ours.terminate(STOP)?;
    world.write()?;

    let mut jvm = world.jvm()?;
    world.states(as_they_are)?;
    world.arrived(false)?;
    let back = settled(&world)?;
    ensure!(left.connectors == back.connectors, "{:?}\n{:?}", left.connectors, back.connectors);
    world.resume()?;
    world.states(|state| if state == "FAILED" { state } else { "RUNNING" })?;
    world.arrived(true)?;
    world.write()?;
    world.arrived(true)?;
    jvm.stop()
}

/// What the cluster tells, once offsets no longer change: they are stored a moment after the rows have arrived.
fn settled(world: &World) -> Result<Seen> {
    let mut last = world.seen()?;
    let mut since = Instant::now();
    wait_until("offsets to settle", PATIENCE, || {
        let now = world.seen().ok()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
        // Three times the interval at which they are stored.
        (since.elapsed() > Duration::from_secs(3)).then_some(())
    })?;
    Ok(last)
}

#[test]
fn from_the_jvm_to_ours_and_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    if let Err(error) = there_and_back(dir.path()) {
        for log in ["connect", "jvm/server.log"] {
            let text = fs::read_to_string(dir.path().join(log)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            eprintln!("--- {log}\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        panic!("{error:#}");
    }
}
