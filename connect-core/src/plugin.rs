//! Type erasure, once, for every connector: authors keep their types, the runtime keeps `dyn`. No connector
//! implements anything in this module.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    config::{self, ConfigKey, Invalid, Properties},
    data::Text,
    error::{Error, Result},
    record::Record,
    sink::{SinkConnector, SinkTask},
    source::{Assigned, OffsetChange, Polled, SourceBatch, SourceConnector, SourceTask},
};

/// A batch whose progress is JSON: one conversion per batch, none per record.
pub struct ErasedBatch {
    /// Source partition.
    pub partition: Json,
    /// Source offset.
    pub offset: Option<Json>,
    /// Target topic.
    pub topic: Text,
    /// The records.
    pub records: Vec<Record>,
    /// See [`SourceBatch::unreadable`].
    pub unreadable: Option<Error>,
}

/// [`SourceTask`] without its types.
#[async_trait]
pub trait DynSourceTask: Send {
    /// See [`SourceTask::poll`].
    async fn poll(&mut self) -> Result<Polled<ErasedBatch>>;
    /// See [`SourceTask::woken`].
    async fn woken(&mut self);
    /// See [`SourceTask::notice`].
    fn notice(&self) -> Option<String>;
    /// See [`SourceTask::ends_transaction`].
    fn ends_transaction(&self) -> bool;
    /// See [`SourceTask::commit`].
    async fn commit(&mut self, partition: &Json, offset: &Json) -> Result<()>;
}

#[async_trait]
impl<T: SourceTask> DynSourceTask for T {
    async fn poll(&mut self) -> Result<Polled<ErasedBatch>> {
        Ok(match SourceTask::poll(self).await? {
            Polled::Idle(wait) => Polled::Idle(wait),
            Polled::Batch(SourceBatch { partition, offset, topic, records, unreadable }) => {
                let offset = offset.as_ref().map(to_json).transpose()?;
                Polled::Batch(ErasedBatch {
                    partition: to_json(&partition)?,
                    offset,
                    topic,
                    records,
                    unreadable,
                })
            }
        })
    }
    async fn woken(&mut self) {
        SourceTask::woken(self).await;
    }
    fn notice(&self) -> Option<String> {
        SourceTask::notice(self)
    }
    fn ends_transaction(&self) -> bool {
        SourceTask::ends_transaction(self)
    }
    async fn commit(&mut self, partition: &Json, offset: &Json) -> Result<()> {
        SourceTask::commit(self, &from_json(partition)?, &from_json(offset)?).await
    }
}

/// [`SourceConnector`] without its types.
#[async_trait]
pub trait DynSourceConnector: Send + Sync {
    /// See [`SourceConnector::partitions`].
    async fn partitions(&self) -> Result<Vec<Json>>;
    /// See [`SourceConnector::earlier`].
    fn earlier(&self, partition: &Json) -> Result<Vec<Json>>;
    /// See [`SourceConnector::notice`].
    fn notice(&self) -> Option<String>;
    /// See [`SourceConnector::partitions_interval`].
    fn partitions_interval(&self) -> Option<Duration>;
    /// See [`SourceConnector::task`].
    async fn task(&self, assigned: Vec<(Json, Option<Json>)>) -> Result<Box<dyn DynSourceTask>>;
}

#[async_trait]
impl<C: SourceConnector> DynSourceConnector for C {
    async fn partitions(&self) -> Result<Vec<Json>> {
        SourceConnector::partitions(self).await?.iter().map(to_json).collect()
    }
    fn earlier(&self, partition: &Json) -> Result<Vec<Json>> {
        SourceConnector::earlier(self, &from_json(partition)?).iter().map(to_json).collect()
    }
    fn notice(&self) -> Option<String> {
        SourceConnector::notice(self)
    }
    fn partitions_interval(&self) -> Option<Duration> {
        SourceConnector::partitions_interval(self)
    }
    async fn task(&self, assigned: Vec<(Json, Option<Json>)>) -> Result<Box<dyn DynSourceTask>> {
        let mut typed = Vec::with_capacity(assigned.len());
        for (partition, offset) in assigned {
            let offset = offset.as_ref().map(from_json).transpose()?;
            typed.push(Assigned { partition: from_json(&partition)?, offset });
        }
        Ok(Box::new(SourceConnector::task(self, typed).await?))
    }
}

/// [`SinkConnector`] without its types.
#[async_trait]
pub trait DynSinkConnector: Send + Sync {
    /// See [`SinkConnector::task`].
    async fn task(&self) -> Result<Box<dyn SinkTask>>;
}

#[async_trait]
impl<C: SinkConnector> DynSinkConnector for C {
    async fn task(&self) -> Result<Box<dyn SinkTask>> {
        Ok(Box::new(SinkConnector::task(self).await?))
    }
}

