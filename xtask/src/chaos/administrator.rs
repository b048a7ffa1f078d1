//! The administrator of Kafka, who ends transactions that it has lost: a broker that is killed while it ends one may, after its restart,
//! take its partitions for deleted and never tell them (seen with 4.3.1, once in a few kills). Such a transaction stays open, and
//! whoever reads committed records only waits, until somebody ends it with Kafka's own tool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use xtask_servers::Kafka;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(20);
/// How often it is looked whether to stop.
const STEP: Duration = Duration::from_millis(200);
/// Minutes that a transaction may be open: `transaction.timeout.ms` of our workers.
const OPEN: &str = "1";
const TOOL: &str = "org.apache.kafka.tools.TransactionsCommand";

/// The running administrator.
pub(super) struct Administrator {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Administrator {
    /// Begins to look after a broker.
    pub(super) fn start(kafka: Arc<Mutex<Kafka>>, start: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || look_after(&kafka, &stopped, start)) }
    }

    /// Stops: in how many partitions a lost transaction was ended.
    pub(super) fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the administrator panicked"))
    }
}

fn look_after(kafka: &Mutex<Kafka>, stop: &AtomicBool, start: Instant) -> u64 {
    let (mut ended, mut next) = (0, start + PAUSE);
    while !stop.load(Ordering::Acquire) {
        thread::sleep(STEP);
        // Who holds it is about to kill the broker, or to start it again.
        let Some(kafka) = (Instant::now() >= next).then(|| kafka.try_lock().ok()).flatten() else {
            continue;
        };
        next = Instant::now() + PAUSE;
        // A broker that has just been started may not answer yet.
        let Ok(found) =
            tool(&kafka, &["find-hanging", "--broker-id", "1", "--max-transaction-timeout", OPEN])
        else {
            continue;
        };
        for [topic, partition, offset] in lost(&found) {
            let place = ["--topic", topic, "--partition", partition, "--start-offset", offset];
            let result = match tool(&kafka, &[&["abort"][..], &place].concat()) {
                Ok(_) => "ended".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            let at = start.elapsed().as_secs_f64();
            println!(
                "{at:>7.1} s  a transaction that Kafka has lost, {topic}-{partition} from {offset}: {result}"
            );
            ended += u64::from(result == "ended");
        }
    }
    ended
}

fn tool(kafka: &Kafka, words: &[&str]) -> Result<String> {
    kafka.tool(TOOL, &[&["--bootstrap-server", &kafka.address()][..], words].concat())
}

/// Topic, partition and first offset of each transaction in the tool's table, between lines of its log:
/// `Topic Partition ProducerId ProducerEpoch CoordinatorEpoch StartOffset LastTimestamp Duration(min)`.
fn lost<'t>(text: &'t str) -> Vec<[&'t str; 3]> {
    let row = |line: &'t str| -> Option<[&'t str; 3]> {
        let words: Vec<_> = line.split_whitespace().collect();
        let numbers = words.len() == 8 && words[1..].iter().all(|word| word.parse::<i64>().is_ok());
        numbers.then(|| [words[0], words[1], words[5]])
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
        assert_eq!(lost(text), [["e0", "1", "20540"]]);
    }
}
