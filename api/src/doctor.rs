//! `connect doctor`: whether a live cluster can be taken over, on paper.

use std::{fmt::Write, process::ExitCode, sync::Arc};

use anyhow::Context;
use connect_core::{config::Properties, error::Result, prelude::async_trait, registry::Registry};
use connect_core_kafka::KafkaTransport;
use connect_core_runtime::{
    config::Worker,
    doctor::{Finding, Groups, Report, Severity, examine},
};

use crate::worker::open_kafka;

/// Ends so when something cannot be taken over.
const NOT_ALL: u8 = 1;
/// Ends so when it could not look.
pub(crate) const COULD_NOT_LOOK: u8 = 2;

struct Brokers(Arc<KafkaTransport>);

#[async_trait]
impl Groups for Brokers {
    async fn members(&self, group: &str) -> Result<usize> {
        self.0.group_members(group).await
    }
}

/// Looks, and prints what was found.
///
/// # Errors
/// If it could not look.
pub(crate) async fn run(
    properties: Properties,
    registry: Registry,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let config = Worker::parse(properties)?;
    let servers = config.config.bootstrap_servers.clone();
    let servers = servers.context("bootstrap.servers is missing: it names the cluster")?;
    let kafka = Arc::new(open_kafka(&config, &servers)?);
    let brokers = Brokers(Arc::clone(&kafka));
    let report = examine(config, kafka, registry, &brokers).await;
    let report = report.with_context(|| format!("cannot look at the cluster at {servers}"))?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", text(&report)),
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { NOT_ALL.into() })
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut text = format!(
        "Kafka cluster {}, Connect group {}\n\nworker\n",
        report.kafka_cluster_id, report.group
    );
    findings(&mut text, &report.worker);
    for connector in &report.connectors {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "\n{} ({}): {}, {}, {} task(s), progress in {} partition(s)",
            connector.name,
            connector.ty.unwrap_or("unknown"),
            connector.class,
            connector.state,
            connector.tasks,
            connector.partitions
        );
        findings(&mut text, &connector.findings);
    }
    let can = |findings: &[Finding]| findings.iter().all(|f| f.severity == Severity::Note);
    let good = report.connectors.iter().filter(|connector| can(&connector.findings)).count();
    let _ = writeln!(
        text,
        "\n{good} of {} connectors can be taken over as they are{}",
        report.connectors.len(),
        if can(&report.worker) { "." } else { "; the worker's problems come first." }
    );
    text
}

fn findings(text: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        text.push_str("  ok\n");
    }
    for Finding { severity, message } in findings {
        let word = match severity {
            Severity::Problem => "PROBLEM",
            Severity::Note => "note",
        };
        let _ = writeln!(text, "  {word:<8} {message}");
    }
}

#[cfg(test)]
mod tests {
    use connect_core_runtime::doctor::ConnectorReport;

    use super::*;

    #[test]
    fn a_report_names_what_is_wrong_where_it_is() {
        let problem = Finding { severity: Severity::Problem, message: "no such class".into() };
        let note = Finding { severity: Severity::Note, message: "nothing reads it".into() };
        let connector = |name: &str, findings| ConnectorReport {
            name: name.into(),
            class: "C".into(),
            ty: None,
            state: "PAUSED",
            tasks: 2,
            partitions: 3,
            findings,
        };
        let report = Report {
            kafka_cluster_id: "id".into(),
            group: "g".into(),
            worker: Vec::new(),
            connectors: vec![connector("a", vec![problem]), connector("b", vec![note])],
        };
        assert!(!report.is_clean());
        assert_eq!(
            text(&report),
            "Kafka cluster id, Connect group g\n\nworker\n  ok\n\n\
             a (unknown): C, PAUSED, 2 task(s), progress in 3 partition(s)\n  PROBLEM  no such class\n\n\
             b (unknown): C, PAUSED, 2 task(s), progress in 3 partition(s)\n  note     nothing reads it\n\n\
             1 of 2 connectors can be taken over as they are.\n"
        );
    }
}
