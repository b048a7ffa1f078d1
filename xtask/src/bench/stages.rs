//! `cargo xtask bench --stages`: what a record costs in each stage on its way, without servers.

use std::{fs, io, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{build::cargo, root};

/// Stages as the benches call them, with what the table says of them.
const STAGES: [(&str, &str); 10] = [
    ("poll", "poll: a row of PostgreSQL's COPY to a record"),
    ("transform", "transform: InsertField, ReplaceField, ValueToKey"),
    ("convert", "convert: to JSON"),
    ("convert-schema", "convert: to JSON with its schema"),
    ("append", "append to the embedded log, until durable"),
    ("fetch", "fetch from the embedded log"),
    ("decode", "decode: of JSON"),
    ("decode-schema", "decode: of JSON with its schema"),
    ("put", "put: MySQL's statement, of records without schema"),
    ("put-schema", "put: MySQL's statement, of records with schema"),
];

/// Runs the benches, and returns their table as Markdown.
pub(crate) fn table() -> Result<String> {
    let home = root().join("target/criterion");
    let mut bench = cargo();
    bench.args(["bench", "--package", "benches"]).env("CRITERION_HOME", &home);
    // Where it has come to, and what changed since the last run; our own output is the table alone.
    bench.stdout(io::stderr());
    let status = bench.status().context("cannot run cargo bench")?;
    ensure!(status.success(), "cargo bench ended with {status}");
    of(&home)
}

/// The table of what a run has left in criterion's folder.
fn of(home: &Path) -> Result<String> {
    let lines = read(&home.join("allocations.json"))?;
    let lines = lines.as_array().context("allocations.json is no list")?;
    let mut shapes: Vec<&str> = Vec::new();
    for shape in lines.iter().filter_map(|line| line["shape"].as_str()) {
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let mut table = format!("| ns per record (allocations) | {} |\n|---|", shapes.join(" | "));
    table += &"---:|".repeat(shapes.len());
    for (stage, title) in STAGES {
        table += &format!("\n| {title} |");
        for shape in &shapes {
            let line = lines.iter().find(|l| l["stage"] == stage && l["shape"] == *shape);
            let line = line.with_context(|| format!("{stage} of {shape} was not measured"))?;
            let number = |key: &str| line[key].as_f64().with_context(|| format!("no {key}"));
            let records = number("records")?;
            let file = home.join(stage).join(shape).join("new/estimates.json");
            let time = read(&file)?["median"]["point_estimate"].as_f64();
            let time = time.with_context(|| format!("no median in {}", file.display()))? / records;
            table += &format!(" {} ({}) |", figure(time), figure(number("allocations")? / records));
        }
    }
    table.push('\n');
    Ok(table)
}

/// Three digits, as far as they are worth it.
fn figure(n: f64) -> String {
    match n {
        ..0.995 => format!("{n:.2}"),
        ..9.95 => format!("{n:.1}"),
        _ => {
            let digits = format!("{n:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
    }
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_stage_and_a_column_for_each_shape() {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = Vec::new();
        for (stage, _) in STAGES {
            for shape in ["narrow", "wide"] {
                let new = dir.path().join(stage).join(shape).join("new");
                fs::create_dir_all(&new).unwrap();
                let estimates = json!({"median": {"point_estimate": 2_469_000.0}});
                fs::write(new.join("estimates.json"), estimates.to_string()).unwrap();
                lines.push(
                    json!({"stage": stage, "shape": shape, "records": 1000, "allocations": 2500}),
                );
            }
        }
        let file = dir.path().join("allocations.json");
        fs::write(&file, json!(lines).to_string()).unwrap();
        let table = of(dir.path()).unwrap();
        assert!(table.starts_with(
            "| ns per record (allocations) | narrow | wide |\n|---|---:|---:|\n| poll:"
        ));
        assert_eq!(table.lines().count(), 2 + STAGES.len());
        assert!(table.contains("| fetch from the embedded log | 2,469 (2.5) | 2,469 (2.5) |\n"));
        fs::write(&file, json!(lines[1..]).to_string()).unwrap();
        assert!(of(dir.path()).unwrap_err().to_string().contains("poll of narrow"));
    }

    #[test]
    fn figures_have_the_digits_that_count() {
        for (n, text) in [(0.0, "0.00"), (0.004, "0.00"), (2.04, "2.0"), (1_234_567.8, "1,234,568")]
        {
            assert_eq!(figure(n), text);
        }
    }
}
