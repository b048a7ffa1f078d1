//! Delivers a batch: retries what may pass, halves what is refused until one record is left, and then judges whether
//! that record or the task is at fault.

use std::{collections::HashSet, time::Duration};

use connect_core::{
    error::{Error, ErrorKind, Result},
    sink::{Delivered, Offsets, SinkBatch, SinkRecord, SinkTask},
    transport::Fetched,
};
use tokio_util::sync::CancellationToken;

use crate::errors::{Errant, ErrorPolicy, Stage};

/// Delivers every record of the batch to the task or to the dead letter queue. False when told to stop before.
/// Records of one partition are put in their order, also when they are put again.
///
/// `done` gets the next offsets of what is delivered although the rest is not, whatever is returned: a restart must not
/// deliver that again. After true they may lack what was delivered last.
pub(super) async fn deliver(
    task: &mut dyn SinkTask,
    batch: SinkBatch,
    fetched: &[Fetched],
    policy: &mut ErrorPolicy,
    stop: &CancellationToken,
    done: &mut Offsets,
) -> Result<bool> {
    let retry = task.retry();
    let mut pending = Pending(vec![batch]);
    let mut attempts = 0;
    let mut any_passed = false;
    let mut suspects: Vec<(SinkRecord, Error)> = Vec::new();
    let mut postponed = HashSet::new();
    while let Some(mut batch) = pending.0.pop() {
        let error = match task.put(&batch).await {
            Ok(Delivered::All) => {
                attempts = 0;
                any_passed |= !batch.records.is_empty();
                if !pending.0.is_empty() {
                    advance(done, &batch.records, &suspects);
                }
                continue;
            }
            Ok(Delivered::Each(results)) => {
                // Invariant 3: a record without an answer is not a record that was written.
                if results.len() != batch.records.len() {
                    return Err(Error::internal("the sink answered for another number of records")
                        .context("records", batch.records.len())
                        .context("answers", results.len()));
                }
                any_passed |= results.iter().any(Result::is_ok);
                for (record, result) in batch.records.iter().zip(results) {
                    if let Err(error) = result {
                        pass_over(record, fetched, policy, error).await?;
                    }
                }
                advance(done, &batch.records, &suspects);
                continue;
            }
            Err(error) => error,
        };
        let exhausted = retry.attempts.is_some_and(|most| attempts >= most);
        match judge(&error, batch.records.len(), exhausted, policy.tolerates()) {
            Verdict::Retry => {
                let first = &batch.records[0];
                if error.kind() == ErrorKind::Conflict
                    && postponed.insert(((*first.origin).clone(), first.offset))
                {
                    // The row that it needs may come from another partition of this batch.
                    match pending.postpone(batch) {
                        None => continue,
                        Some(only) => batch = only,
                    }
                }
                attempts += 1;
                tracing::warn!(error = %error.trace().trim_end(), attempts, "put failed; trying again");
                pending.0.push(batch);
                if !pause(retry.backoff, stop).await {
                    return Ok(false);
                }
            }
            Verdict::Halve => {
                let tail = batch.records.split_off(batch.records.len() / 2);
                pending.0.push(SinkBatch { records: tail });
                pending.0.push(batch);
            }
            Verdict::PassOver => {
                attempts = 0;
                pass_over(&batch.records[0], fetched, policy, error).await?;
                advance(done, &batch.records, &suspects);
            }
            Verdict::Suspect => {
                if let Some(record) = batch.records.pop() {
                    suspects.push((record, error));
                }
            }
            Verdict::Exhausted => {
                return Err(Error::refused("Exiting WorkerSinkTask: retries exhausted")
                    .context("retries", attempts)
                    .with_source(error));
            }
            Verdict::Fail => return Err(error),
        }
    }
    for (record, error) in suspects {
        // What every record meets is no fault of a record.
        if !any_passed {
            return Err(error);
        }
        pass_over(&record, fetched, policy, error).await?;
    }
    Ok(true)
}

/// Notes that records are delivered, but for partitions in which an earlier record is not judged yet.
fn advance(done: &mut Offsets, records: &[SinkRecord], suspects: &[(SinkRecord, Error)]) {
    for record in records {
        if !suspects.iter().any(|(suspect, _)| suspect.origin == record.origin) {
            match done.get_mut(&*record.origin) {
                Some(next) => *next = record.offset + 1,
                None => drop(done.insert((*record.origin).clone(), record.offset + 1)),
            }
        }
    }
}

/// What an error of a put leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The same batch is put again after a pause.
    Retry,
    /// Both halves are put, one after the other.
    Halve,
    /// The record is at fault: `errors.tolerance` decides.
    PassOver,
    /// The record is at fault if another record of the batch passes, else the task is.
    Suspect,
    /// The task fails, having tried as often as it may.
    Exhausted,
    /// The task fails.
    Fail,
}

fn judge(error: &Error, records: usize, exhausted: bool, tolerated: bool) -> Verdict {
    let alone = records <= 1;
    match error.kind() {
        // As the JVM's sinks: a batch with a record that may not be passed over is tried again, since its table may be
        // changed meanwhile, and nothing of it is written before. They do the same before they pass a record over.
        ErrorKind::Data if error.is_retriable() && !tolerated && exhausted => Verdict::Exhausted,
        ErrorKind::Data if error.is_retriable() && !tolerated => Verdict::Retry,
        ErrorKind::Rejected if !tolerated => Verdict::Fail,
        // Also without tolerance: the good records before the bad one are delivered, and the error names just that one.
        ErrorKind::Data | ErrorKind::Conflict | ErrorKind::Rejected if !alone => Verdict::Halve,
        ErrorKind::Conflict if error.is_retriable() && !exhausted => Verdict::Retry,
        ErrorKind::Data | ErrorKind::Conflict => Verdict::PassOver,
        ErrorKind::Rejected => Verdict::Suspect,
        _ if error.is_retriable() && !exhausted => Verdict::Retry,
        ErrorKind::Busy if tolerated && !alone => Verdict::Halve,
        ErrorKind::Busy if tolerated => Verdict::Suspect,
        _ if error.is_retriable() => Verdict::Exhausted,
        _ => Verdict::Fail,
    }
}

/// Batches that are still to be put, the next one last.
struct Pending(Vec<SinkBatch>);

impl Pending {
    /// Puts a batch of one record, and what follows it in its partition, behind the records of other partitions. Returns
    /// the batch where there are none.
    fn postpone(&mut self, batch: SinkBatch) -> Option<SinkBatch> {
        let SinkBatch { records } = batch;
        let Some(origin) = records.first().map(|record| std::sync::Arc::clone(&record.origin))
        else {
            return Some(SinkBatch { records });
        };
        let other = |batch: &SinkBatch| batch.records.iter().any(|r| r.origin != origin);
        if !self.0.iter().any(other) {
            return Some(SinkBatch { records });
        }
        let (mut later, mut sooner) = (records, Vec::new());
        for record in self.0.drain(..).rev().flat_map(|batch| batch.records) {
            if record.origin == origin { later.push(record) } else { sooner.push(record) }
        }
        self.0.push(SinkBatch { records: later });
        self.0.push(SinkBatch { records: sooner });
        None
    }
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
