//! `cargo xtask tidy`: rules of the source tree that no compiler checks. Run as a test too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xtask::build::cargo;
use xtask::root;

/// The longest a source file may be.
const MOST_LINES: usize = 600;

/// Work that was left undone, in words that are put together here so that this file doesn't hold them.
const UNDONE: [&str; 5] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ign", "ore"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

/// Paths that exist on a developer's machine only.
const OUTSIDE: [&str; 4] = [
    concat!("../sha", "red"),
    concat!("\"/ro", "ot/"),
    concat!("\"/ho", "me/"),
    concat!("/wo", "rk/"),
];

/// Names the tests that hold what differs from the JVM.
const NAMED_TESTS: &str = "docs/differences-tests.md";

/// Crates that the plugin API may not need, directly or not: it knows no broker, database or HTTP.
const NOT_IN_CONNECT_CORE: [&str; 6] =
    ["rdkafka", "axum", "hyper", "tokio-postgres", "mysql_async", "reqwest"];

/// Crates of ours that may use axum themselves.
const WITH_AXUM: [&str; 4] = ["api", "carga", "examples", "sync"];

/// Fails with all that is untidy.
pub(crate) fn run() -> Result<()> {
    let mut faults = Vec::new();
    let files = files(&root())?;
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let name = file.strip_prefix(root())?.to_string_lossy().into_owned();
        faults.extend(faults_of_text(&name, &text));
    }
    faults.extend(faults_of_named_tests(&fs::read_to_string(root().join(NAMED_TESTS))?));
    faults.extend(Dependencies::of_workspace()?.faults());
    if faults.is_empty() {
        println!("{} files and the dependencies are tidy", files.len());
        return Ok(());
    }
    bail!("{} untidy:\n  {}", faults.len(), faults.join("\n  "))
}

/// The project's own text files.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    const TEXTS: [&str; 9] = ["rs", "md", "toml", "yml", "yaml", "json", "sh", "sql", "cql"];
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != ".ferrovia" {
                found.extend(files(&path)?);
            }
        } else if TEXTS.contains(&&*extension) || name.starts_with("Dockerfile") || name == "run" {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What is wrong with one file.
/// Tests that a text names as `path::function` and that are not there.
fn faults_of_named_tests(text: &str) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2).filter_map(|word| word.split_once(".rs::"));
    let gone = |(file, function): &(&str, &str)| {
        let file = root().join(format!("{file}.rs"));
        !fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {function}(")))
    };
    named
        .filter(gone)
        .map(|(file, function)| format!("{NAMED_TESTS} names {file}.rs::{function}, which is gone"))
        .collect()
}

fn faults_of_text(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let is_rust = name.ends_with(".rs");
    let is_test = is_rust && name.split('/').any(|folder| folder == "tests");
    let lines = text.lines().count();
    if is_rust && lines >= MOST_LINES {
        faults.push(format!("{name}: {lines} lines; split it, a file has fewer than {MOST_LINES}"));
    }
    let mut function = "";
    for (line, number) in text.lines().zip(1..) {
        if let Some((_, rest)) = line.split_once("fn ") {
            function = rest;
        }
        let mut found = |what: &str| faults.push(format!("{name}:{number}: {what}"));
        if let Some(word) = UNDONE.iter().find(|word| is_rust && line.contains(**word)) {
            found(&format!("`{word}` stands for work left undone"));
        }
        if let Some(path) = OUTSIDE.iter().find(|path| line.contains(**path)) {
            found(&format!("`{path}` is a path outside the project"));
        }
        // A helper that asks a condition again and again has to rest in between.
        if is_test && line.contains("sleep(") && !function.starts_with("wait_until") {
            found(
                "a test waits for a condition, not for time: xtask_servers::wait_until, or a helper whose name begins so",
            );
        }
    }
    faults
}

/// Which crate depends on which, of the crates that a build links (not those of tests).
struct Dependencies {
    /// Names of our own crates.
    ours: BTreeSet<String>,
    direct: BTreeMap<String, BTreeSet<String>>,
}

