//! The one thread that writes. What arrives while a commit is being fsync'd goes together into the next one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
};

use connect_core::{
    data::Text,
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    batch::Chunk,
    compaction::Compaction,
    error,
    groups::Groups,
    store::{MAX_OFFSET, MAX_PARTITIONS, batch_id},
    topics::{Partition, Topic, Topics, lock},
};

/// A stored batch is closed at this size.
pub(crate) const BATCH_BYTES: usize = 1 << 20;
/// A commit takes no more requests once it holds this many bytes.
const COMMIT_BYTES: usize = 16 << 20;

/// Where the answer to a request goes. Nobody may be waiting any more.
pub(crate) type Answer<T> = oneshot::Sender<Result<T>>;

/// Next offsets of a consumer group; none forgets one.
pub(crate) type Changes = BTreeMap<TopicPartition, Option<i64>>;

/// What an append brings for one partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) partition: Arc<Partition>,
    pub(crate) chunks: Vec<Chunk>,
}

/// Something to make durable.
#[derive(Debug)]
pub(crate) enum Request {
    /// Messages, all or none.
    Append {
        parts: Vec<Part>,
        /// Set when an append of the same producer has failed: those after it must not become durable.
        failed: Arc<AtomicBool>,
        /// Room in the queue, given back when the request is done.
        room: OwnedSemaphorePermit,
        answer: Answer<()>,
    },
    /// A topic; false if it existed.
    Create { name: Text, partitions: i32, compacted: bool, answer: Answer<bool> },
    /// Offsets of a consumer group.
    Commit { group: String, offsets: Changes, answer: Answer<()> },
    /// Ends the thread, once all before it is done.
    Stop,
}

/// What the writer shares with the rest of the log.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    /// Durable offsets of the consumer groups.
    pub(crate) committed: Mutex<BTreeMap<String, Offsets>>,
}

/// The thread's state.
pub(crate) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    compaction: Compaction,
}

/// A partition within the commit that is being made.
struct Open {
    partition: Arc<Partition>,
    base: i64,
    next: i64,
    count: u32,
    bytes: Vec<u8>,
}

