//! The offsets topic (`org.apache.kafka.connect.storage.KafkaOffsetBackingStore`): `["N",{partition}]` to `{offset}`.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    source::OffsetChange,
    transport::{OffsetCommit, ToEnd, Transport, Undecided},
};
use serde_json::Value as Json;
use tokio::sync::MutexGuard;

use super::{StateLog, log::OpenTransactions};
use crate::config::WorkerConfig;

/// By connector and canonical partition: the partition as it was written, and the offset.
type Offsets = HashMap<(String, String), (Json, Json)>;

/// Source offsets by connector and partition. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OffsetStore {
    topic: Text,
    tail: Arc<tokio::sync::Mutex<Tail>>,
    offsets: Arc<Mutex<Offsets>>,
    refreshes: Arc<Refreshes>,
    /// Partitions and replication factor of such a topic, where it is created.
    size: (i32, i16),
}

struct Tail {
    log: StateLog,
    /// What the last look could not tell, with the connectors whose offsets it is.
    undecided: Vec<(String, Undecided)>,
}

/// A thousand tasks that start at once need no thousand looks at the topic's end: one that begins after a task has asked
/// is as good as its own.
#[derive(Default)]
struct Refreshes {
    asked: AtomicU64,
    /// Those up to this one have their answer.
    done: AtomicU64,
}

/// A key that doesn't depend on the order of the fields.
fn canonical(partition: &Json) -> String {
    match partition {
        Json::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            format!("{fields:?}")
        }
        other => other.to_string(),
    }
}

impl OffsetStore {
    pub(crate) async fn open(
        transport: &Arc<dyn Transport>,
        config: &WorkerConfig,
    ) -> Result<Self> {
        let size = (config.offset_partitions, config.offset_replication);
        let store =
            Self::open_topic(transport, "offset.storage.topic", &config.offset_topic, size).await?;
        drop(store.look().await?);
        Ok(store)
    }

    async fn open_topic(
        transport: &Arc<dyn Transport>,
        key: &'static str,
        topic: &str,
        size: (i32, i16),
    ) -> Result<Self> {
        let log = StateLog::open(transport, key, topic, size.0, size.1).await?;
        let tail = Arc::new(tokio::sync::Mutex::new(Tail { log, undecided: Vec::new() }));
        let (offsets, refreshes) = (Arc::default(), Arc::default());
        Ok(Self { topic: topic.into(), tail, offsets, refreshes, size })
    }

    /// The offsets of a connector as they are now; `topic` is its own, if it has one.
    ///
    /// # Errors
    /// Also if a transaction that does not end holds offsets of this connector back.
    pub(crate) async fn of_connector(
        &self,
        transport: &Arc<dyn Transport>,
        connector: &str,
        topic: Option<&str>,
    ) -> Result<ConnectorOffsets> {
        self.refresh(connector).await?;
        let own = match topic.filter(|topic| *topic != &*self.topic) {
            Some(topic) => {
                let key = "offsets.storage.topic";
                let own = Self::open_topic(transport, key, topic, self.size).await?;
                own.refresh(connector).await?;
                Some(own)
            }
            None => None,
        };
        Ok(ConnectorOffsets { own, workers: self.clone() })
    }

    /// Takes in what was stored since, all that there is of this connector.
    async fn refresh(&self, connector: &str) -> Result<()> {
        let mut open = OpenTransactions::new();
        loop {
            let own: Vec<_> = {
                let tail = self.look().await?;
                let own = tail.undecided.iter().filter(|(owner, _)| owner == connector);
                own.map(|(_, entry)| entry.clone()).collect()
            };
            if open.ended(&self.topic, own).await? {
                return Ok(());
            }
        }
    }

