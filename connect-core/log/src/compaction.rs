//! Compacted topics keep the last message of each key. A partition is rewritten when more of it is garbage than not,
//! so that the work is in proportion to what was appended.

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::{
    batch::{Chunk, Cursor},
    store::{MAX_OFFSET, READ_BYTES, Row, batch_id, batches},
    topics::{Partition, Topic},
    writer::BATCH_BYTES,
};

/// Fewer messages than this are left alone.
const SMALL: i64 = 1000;
/// How long tombstones stay, so that a reader underway sees them: Kafka's `delete.retention.ms`.
const TOMBSTONES_MS: i64 = 24 * 60 * 60 * 1000;

/// How much of each compacted partition may be garbage.
#[derive(Debug, Default)]
pub(crate) struct Compaction(HashMap<i64, Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Messages that the last compaction left.
    live: i64,
    /// Messages since.
    appended: i64,
}

impl Compaction {
    /// Compacts the partitions of a topic that was just opened.
    pub(crate) fn load(
        &mut self,
        connection: &mut Connection,
        topic: &Topic,
    ) -> rusqlite::Result<()> {
        for partition in &topic.partitions {
            let sql = "SELECT coalesce(sum(count), 0) FROM batches WHERE id BETWEEN ?1 AND ?2";
            let range = (batch_id(partition.id, 0), batch_id(partition.id, MAX_OFFSET));
            let stored = connection.query_row(sql, range, |row| row.get(0))?;
            self.0.insert(partition.id, Counts { live: 0, appended: stored });
            self.appended(connection, partition)?;
        }
        Ok(())
    }

    /// Begins to count a new topic.
    pub(crate) fn created(&mut self, topic: &Topic) {
        if topic.compacted {
            let counts = |p: &std::sync::Arc<Partition>| (p.id, Counts::default());
            self.0.extend(topic.partitions.iter().map(counts));
        }
    }

    /// Counts messages that were appended.
    pub(crate) fn count(&mut self, partition: &Partition, messages: i64) {
        if let Some(counts) = self.0.get_mut(&partition.id) {
            counts.appended += messages;
        }
    }

    /// Compacts the partition if there may be enough garbage.
    pub(crate) fn appended(
        &mut self,
        connection: &mut Connection,
        partition: &Partition,
    ) -> rusqlite::Result<()> {
        let Some(counts) = self.0.get_mut(&partition.id) else { return Ok(()) };
        if counts.appended > SMALL.max(counts.live) {
            let before = counts.live + counts.appended;
            // Counted from here even if it fails, or every commit would try again.
            *counts = Counts { live: before, appended: 0 };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let horizon = now.as_millis() as i64 - TOMBSTONES_MS;
            counts.live = compact(connection, partition, horizon)?;
            tracing::debug!(
                topic = %partition.tp.topic, partition = partition.tp.partition, before,
                after = counts.live, "compacted"
            );
        }
        Ok(())
    }
}

/// Rewrites a partition with the last message of each key, in one transaction; returns how many are left. Tombstones
/// older than `horizon` (milliseconds since the epoch) go too.
fn compact(
    connection: &mut Connection,
    partition: &Partition,
    horizon: i64,
) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut last = HashMap::<Bytes, i64>::new();
    for_each(&transaction, partition, |offset, message| {
        // Copied: a slice would keep the whole batch in memory.
        let key = message.key.as_deref().map(Bytes::copy_from_slice).unwrap_or_default();
        last.insert(key, offset);
    })?;
    let mut rewritten = Rewritten { rows: Vec::new(), base: 0, next: 0, chunk: Chunk::default() };
    for_each(&transaction, partition, |offset, message| {
        let newest = last.get(message.key.as_deref().unwrap_or_default()) == Some(&offset);
        let timestamp = message.timestamp.unwrap_or_default();
        if newest && (message.value.is_some() || timestamp > horizon) {
            rewritten.push(offset, timestamp, &message);
        }
    })?;
    let range = (batch_id(partition.id, 0), batch_id(partition.id, MAX_OFFSET));
    transaction.execute("DELETE FROM batches WHERE id BETWEEN ?1 AND ?2", range)?;
    let rows = rewritten.finish(partition.end());
    let sql = "INSERT INTO batches (id, next, count, bytes) VALUES (?1, ?2, ?3, ?4)";
    for row in &rows {
        let id = batch_id(partition.id, row.base);
        transaction.prepare_cached(sql)?.execute((id, row.next, row.count, &row.bytes[..]))?;
    }
    transaction.commit()?;
    Ok(rows.iter().map(|row| i64::from(row.count)).sum())
}

fn for_each(
    transaction: &Transaction<'_>,
    partition: &Partition,
    mut each: impl FnMut(i64, connect_core::transport::Message),
) -> rusqlite::Result<()> {
    let mut offset = 0;
    while offset < partition.end() {
        let rows = batches(transaction, partition.id, offset, usize::MAX, READ_BYTES)?;
        let Some(last) = rows.last() else { break };
        offset = last.next;
        for row in rows {
            let mut cursor = Cursor::new(row.base, row.bytes);
            let damaged = |e| rusqlite::Error::ToSqlConversionFailure(Box::new(e));
            while let Some((offset, message)) = cursor.next().map_err(damaged)? {
                each(offset, message);
            }
        }
    }
    Ok(())
}

/// Batches of what is kept.
struct Rewritten {
    rows: Vec<Row>,
    base: i64,
    next: i64,
    chunk: Chunk,
}

impl Rewritten {
    fn push(&mut self, offset: i64, timestamp: i64, message: &connect_core::transport::Message) {
        if self.chunk.len() >= BATCH_BYTES {
            self.close();
        }
        if self.chunk.count() == 0 {
            (self.base, self.next) = (offset, offset);
        }
        self.chunk.push((offset - self.next).cast_unsigned(), timestamp, message);
        self.next = offset + 1;
    }

    fn close(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        let (base, next, count) = (self.base, self.next, chunk.count());
        self.rows.push(Row { base, next, count, bytes: chunk.finish().into() });
    }

    /// All batches; the last one tells where the partition ends, so that no offset is ever given twice.
    fn finish(mut self, end: i64) -> Vec<Row> {
        if self.chunk.count() > 0 {
            self.close();
        }
        match self.rows.last_mut() {
            Some(last) => last.next = end,
            None => self.rows.push(Row { base: end - 1, next: end, count: 0, bytes: Bytes::new() }),
        }
        self.rows
    }
}
