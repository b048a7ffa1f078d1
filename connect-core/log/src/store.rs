//! The file: tables, opening, and reading. Writing is the writer's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    sink::{Offsets, TopicPartition},
};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Semaphore;

use crate::{
    error,
    topics::{Topic, lock},
};

/// Bits of a batch's id that hold the offset; the partition's id is above them.
const OFFSET_BITS: u32 = 40;
/// Offsets end here.
pub(crate) const MAX_OFFSET: i64 = (1 << OFFSET_BITS) - 1;
/// Partitions of all topics end here.
pub(crate) const MAX_PARTITIONS: i64 = 1 << 22;
/// Reads at the same time.
const READERS: usize = 4;
/// A read ends after this many bytes, of all its partitions.
pub(crate) const READ_BYTES: usize = 512 << 10;
/// Layout of the file; a file with another one is refused.
const FORMAT: &str = "1";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (
        name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS topics (
        name TEXT PRIMARY KEY, first INTEGER NOT NULL, partitions INTEGER NOT NULL,
        compacted INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS batches (
        id INTEGER PRIMARY KEY, next INTEGER NOT NULL, count INTEGER NOT NULL, bytes BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS offsets (
        group_id TEXT, topic TEXT, partition INTEGER, next INTEGER NOT NULL,
        PRIMARY KEY (group_id, topic, partition)) WITHOUT ROWID;";

/// Id of the batch of a partition that begins at an offset.
pub(crate) fn batch_id(partition: i64, offset: i64) -> i64 {
    partition << OFFSET_BITS | offset.clamp(0, MAX_OFFSET)
}

/// Offset that a batch's id stands for.
pub(crate) fn base_of(id: i64) -> i64 {
    id & MAX_OFFSET
}

/// A stored batch.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its first offset.
    pub(crate) base: i64,
    /// The offset after it.
    pub(crate) next: i64,
    pub(crate) count: u32,
    pub(crate) bytes: Bytes,
}

/// What the file holds besides messages.
pub(crate) struct Loaded {
    pub(crate) cluster_id: String,
    pub(crate) topics: Vec<Topic>,
    pub(crate) committed: BTreeMap<String, Offsets>,
}

/// The file of a log, for reading.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    slots: Semaphore,
}

impl Store {
    /// Opens or creates the file; the connection is the one to write with.
    pub(crate) fn open(dir: &Path, new_cluster_id: &str) -> Result<(Self, Connection, Loaded)> {
        let path = dir.join("log.db");
        let failed =
            |e| error::store("cannot open the log", e).context("path", path.display().to_string());
        let connection = connect(&path).map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        let format = meta(&connection, "format", FORMAT).map_err(failed)?;
        if format != FORMAT {
            return Err(Error::config(format!(
                "The log in {} has format {format}; this program reads format {FORMAT}",
                dir.display()
            )));
        }
        let loaded = load(&connection, new_cluster_id).map_err(failed)?;
        let store = Self { path, idle: Mutex::default(), slots: Semaphore::new(READERS) };
        Ok((store, connection, loaded))
    }

    /// Runs a read off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let closed = |_| Error::internal("the log is closed");
        let _slot = self.slots.acquire().await.map_err(closed)?;
        let store = std::sync::Arc::clone(self);
        let result = tokio::task::spawn_blocking(move || {
            let idle = lock(&store.idle).pop();
            let connection = idle.map_or_else(|| connect(&store.path), Ok)?;
            let result = read(&connection);
            lock(&store.idle).push(connection);
            result
        });
        let result = result.await.map_err(|e| Error::internal("a read failed").with_source(e))?;
        result.map_err(|e| error::store("cannot read the log", e))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A commit is acknowledged when it is on the disk.
    connection.pragma_update(None, "synchronous", "full")?;
    // A burst leaves no large journal behind.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}

fn meta(connection: &Connection, name: &str, default: &str) -> rusqlite::Result<String> {
    let insert = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.execute(insert, (name, default))?;
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

fn load(connection: &Connection, new_cluster_id: &str) -> rusqlite::Result<Loaded> {
    let cluster_id = meta(connection, "cluster.id", new_cluster_id)?;
    let mut topics = Vec::new();
    let mut select = connection.prepare("SELECT name, first, partitions, compacted FROM topics")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let (first, partitions): (i64, i64) = (row.get(1)?, row.get(2)?);
        let ends = (first..first + partitions).map(|id| end(connection, id));
        let ends = ends.collect::<rusqlite::Result<_>>()?;
        let name: String = row.get(0)?;
        topics.push(Topic::new(name.into(), row.get(3)?, first, ends));
    }
    let mut committed = BTreeMap::<String, Offsets>::new();
    let mut select = connection.prepare("SELECT group_id, topic, partition, next FROM offsets")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let topic: Text = row.get::<_, String>(1)?.into();
        let tp = TopicPartition { topic, partition: row.get(2)? };
        committed.entry(row.get(0)?).or_default().insert(tp, row.get(3)?);
    }
    Ok(Loaded { cluster_id, topics, committed })
}

fn end(connection: &Connection, partition: i64) -> rusqlite::Result<i64> {
    let sql = "SELECT next FROM batches WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1";
    let range = (batch_id(partition, 0), batch_id(partition, MAX_OFFSET));
    Ok(connection.prepare_cached(sql)?.query_row(range, |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Batches of a partition from the one that holds `offset` on, until they hold `max` messages or `max_bytes`.
pub(crate) fn batches(
    connection: &Connection,
    partition: i64,
    offset: i64,
    max: usize,
    max_bytes: usize,
) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT id, next, count, bytes FROM batches
        WHERE id BETWEEN coalesce(
            (SELECT max(id) FROM batches WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3
        ORDER BY id";
    let range = (batch_id(partition, 0), batch_id(partition, offset));
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query((range.0, range.1, batch_id(partition, MAX_OFFSET)))?;
    let (mut found, mut count, mut bytes) = (Vec::new(), 0, 0);
    while count < max
        && bytes < max_bytes
        && let Some(row) = rows.next()?
    {
        let next = row.get(1)?;
        if next <= offset {
            continue;
        }
        let row = Row {
            base: base_of(row.get(0)?),
            next,
            count: row.get(2)?,
            bytes: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
        };
        count += row.count as usize;
        bytes += row.bytes.len();
        found.push(row);
    }
    Ok(found)
}
