//! Requests to whichever worker answers.

use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::Value;
use xtask::{http, interrupt};

/// Seconds that a worker may take: one that was stopped or cut off never answers.
const TIMEOUT: u64 = 5;

/// The workers' addresses.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    urls: Vec<String>,
}

impl Rest {
    pub(super) fn new(urls: Vec<String>) -> Self {
        Self { urls }
    }

    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Sends to a worker that `random` chooses, and to another one as long as it is refused: a worker that is down, cut off,
    /// or in the middle of a rebalance (409) does not count. Any other answer but 2xx is an error.
    pub(super) fn send(
        &self,
        random: &mut Rng,
        method: &str,
        path: &str,
        body: &str,
        deadline: Duration,
    ) -> Result<Value> {
        let mut last = String::new();
        let mut once = || -> Result<Option<Value>> {
            let url = random.choice(&self.urls).context("no worker")?;
            let headers = [("Content-Type", "application/json")];
            match http::send_within(TIMEOUT, method, &format!("{url}{path}"), &headers, body) {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    return Ok(Some(reply.json().unwrap_or_default()));
                }
                Ok(reply) => last = format!("{url}: {} {}", reply.status, reply.body),
                Err(error) => last = format!("{error:#}"),
            }
            Ok(None)
        };
        interrupt::wait(&format!("{method} {path} to be answered"), deadline, &mut once)
            .with_context(|| format!("the last answer: {last}"))
    }
}

/// What failed, of `GET /connectors?expand=status`.
pub(super) fn failures(statuses: &Value) -> Vec<String> {
    let connectors = statuses.as_object().into_iter().flatten();
    let mut failures = Vec::new();
    for (name, connector) in connectors {
        let status = &connector["status"];
        let tasks = status["tasks"].as_array().into_iter().flatten();
        for part in std::iter::once(&status["connector"]).chain(tasks) {
            if part["state"] == "FAILED" {
                failures.push(format!(
                    "{name} {} on {}: {}",
                    part["id"],
                    part["worker_id"],
                    part["trace"].as_str().unwrap_or_default().trim_end()
                ));
            }
        }
    }
    failures
}