impl Open {
    fn store(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if self.count > 0 {
            let sql = "INSERT INTO batches (id, next, count, bytes) VALUES (?1, ?2, ?3, ?4)";
            let id = batch_id(self.partition.id, self.base);
            let mut insert = transaction.prepare_cached(sql)?;
            insert.execute((id, self.next, self.count, &self.bytes))?;
            self.base = self.next;
            self.count = 0;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// What becomes visible once the commit is durable.
#[derive(Default)]
struct Outcome {
    open: HashMap<i64, Open>,
    created: Vec<Arc<Topic>>,
    committed: Vec<(String, Changes)>,
    answers: Vec<Done>,
}

/// An answer that waits for the commit.
enum Done {
    Append(Arc<AtomicBool>, OwnedSemaphorePermit, Answer<()>),
    Create(bool, Answer<bool>),
    Commit(Answer<()>),
}

impl Writer {
    /// A writer that has compacted what there was to compact.
    pub(crate) fn new(mut connection: Connection, shared: Arc<Shared>) -> Result<Self> {
        let failed = |e| error::store("cannot compact the log", e);
        let mut compaction = Compaction::default();
        for topic in shared.topics.all() {
            if topic.compacted {
                compaction.load(&mut connection, &topic).map_err(failed)?;
            }
        }
        Ok(Self { connection, shared, compaction })
    }

    /// Serves requests until [`Request::Stop`] or until nobody can send any.
    pub(crate) fn run(mut self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let mut size = 0;
            let (mut requests, mut stop) = (Vec::new(), false);
            let mut next = Some(first);
            while let Some(request) = next {
                if matches!(request, Request::Stop) {
                    stop = true;
                    break;
                }
                size += request.size();
                requests.push(request);
                next = (size < COMMIT_BYTES).then(|| queue.try_recv().ok()).flatten();
            }
            self.commit(requests);
            if stop {
                return;
            }
        }
    }

    /// Makes the requests durable in one transaction and answers them.
    fn commit(&mut self, requests: Vec<Request>) {
        let mut outcome = Outcome::default();
        let result = self.write(requests, &mut outcome);
        if let Err(e) = &result {
            tracing::error!(error = %e, "the log cannot write");
        }
        if result.is_ok() {
            self.publish(&mut outcome);
        }
        let failure = || {
            result.as_ref().err().map(|e| Error::connection(format!("cannot write the log: {e}")))
        };
        for answer in outcome.answers {
            answer.send(failure());
        }
        if result.is_ok() {
            for open in outcome.open.into_values().filter(|open| open.partition.compacted) {
                // What was acknowledged is durable; garbage can wait for the next attempt.
                if let Err(e) = self.compaction.appended(&mut self.connection, &open.partition) {
                    tracing::warn!(error = %e, topic = %open.partition.tp.topic, "compaction failed");
                }
            }
        }
    }

    fn write(&mut self, requests: Vec<Request>, outcome: &mut Outcome) -> rusqlite::Result<()> {
        // Taken apart first: whatever fails, every request gets its answer.
        let mut appends = Vec::new();
        let mut creates: Vec<(Text, i32, bool)> = Vec::new();
        for request in requests {
            match request {
                Request::Append { parts, failed, room, answer } => {
                    // Checked here and not when it was sent: the one before it may have failed since.
                    if failed.load(Ordering::Acquire) {
                        drop(room);
                        let _ = answer.send(Err(earlier_append_failed()));
                        continue;
                    }
                    appends.push(parts);
                    outcome.answers.push(Done::Append(failed, room, answer));
                }
                Request::Create { name, partitions, compacted, answer } => {
                    let known = self.shared.topics.get(&name).is_some()
                        || creates.iter().any(|(other, ..)| *other == name);
                    outcome.answers.push(Done::Create(!known, answer));
                    if !known {
                        creates.push((name, partitions, compacted));
                    }
                }
                Request::Commit { group, offsets, answer } => {
                    outcome.committed.push((group, offsets));
                    outcome.answers.push(Done::Commit(answer));
                }
                Request::Stop => {}
            }
        }
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (name, partitions, compacted) in creates {
            outcome.created.push(Arc::new(create(&transaction, name, partitions, compacted)?));
        }
        for part in appends.into_iter().flatten() {
            append(&transaction, part, &mut outcome.open)?;
        }
        for open in outcome.open.values_mut() {
            open.store(&transaction)?;
        }
        for (group, offsets) in &outcome.committed {
            store_offsets(&transaction, group, offsets)?;
        }
        transaction.commit()
    }

    fn publish(&mut self, outcome: &mut Outcome) {
        for (group, offsets) in outcome.committed.drain(..) {
            let mut committed = lock(&self.shared.committed);
            let known = committed.entry(group.clone()).or_default();
            for (tp, next) in offsets {
                match next {
                    Some(next) => known.insert(tp, next),
                    None => known.remove(&tp),
                };
            }
            if known.is_empty() {
                committed.remove(&group);
            }
        }
        for topic in outcome.created.drain(..) {
            self.compaction.created(&topic);
            self.shared.topics.add(topic);
            self.shared.groups.rebalance(&self.shared.topics);
        }
        for open in outcome.open.values() {
            self.compaction.count(&open.partition, open.next - open.partition.end());
            open.partition.publish(open.next);
            open.partition.watchers.wake();
        }
    }
}

impl Request {
    fn size(&self) -> usize {
        match self {
            Self::Append { parts, .. } => {
                parts.iter().flat_map(|part| &part.chunks).map(Chunk::len).sum()
            }
            _ => 0,
        }
    }
}

impl Done {
    /// Answers; the room that the request took is free afterwards.
    fn send(self, failure: Option<Error>) {
        // Whoever doesn't wait for the answer doesn't need it.
        match self {
            Self::Append(failed, _room, answer) => {
                failed.fetch_or(failure.is_some(), Ordering::AcqRel);
                let _ = answer.send(failure.map_or(Ok(()), Err));
            }
            Self::Create(created, answer) => {
                let _ = answer.send(failure.map_or(Ok(created), Err));
            }
            Self::Commit(answer) => {
                let _ = answer.send(failure.map_or(Ok(()), Err));
            }
        }
    }
}

/// Why a producer takes nothing more.
pub(crate) fn earlier_append_failed() -> Error {
    Error::connection("an earlier append of this producer failed: open a new one")
}

fn create(
    transaction: &Transaction<'_>,
    name: Text,
    partitions: i32,
    compacted: bool,
) -> rusqlite::Result<Topic> {
    let sql = "SELECT coalesce(max(first + partitions), 0) FROM topics";
    let first: i64 = transaction.query_row(sql, (), |row| row.get(0))?;
    if first + i64::from(partitions) > MAX_PARTITIONS {
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, first + i64::from(partitions)));
    }
    let insert = "INSERT INTO topics (name, first, partitions, compacted) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(insert, (&*name, first, partitions, compacted))?;
    Ok(Topic::new(name, compacted, first, vec![0; partitions as usize]))
}

fn append(
    transaction: &Transaction<'_>,
    part: Part,
    open: &mut HashMap<i64, Open>,
) -> rusqlite::Result<()> {
    let Part { partition, chunks } = part;
    let open = open.entry(partition.id).or_insert_with(|| {
        let end = partition.end();
        Open { partition, base: end, next: end, count: 0, bytes: Vec::new() }
    });
    for chunk in chunks {
        if open.bytes.len() + chunk.len() > BATCH_BYTES {
            open.store(transaction)?;
        }
        open.count += chunk.count();
        open.next += i64::from(chunk.count());
        if open.next > MAX_OFFSET {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, open.next));
        }
        open.bytes.extend_from_slice(&chunk.finish());
    }
    Ok(())
}

fn store_offsets(
    transaction: &Transaction<'_>,
    group: &str,
    offsets: &Changes,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO offsets (group_id, topic, partition, next) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (group_id, topic, partition) DO UPDATE SET next = excluded.next";
    let mut upsert = transaction.prepare_cached(sql)?;
    let sql = "DELETE FROM offsets WHERE group_id = ?1 AND topic = ?2 AND partition = ?3";
    let mut delete = transaction.prepare_cached(sql)?;
    for (tp, next) in offsets {
        match next {
            Some(next) => upsert.execute((group, &*tp.topic, tp.partition, next))?,
            None => delete.execute((group, &*tp.topic, tp.partition))?,
        };
    }
    Ok(())
}
