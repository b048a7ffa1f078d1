//! The administrator of Kafka, who ends transactions that it has lost: a broker that is killed while it ends one may, after its restart,
//! take it for ended and never tell the partitions (seen with 4.3.1, once in some ten kills). Unless the same task writes to
//! them again, such a transaction stays open, and whoever reads committed records only waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use serde_json::Value;
use xtask::interrupt;
use xtask_servers::Kafka;

use super::rest::Rest;

/// How long the rest of the world may take to come to an end by itself, and a pause between two looks. A transaction is lost when it has been
/// open for longer than a minute.
const PAUSE: Duration = Duration::from_secs(90);
/// How long a request, and what it asks for, may take.
const PATIENCE: Duration = Duration::from_secs(60);
const TOOL: &str = "org.apache.kafka.tools.TransactionsCommand";

/// The administrator.
pub(super) struct Administrator {
    kafka: Arc<Mutex<Kafka>>,
    rest: Rest,
    sources: Vec<String>,
    random: Rng,
    next: Instant,
    /// In how many partitions a lost transaction was ended.
    pub(super) ended: u64,
}

impl Administrator {
    /// One that is called from now on, again and again, while something is waited for.
    pub(super) fn new(kafka: Arc<Mutex<Kafka>>, rest: Rest, sources: Vec<String>) -> Self {
        let next = Instant::now() + PAUSE;
        Self { kafka, rest, sources, random: Rng::new(), next, ended: 0 }
    }

    /// Ends what was lost, when it is time to look. The sources are stopped meanwhile: a task that runs takes for written what is taken back
    /// here, one that starts afterwards reads it again.
    pub(super) fn look(&mut self) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        if !self.lost()?.is_empty() {
            for source in self.sources.clone() {
                self.stop(&source)?;
            }
            for [topic, partition, offset] in self.lost()? {
                println!(
                    "   Kafka has lost the end of a transaction in {topic}-{partition}, from {offset}"
                );
                self.tool(&[
                    "abort",
                    "--topic",
                    &topic,
                    "--partition",
                    &partition,
                    "--start-offset",
                    &offset,
                ])?;
                self.ended += 1;
            }
            for source in self.sources.clone() {
                self.send("PUT", &format!("/connectors/{source}/resume"))?;
            }
        }
        self.next = Instant::now() + PAUSE;
        Ok(())
    }

    fn lost(&self) -> Result<Vec<[String; 3]>> {
        let found = ["find-hanging", "--broker-id", "1", "--max-transaction-timeout", "1"];
        Ok(lost(&self.tool(&found)?))
    }

    fn tool(&self, words: &[&str]) -> Result<String> {
        let kafka = self.kafka.lock().unwrap_or_else(PoisonError::into_inner);
        kafka.tool(TOOL, &[&["--bootstrap-server", &kafka.address()][..], words].concat())
    }

    fn stop(&mut self, source: &str) -> Result<()> {
        self.send("PUT", &format!("/connectors/{source}/stop"))?;
        interrupt::wait(&format!("{source} to be stopped"), PATIENCE, || {
            let status = self.send("GET", &format!("/connectors/{source}/status"))?;
            let tasks = status["tasks"].as_array().map_or(0, Vec::len);
            Ok((status["connector"]["state"] == "STOPPED" && tasks == 0).then_some(()))
        })
    }

    fn send(&mut self, method: &str, path: &str) -> Result<Value> {
        self.rest.send(&mut self.random, method, path, "", PATIENCE)
    }
}

/// Topic, partition and first offset of each transaction in the tool's table, between lines of its log:
/// `Topic Partition ProducerId ProducerEpoch CoordinatorEpoch StartOffset LastTimestamp Duration(min)`.
fn lost(text: &str) -> Vec<[String; 3]> {
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let numbers = words.len() == 8 && words[1..].iter().all(|word| word.parse::<i64>().is_ok());
        numbers.then(|| [words[0], words[1], words[5]].map(str::to_owned))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_found_between_lines_of_a_log() {
        let text = "[2026-11-27 11:37:01,100] INFO AdminClientConfig values:\n\tbootstrap.controllers = []\n\n\
                    Topic\tPartition\tProducerId\tProducerEpoch\tCoordinatorEpoch\tStartOffset\tLastTimestamp\tDuration(min)\n\
                    e0   \t1        \t3         \t22           \t6               \t20540      \t1795778146301\t7           \n\
                    [2026-11-27 11:37:01,200] INFO Metrics reporters closed (org.apache.kafka.common.metrics.Metrics)\n";
        assert_eq!(lost(text), [["e0", "1", "20540"].map(str::to_owned)]);
    }
}
