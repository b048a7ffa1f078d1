//! The offsets topic (`org.apache.kafka.connect.storage.KafkaOffsetBackingStore`): `["N",{partition}]` to `{offset}`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{OffsetCommit, Transport},
};
use serde_json::Value as Json;

use super::StateLog;
use crate::config::WorkerConfig;

type Offsets = HashMap<(String, String), Json>;

/// Source offsets by connector and partition. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OffsetStore {
    topic: Text,
    log: Arc<tokio::sync::Mutex<StateLog>>,
    offsets: Arc<Mutex<Offsets>>,
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
        let (topic, replication) = (&config.offset_topic, config.offset_replication);
        let partitions = config.offset_partitions;
        let log = StateLog::open(transport, "offset.storage.topic", topic, partitions, replication);
        let store = Self {
            topic: topic.as_str().into(),
            log: Arc::new(tokio::sync::Mutex::new(log.await?)),
            offsets: Arc::default(),
        };
        store.refresh().await?;
        Ok(store)
    }

    /// Takes in what was stored since.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let entries = self.log.lock().await.read_to_end().await?;
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
                Some(offset) => drop(offsets.insert(key, offset)),
            }
        }
        Ok(())
    }

    /// The stored offset of a partition, as of the last [`refresh`](Self::refresh).
    pub(crate) fn get(&self, connector: &str, partition: &Json) -> Option<Json> {
        let offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        offsets.get(&(connector.to_owned(), canonical(partition))).cloned()
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

fn bytes(value: &impl serde::Serialize) -> Result<Bytes> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from).map_err(|e| Error::internal("offset is not JSON").with_source(e))
}

fn parse_key(key: &Bytes) -> Option<(String, Json)> {
    serde_json::from_slice(key).ok()
}