/// A live connector.
pub enum Connected {
    /// Source.
    Source(Box<dyn DynSourceConnector>),
    /// Sink, already as a factory of tasks.
    Sink(Box<dyn DynSinkConnector>),
}

/// Which way a connector moves records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "names say it")]
pub enum PluginType {
    Source,
    Sink,
}

impl PluginType {
    /// As REST shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
        }
    }
}

/// What a source promises of its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// See [`SourceConnector::exactly_once`].
    pub exactly_once: bool,
    /// See [`SourceConnector::bounds_transactions`].
    pub bounds_transactions: bool,
}

/// What the registry stores of a connector class.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Source or sink.
    fn ty(&self) -> PluginType;
    /// Its version.
    fn version(&self) -> &'static str;
    /// See [`SourceConnector::claims`].
    fn claims(&self, properties: &Properties) -> bool;
    /// Connect's `ConfigDef`.
    fn config_def(&self) -> Vec<ConfigKey>;
    /// Checks each key by itself, and if all are well the configuration as a whole.
    async fn validate(&self, properties: &Properties) -> Vec<Invalid>;
    /// What a source with this configuration promises; none of a sink, or if the configuration is wrong.
    fn delivery(&self, properties: &Properties) -> Option<Delivery>;
    /// See [`SourceConnector::alter_offsets`].
    async fn alter_offsets(
        &self,
        properties: &Properties,
        offsets: &[OffsetChange],
    ) -> Result<bool>;
    /// Parses the configuration and connects.
    async fn connect(&self, properties: &Properties) -> Result<Connected>;
}

struct SourcePlugin<C>(PhantomData<fn() -> C>);
struct SinkPlugin<C>(PhantomData<fn() -> C>);

/// Erases a source.
pub(crate) fn source<C: SourceConnector>() -> Arc<dyn Plugin> {
    Arc::new(SourcePlugin::<C>(PhantomData))
}
/// Erases a sink.
pub(crate) fn sink<C: SinkConnector>() -> Arc<dyn Plugin> {
    Arc::new(SinkPlugin::<C>(PhantomData))
}

macro_rules! plugin {
    ($plugin:ident, $connector:ident) => {
        #[async_trait]
        impl<C: $connector> Plugin for $plugin<C> {
            fn ty(&self) -> PluginType {
                Self::TYPE
            }
            fn version(&self) -> &'static str {
                C::VERSION
            }
            fn claims(&self, properties: &Properties) -> bool {
                C::claims(properties)
            }
            fn config_def(&self) -> Vec<ConfigKey> {
                config::config_def::<C::Config>()
            }
            async fn validate(&self, properties: &Properties) -> Vec<Invalid> {
                let invalid = config::validate(&self.config_def(), properties);
                if !invalid.is_empty() {
                    return invalid;
                }
                match config::parse::<C::Config>(properties) {
                    Ok(config) => C::validate(&config).await,
                    Err(e) => vec![Invalid::new("connector.class", e.to_string())],
                }
            }
            fn delivery(&self, properties: &Properties) -> Option<Delivery> {
                Self::delivery_of(&config::parse(properties).ok()?)
            }
            async fn alter_offsets(
                &self,
                properties: &Properties,
                offsets: &[OffsetChange],
            ) -> Result<bool> {
                C::alter_offsets(&config::parse(properties)?, offsets).await
            }
            async fn connect(&self, properties: &Properties) -> Result<Connected> {
                Ok(Self::connected(C::connect(config::parse(properties)?).await?))
            }
        }
    };
}
plugin!(SourcePlugin, SourceConnector);
plugin!(SinkPlugin, SinkConnector);

impl<C: SourceConnector> SourcePlugin<C> {
    const TYPE: PluginType = PluginType::Source;
    fn connected(connector: C) -> Connected {
        Connected::Source(Box::new(connector))
    }
    fn delivery_of(config: &C::Config) -> Option<Delivery> {
        let bounds_transactions = C::bounds_transactions(config);
        Some(Delivery { exactly_once: C::exactly_once(config), bounds_transactions })
    }
}
impl<C: SinkConnector> SinkPlugin<C> {
    const TYPE: PluginType = PluginType::Sink;
    fn connected(connector: C) -> Connected {
        Connected::Sink(Box::new(connector))
    }
    fn delivery_of(_: &C::Config) -> Option<Delivery> {
        None
    }
}

fn to_json(progress: &impl Serialize) -> Result<Json> {
    serde_json::to_value(progress)
        .map_err(|e| Error::internal("source partition or offset is not JSON").with_source(e))
}

fn from_json<T: DeserializeOwned>(progress: &Json) -> Result<T> {
    T::deserialize(progress).map_err(|e| {
        Error::config("stored source partition or offset does not fit this connector")
            .context("stored", progress)
            .with_source(e)
    })
}