    /// Takes in what was stored since, but for what open transactions hold back.
    async fn look(&self) -> Result<MutexGuard<'_, Tail>> {
        let mine = self.refreshes.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut tail = self.tail.lock().await;
        if self.refreshes.done.load(Ordering::Acquire) >= mine {
            return Ok(tail);
        }
        let asked = self.refreshes.asked.load(Ordering::Acquire);
        let ToEnd { entries, undecided } = tail.log.look().await?;
        let owned = |entry: Undecided| parse_key(&entry.key).map(|(owner, _)| (owner, entry));
        tail.undecided = undecided.into_iter().filter_map(owned).collect();
        let mut offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            let Some((connector, partition)) = parse_key(&entry.key) else {
                tracing::warn!(key = ?entry.key, "ignoring an entry of the offsets topic");
                continue;
            };
            let key = (connector, canonical(&partition));
            let offset = entry.value.as_ref().and_then(|value| serde_json::from_slice(value).ok());
            match offset {
                None | Some(Json::Null) => drop(offsets.remove(&key)),
                Some(offset) => drop(offsets.insert(key, (partition, offset))),
            }
        }
        drop(offsets);
        self.refreshes.done.store(asked, Ordering::Release);
        Ok(tail)
    }

    /// The stored offset of a partition, as of the last [`refresh`](Self::refresh).
    pub(crate) fn get(&self, connector: &str, partition: &Json) -> Option<Json> {
        let offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let found = offsets.get(&(connector.to_owned(), canonical(partition)));
        found.map(|(_, offset)| offset.clone())
    }

    /// Every partition of a connector with its offset, as of the last [`refresh`](Self::refresh), in a stable order.
    pub(crate) fn of(&self, connector: &str) -> Vec<(Json, Json)> {
        let offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = offsets.iter().filter(|((name, _), _)| name == connector).collect();
        found.sort_by(|a, b| a.0.cmp(b.0));
        found.into_iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Stores offsets; none forgets one. On return they are durable.
    pub(crate) async fn write(&self, connector: &str, offsets: &[OffsetChange]) -> Result<()> {
        let entry = |(partition, offset): &OffsetChange| {
            let value = offset.as_ref().map(bytes).transpose()?;
            // The key as it was first written: compaction goes by its bytes.
            let known = self.of(connector).into_iter().map(|(known, _)| known);
            let known = known.into_iter().find(|known| canonical(known) == canonical(partition));
            Ok((bytes(&(connector, known.as_ref().unwrap_or(partition)))?, value))
        };
        let entries = offsets.iter().map(entry).collect::<Result<_>>()?;
        let durable = self.tail.lock().await.log.append(entries).await?;
        durable.await?;
        self.refresh(connector).await
    }

    /// The record that stores an offset.
    pub(crate) fn commit(
        &self,
        connector: &str,
        partition: &Json,
        offset: &Json,
    ) -> Result<OffsetCommit> {
        Ok(OffsetCommit {
            topic: self.topic.clone(),
            key: bytes(&(connector, partition))?,
            value: Some(bytes(offset)?),
        })
    }
}

/// The offsets of a connector: in a topic of its own, if it has one, and in the worker's, where they may have begun
/// (`org.apache.kafka.connect.storage.ConnectorOffsetBackingStore`).
pub(crate) struct ConnectorOffsets {
    own: Option<OffsetStore>,
    workers: OffsetStore,
}

impl ConnectorOffsets {
    /// The stored offset of a partition.
    pub(crate) fn get(&self, connector: &str, partition: &Json) -> Option<Json> {
        let own = self.own.as_ref().and_then(|own| own.get(connector, partition));
        own.or_else(|| self.workers.get(connector, partition))
    }

    /// Every partition of a connector with its offset, in a stable order.
    pub(crate) fn of(&self, connector: &str) -> Vec<(Json, Json)> {
        let mut found = self.own.as_ref().map(|own| own.of(connector)).unwrap_or_default();
        for (partition, offset) in self.workers.of(connector) {
            if !found.iter().any(|(known, _)| canonical(known) == canonical(&partition)) {
                found.push((partition, offset));
            }
        }
        found
    }

    /// Stores offsets; none forgets one, wherever it is. On return they are durable.
    pub(crate) async fn write(&self, connector: &str, offsets: &[OffsetChange]) -> Result<()> {
        if let Some(own) = &self.own {
            own.write(connector, offsets).await?;
        }
        self.workers.write(connector, offsets).await
    }

    /// Where what is delivered from now on is stored.
    pub(crate) fn current(&self) -> &OffsetStore {
        self.own.as_ref().unwrap_or(&self.workers)
    }
}

fn bytes(value: &impl serde::Serialize) -> Result<Bytes> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from).map_err(|e| Error::internal("offset is not JSON").with_source(e))
}

fn parse_key(key: &Bytes) -> Option<(String, Json)> {
    serde_json::from_slice(key).ok()
}
