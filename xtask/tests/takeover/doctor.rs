//! `connect doctor` on the cluster that is about to be taken over, with connectors of plugins that only the JVM has.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use xtask_servers::compile_connect_plugin;

use super::world::World;

const SOURCES: [(&str, &str); 3] = [
    ("OddSource.java", include_str!("odd/OddSource.java")),
    ("OddConverter.java", include_str!("odd/OddConverter.java")),
    ("OddTransformation.java", include_str!("odd/OddTransformation.java")),
];

/// Makes the plugins, before the JVM looks for some.
pub(crate) fn plugins(dir: &Path) -> Result<()> {
    compile_connect_plugin(dir, "odd", &SOURCES)
}

/// What of it cannot be taken over is found while the JVM runs; the odd connectors are gone afterwards.
pub(crate) fn finds_what_is_odd(world: &World, connect: &Path) -> Result<()> {
    let file = |more: Value| {
        let mut config = json!({"connector.class": "FileStreamSource", "file": world.file("in.txt"), "topic": "odd"});
        config.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        config
    };
    let odd = [
        (
            "odd-class",
            json!({"connector.class": "odd.OddSource"}),
            "there is no connector odd.OddSource here",
        ),
        ("odd-converter", file(json!({"value.converter": "odd.OddConverter"})), "odd.OddConverter"),
        (
            "odd-transformation",
            file(json!({"transforms": "t", "transforms.t.type": "odd.OddTransformation",
                "transforms.t.static.field": "f", "transforms.t.static.value": "secret"})),
            "odd.OddTransformation",
        ),
    ];
    for (name, config, _) in &odd {
        world.put(&format!("/connectors/{name}/config"), &config.to_string())?;
    }
    let (code, text) = doctor(world, connect, &[])?;
    ensure!(code == Some(1), "{code:?} {text}");
    ensure!(text.contains("1 worker(s) of the group moving are running"), "{text}");
    let (code, json) = doctor(world, connect, &["--json"])?;
    ensure!(code == Some(1), "{code:?} {json}");
    let report: Value = serde_json::from_str(&json)?;
    for (name, _, problem) in &odd {
        let found = problems(&report, name);
        ensure!(found.iter().any(|message| message.contains(problem)), "{name}: {found:?} {json}");
        let reply =
            xtask::http::send("DELETE", &world.url(&format!("/connectors/{name}")), &[], "")?;
        ensure!(reply.status == 204, "DELETE {name}: {} {}", reply.status, reply.body);
    }
    let running = problems(&report, "file-sink");
    ensure!(
        running.iter().any(|message| message.contains("connect-file-sink has 1 member")),
        "{json}"
    );
    Ok(())
}

/// Nothing is in the way once the JVM is stopped; and looking changes nothing.
pub(crate) fn agrees(world: &World, connect: &Path) -> Result<()> {
    let before = world.everything()?;
    let (code, json) = doctor(world, connect, &["--json"])?;
    ensure!(code == Some(0), "{code:?} {json}");
    let after = world.everything()?;
    ensure!(before == after, "the doctor wrote something:\n{before}\n{after}");
    let report: Value = serde_json::from_str(&json)?;
    let names = report["connectors"].as_array().map(Vec::len);
    ensure!(names == Some(world.connectors().len()), "{json}");
    ensure!(json.contains("file.of.the.moon: nothing reads this key here"), "{json}");
    ensure!(json.contains("task 0 has failed, and will be started again here"), "{json}");
    ensure!(!json.contains("password\""), "a password: {json}");
    let nowhere = Command::new(connect).args(["doctor", "/no/such/file"]).output()?;
    ensure!(nowhere.status.code() == Some(2), "{nowhere:?}");
    Ok(())
}

fn doctor(world: &World, connect: &Path, more: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(connect).arg("doctor").arg(&world.properties).args(more).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok((output.status.code(), text + &String::from_utf8_lossy(&output.stderr)))
}

fn problems(report: &Value, name: &str) -> Vec<String> {
    let connectors = report["connectors"].as_array().into_iter().flatten();
    let found = connectors.filter(|connector| connector["name"] == name);
    let findings =
        found.flat_map(|connector| connector["findings"].as_array().cloned().unwrap_or_default());
    let problems = findings.filter(|finding| finding["severity"] == "problem");
    problems.filter_map(|finding| finding["message"].as_str().map(str::to_owned)).collect()
}
