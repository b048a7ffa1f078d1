//! Where the transactions of a source end (`transaction.boundary`, KIP-618).

use std::time::Duration;

use connect_core::error::{Error, Result};
use tokio::{sync::oneshot, time::Instant};

use super::Runner;
use crate::{
    config::{SourceConfig, TransactionBoundary, Worker},
    herder::Refusal,
    storage::Request,
};

/// What ends the transaction of a task.
pub(super) enum Boundary {
    /// Every batch.
    Poll,
    /// Time.
    Interval(Duration),
    /// The connector says.
    Connector,
}

/// The transaction of a task.
pub(super) struct Transactions {
    boundary: Boundary,
    /// When the open one is due, if there is one that time ends.
    pub(super) due: Option<Instant>,
}

impl Transactions {
    /// Of a task that is to deliver exactly once; of others, every batch stands alone.
    pub(super) fn new(worker: &Worker, config: &SourceConfig) -> Self {
        let default = worker.config.offset_flush_interval.get();
        let millis = config.boundary_interval.and_then(|millis| u64::try_from(millis).ok());
        let boundary = match config.boundary {
            _ if !worker.exactly_once() => Boundary::Poll,
            TransactionBoundary::Poll => Boundary::Poll,
            TransactionBoundary::Interval => {
                Boundary::Interval(millis.map_or(default, Duration::from_millis))
            }
            TransactionBoundary::Connector => Boundary::Connector,
        };
        Self { boundary, due: None }
    }

    /// Whether a batch, after which the connector says that a transaction ends or goes on, is the last of its transaction.
    pub(super) fn ends(&mut self, connector_ends: bool) -> bool {
        match self.boundary {
            Boundary::Poll => true,
            Boundary::Connector => connector_ends,
            Boundary::Interval(interval) => {
                let due = *self.due.get_or_insert_with(|| Instant::now() + interval);
                let ends = due <= Instant::now();
                if ends {
                    self.due = None;
                }
                ends
            }
        }
    }
}

/// Has the leader fence what the connector's tasks of earlier configurations have left: nothing that a task reads afterwards
/// changes behind its back. False when told to stop.
pub(super) async fn fence(runner: &Runner, connector: &str) -> Result<bool> {
    let ask = || async {
        let (reply, answer) = oneshot::channel();
        let request = Request::Fence { name: connector.to_owned() };
        let ended = || Error::connection("the worker is shutting down");
        runner.context.requests.send((request, reply)).await.map_err(|_| ended())?;
        match answer.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refusal)) => Err(refused(&refusal)),
            Err(_) => Err(ended()),
        }
    };
    Ok(runner.retrying("fencing earlier tasks", ask).await?.is_some())
}

fn refused(refusal: &Refusal) -> Error {
    Error::connection("the leader did not fence earlier tasks").context("cause", refusal)
}

#[cfg(test)]
mod tests {
    use connect_core::config::{Properties, parse};

    use super::*;

    fn transactions(worker: &str, boundary: &str) -> Transactions {
        let properties = |pairs: &[(&str, &str)]| -> Properties {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let worker = Worker::parse(properties(&[
            ("bootstrap.servers", "b:1"),
            ("exactly.once.source.support", worker),
            ("offset.flush.interval.ms", "5000"),
        ]));
        let config = parse(&properties(&[("transaction.boundary", boundary)])).unwrap();
        Transactions::new(&worker.unwrap(), &config)
    }

    #[tokio::test(start_paused = true)]
    async fn time_ends_a_transaction() {
        let mut interval = transactions("enabled", "interval");
        assert_eq!((interval.ends(true), interval.ends(true)), (false, false));
        let due = interval.due.unwrap();
        tokio::time::sleep_until(due).await;
        assert!(interval.ends(false));
        assert_eq!(interval.due, None, "the next begins with the next batch");
    }

    #[test]
    fn the_connector_ends_it_where_it_was_asked_to() {
        let mut connector = transactions("enabled", "connector");
        assert_eq!((connector.ends(false), connector.ends(true)), (false, true));
        let mut poll = transactions("enabled", "poll");
        assert!(poll.ends(false));
        let mut without = transactions("preparing", "connector");
        assert!(without.ends(false), "nothing is held back without transactions");
    }
}
