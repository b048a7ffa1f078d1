//! Where a consumer or reader stands in a partition, and what it has read from there but not yet handed out.

use std::{collections::VecDeque, sync::Arc};

use connect_core::{error::Result, transport::Message};

use crate::{
    batch::Cursor,
    store::{READ_BYTES, Row, Store, batches},
    topics::Partition,
};

/// A position in a partition.
#[derive(Debug)]
pub(crate) struct Position {
    pub(crate) partition: Arc<Partition>,
    /// The next offset to hand out.
    next: i64,
    /// The next offset to read from the store.
    read: i64,
    pending: VecDeque<Cursor>,
}

impl Position {
    pub(crate) fn new(partition: Arc<Partition>, offset: i64) -> Self {
        Self { partition, next: offset, read: offset, pending: VecDeque::new() }
    }

    /// Goes on at `offset`; what was read is dropped.
    pub(crate) fn seek(&mut self, offset: i64) {
        (self.next, self.read) = (offset, offset);
        self.pending.clear();
    }

    /// Whether something can be handed out without reading.
    pub(crate) fn is_buffered(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the store has more than was read.
    pub(crate) fn is_behind(&self) -> bool {
        self.read < self.partition.end()
    }

    /// Takes what was read.
    pub(crate) fn fill(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.read = row.next;
            self.pending.push_back(Cursor::new(row.base, row.bytes));
        }
    }

    /// Hands out up to `max` messages.
    pub(crate) fn take(&mut self, max: usize) -> Result<Vec<(i64, Message)>> {
        let mut messages = Vec::new();
        while messages.len() < max
            && let Some(cursor) = self.pending.front_mut()
        {
            match cursor.next()? {
                // The batch may begin before the position.
                Some((offset, _)) if offset < self.next => {}
                Some((offset, message)) => {
                    self.next = offset + 1;
                    messages.push((offset, message));
                }
                None => {
                    self.pending.pop_front();
                }
            }
        }
        Ok(messages)
    }
}

/// Reads on in every position that is behind, up to `max` messages each, and returns whether there was any. Cancel safe.
pub(crate) async fn read_on(
    store: &Arc<Store>,
    positions: &mut [Position],
    max: usize,
) -> Result<bool> {
    let behind = positions.iter().enumerate().filter(|(_, p)| p.is_behind());
    let behind: Vec<_> = behind.map(|(i, p)| (i, p.partition.id, p.read)).collect();
    if behind.is_empty() {
        return Ok(false);
    }
    let share = READ_BYTES / behind.len();
    let found = store
        .read(move |connection| {
            let read = |(i, id, offset)| Ok((i, batches(connection, id, offset, max, share)?));
            behind.into_iter().map(read).collect::<rusqlite::Result<Vec<_>>>()
        })
        .await?;
    for (i, rows) in found {
        positions[i].fill(rows);
    }
    Ok(true)
}