impl Dependencies {
    fn of_workspace() -> Result<Self> {
        let mut cargo = cargo();
        let output = cargo.args(["metadata", "--format-version", "1"]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo metadata failed: {errors}");
        Self::parse(&serde_json::from_slice(&output.stdout)?)
    }

    fn parse(metadata: &Value) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let packages = list(&metadata["packages"]);
        let names: BTreeMap<String, String> =
            packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let members = list(&metadata["workspace_members"]);
        let ours = members.iter().filter_map(|id| names.get(&text(id)).cloned()).collect();
        let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let name = names.get(&text(&node["id"])).context("a crate without a name")?;
            // Two versions of a crate count as one: what either needs, both need.
            let entry = direct.entry(name.clone()).or_default();
            for dependency in list(&node["deps"]) {
                let kinds = list(&dependency["dep_kinds"]);
                if kinds.iter().any(|kind| kind["kind"] != "dev") {
                    entry.extend(names.get(&text(&dependency["pkg"])).cloned());
                }
            }
        }
        Ok(Self { ours, direct })
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.direct.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Everything that a crate needs, with what needs it needs.
    fn all_of<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = self.of(name).collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(self.of(next));
            }
        }
        seen
    }

    /// The design's arrows that are broken.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let core = self.all_of("connect-core");
        for banned in NOT_IN_CONNECT_CORE.iter().filter(|name| core.contains(**name)) {
            faults.push(format!(
                "connect-core depends on {banned}; it may know no broker, database or HTTP"
            ));
        }
        for name in &self.ours {
            let (direct, all) = (self.of(name).collect::<BTreeSet<_>>(), self.all_of(name));
            if direct.contains("rdkafka") && name != "connect-core-kafka" {
                faults.push(format!("{name} depends on rdkafka; only connect-core-kafka may"));
            }
            if direct.contains("axum") && !WITH_AXUM.contains(&name.as_str()) {
                faults.push(format!("{name} depends on axum; only {} may", WITH_AXUM.join(", ")));
            }
            if name.starts_with("connectors") && all.contains("connect-core-runtime") {
                faults.push(format!(
                    "{name} depends on connect-core-runtime; connectors know connect-core alone"
                ));
            }
            if name.starts_with("xtask") {
                let product =
                    all.iter().find(|n| self.ours.contains(**n) && !n.starts_with("xtask"));
                faults.extend(
                    product.map(|p| {
                        format!("{name} depends on {p}; xtask runs programs, it links none")
                    }),
                );
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_project_is_tidy() {
        run().unwrap();
    }

    #[test]
    fn finds_what_is_untidy_in_a_text() {
        let sleep = "async fn a() { sleep(1).await }";
        assert_eq!(faults_of_text("a/tests/b.rs", sleep).len(), 1);
        assert!(faults_of_text("a/src/b.rs", sleep).is_empty());
        assert!(faults_of_text("a/tests/b.rs", "fn wait_until() {\n sleep(1)").is_empty());
        assert_eq!(faults_of_text("a.rs", &"\n".repeat(MOST_LINES)).len(), 1);
        assert_eq!(faults_of_text("a.rs", &format!("// {}: x", UNDONE[3])).len(), 1);
        assert_eq!(faults_of_text("a.md", &format!("see {}/x", OUTSIDE[0])).len(), 1);
        let named =
            "`xtask/src/tidy.rs::run` `xtask/src/tidy.rs::gone_for_good` `xtask/no.rs::run`";
        assert_eq!(faults_of_named_tests(named).len(), 2);
    }

    #[test]
    fn finds_broken_arrows_but_not_those_of_tests() {
        let dependency = |name: &str, kind| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let node = |name: &str, deps: Vec<Value>| json!({"id": name, "deps": deps});
        let metadata = |deps_of_connector: Vec<Value>| {
            let names = ["connect-core", "connectors-x", "helper", "rdkafka"];
            json!({
                "packages": names.map(|n| json!({"id": n, "name": n})),
                "workspace_members": ["connect-core", "connectors-x"],
                "resolve": {"nodes": [
                    node("connect-core", vec![dependency("helper", None::<&str>)]),
                    node("helper", vec![dependency("rdkafka", None)]),
                    node("connectors-x", deps_of_connector),
                    node("rdkafka", vec![]),
                ]}
            })
        };
        let faults = |deps| Dependencies::parse(&metadata(deps)).unwrap().faults();
        assert_eq!(faults(vec![dependency("rdkafka", Some("dev"))]).len(), 1);
        assert_eq!(faults(vec![dependency("rdkafka", None)]).len(), 2);
    }
}
