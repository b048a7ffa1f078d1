//! The connector: tasks, and offsets that are kept in the target.

use std::marker::PhantomData;

use async_trait::async_trait;
use connect_core::{
    config::{Invalid, Properties},
    error::{Error, Result},
    sink::SinkConnector,
    source::OffsetChange,
};
use serde_json::Value as Json;

use super::{
    JdbcSinkTask, SinkConfig,
    checks::{contradictions, without_meaning},
    database::{OffsetRow, SinkDatabase},
    keys::OffsetsStorage,
};
use crate::{SINK_CLASSES, claims};

/// `JdbcSinkConnector` on a database.
pub struct JdbcSink<D> {
    config: SinkConfig,
    database: PhantomData<fn() -> D>,
}

#[async_trait]
impl<D: SinkDatabase> SinkConnector for JdbcSink<D> {
    const NAME: &'static str = D::NAME;
    const ALIASES: &'static [&'static str] = SINK_CLASSES;
    type Config = SinkConfig;
    type Task = JdbcSinkTask<D>;

    fn claims(properties: &Properties) -> bool {
        claims(properties, D::PROTOCOLS)
    }

    async fn validate(config: &SinkConfig) -> Vec<Invalid> {
        contradictions(config)
    }

    async fn alter_offsets(config: &SinkConfig, offsets: &[OffsetChange]) -> Result<bool> {
        if config.offsets_storage != OffsetsStorage::Target {
            return Ok(false);
        }
        let mut task = JdbcSinkTask::<D>::new(config.clone())?;
        for (partition, offset) in offsets {
            let (topic, number) = topic_partition(partition)?;
            let next = offset.as_ref().map(kafka_offset).transpose()?;
            task.set_offset(&OffsetRow { topic, partition: number, next, epoch: 0 }).await?;
        }
        Ok(true)
    }

    async fn connect(config: SinkConfig) -> Result<Self> {
        let ignored = without_meaning(&config, D::PARAMETERS);
        if !ignored.is_empty() {
            tracing::warn!(
                keys = ignored.join(", "),
                "these settings have no meaning here and are ignored"
            );
        }
        Ok(Self { config, database: PhantomData })
    }

    async fn task(&self) -> Result<JdbcSinkTask<D>> {
        JdbcSinkTask::new(self.config.clone())
    }
}

fn topic_partition(partition: &Json) -> Result<(String, i32)> {
    let topic = partition["kafka_topic"].as_str();
    let number = partition["kafka_partition"].as_i64().and_then(|n| i32::try_from(n).ok());
    let form = || {
        Error::config("a partition must be {\"kafka_topic\":\"topic\",\"kafka_partition\":0}")
            .context("partition", partition)
    };
    Ok((topic.ok_or_else(form)?.to_owned(), number.ok_or_else(form)?))
}

fn kafka_offset(offset: &Json) -> Result<i64> {
    let form = || Error::config("an offset must be {\"kafka_offset\":0}").context("offset", offset);
    offset["kafka_offset"].as_i64().filter(|n| *n >= 0).ok_or_else(form)
}
