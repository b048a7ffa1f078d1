//! Delivers a batch: retries what may be retried, halves what is refused until the bad record is alone.

use std::time::Duration;

use connect_core::{
    error::{Error, ErrorKind, Result},
    sink::{Delivered, SinkBatch, SinkRecord, SinkTask},
    transport::Fetched,
};
use tokio_util::sync::CancellationToken;

use crate::errors::{Errant, ErrorPolicy, Stage};

/// Delivers every record of the batch to the task or to the dead letter queue. False when told to stop before: then
/// nothing may be committed.
pub(super) async fn deliver(
    task: &mut dyn SinkTask,
    batch: SinkBatch,
    fetched: &[Fetched],
    policy: &mut ErrorPolicy,
    stop: &CancellationToken,
) -> Result<bool> {
    let retry = task.retry();
    let mut attempts = 0;
    let mut pending = vec![batch];
    while let Some(mut batch) = pending.pop() {
        let error = match task.put(&batch).await {
            Ok(Delivered::All) => {
                attempts = 0;
                continue;
            }
            Ok(Delivered::Each(results)) => {
                // Invariant 3: a record without an answer is not a record that was written.
                if results.len() != batch.records.len() {
                    return Err(Error::internal("the sink answered for another number of records")
                        .context("records", batch.records.len())
                        .context("answers", results.len()));
                }
                for (record, result) in batch.records.iter().zip(results) {
                    if let Err(error) = result {
                        pass_over(record, fetched, policy, error).await?;
                    }
                }
                continue;
            }
            Err(error) => error,
        };
        // Bad data is passed over where it may be, and tried again where it may not: then it fails the task, and whatever
        // made it bad may go away. As the JVM's sinks, which try everything again, but don't before they pass over.
        let isolate = error.kind() == ErrorKind::Data && policy.tolerates();
        if error.is_retriable() && !isolate {
            if retry.attempts.is_some_and(|most| attempts >= most) {
                return Err(Error::refused("Exiting WorkerSinkTask: retries exhausted")
                    .context("retries", attempts)
                    .with_source(error));
            }
            attempts += 1;
            tracing::warn!(error = %error.trace().trim_end(), attempts, "put failed; trying again");
            pending.push(batch);
            if !pause(retry.backoff, stop).await {
                return Ok(false);
            }
        } else if error.kind() != ErrorKind::Data {
            return Err(error);
        } else if batch.records.len() == 1 {
            pass_over(&batch.records[0], fetched, policy, error).await?;
        } else {
            // Without tolerance too: the good ones before the bad one are delivered, and the error names just it.
            let tail = batch.records.split_off(batch.records.len() / 2);
            pending.push(SinkBatch { records: tail });
            pending.push(batch);
        }
    }
    Ok(true)
}

/// Waits; false when told to stop.
pub(super) async fn pause(backoff: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(backoff) => true,
    }
}

async fn pass_over(
    record: &SinkRecord,
    fetched: &[Fetched],
    policy: &mut ErrorPolicy,
    error: Error,
) -> Result<()> {
    let part = fetched.iter().find(|part| part.origin == *record.origin);
    let found = part.and_then(|part| {
        let at = part.messages.binary_search_by_key(&record.offset, |(offset, _)| *offset).ok()?;
        Some(&part.messages[at].1)
    });
    let message = found.ok_or_else(|| Error::internal("a record that was not fetched"))?;
    let errant = Errant::Fetched { origin: &record.origin, offset: record.offset, message };
    policy.errant(Stage::TaskPut, errant, error).await
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
