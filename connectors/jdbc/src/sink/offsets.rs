//! Offsets that are kept in the target (`offsets.storage=target`).

use connect_core::error::{Error, Result};

use super::{SinkConfig, database::SinkDatabase};
use crate::names::TableName;

/// The error of a task that was left behind by a rebalance.
pub(super) fn fenced(topic: &str, partition: i32) -> Error {
    Error::refused("another task has taken this partition over: nothing was written")
        .context("topic", topic)
        .context("partition", partition)
}

/// The table of offsets.
pub(super) fn offsets_table<D: SinkDatabase>(
    database: &D,
    config: &SinkConfig,
) -> Result<TableName> {
    database.table(config.quoting(D::QUOTE).split(&config.offsets_table), config)
}

/// The table of offsets, made where it is missing.
pub(super) async fn ensure_offsets_table<D: SinkDatabase>(
    database: &mut D,
    config: &SinkConfig,
) -> Result<TableName> {
    let name = offsets_table(database, config)?;
    if database.describe(&name).await?.is_none() {
        let created = database
            .define(&format!(
                "CREATE TABLE {} (connector VARCHAR(200) NOT NULL, topic VARCHAR(249) NOT NULL, \
                 kafka_partition INT NOT NULL, next_offset BIGINT, epoch BIGINT NOT NULL, \
                 PRIMARY KEY (connector, topic, kafka_partition)){}",
                name.quoted(config.quoting(D::QUOTE)),
                D::BINARY_OPTIONS
            ))
            .await;
        // Another task may have been faster.
        if let Err(error) = created
            && database.describe(&name).await?.is_none()
        {
            return Err(error);
        }
    }
    Ok(name)
}
