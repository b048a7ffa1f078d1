//! Configuration of the worker, and the keys that every connector has.

mod connector;
mod worker;

use std::collections::BTreeMap;

use connect_core::config::Properties;

pub use connector::{
    ConnectorConfig, ExactlyOnce, QueueConfig, ReloadAction, SinkConfig, SourceConfig, Tolerance,
    TransactionBoundary, framework_keys,
};
pub use worker::{ExactlyOnceSource, Worker, WorkerConfig};

/// The properties below a prefix, with the prefix removed.
pub fn below(properties: &Properties, prefix: &str) -> BTreeMap<String, String> {
    let entries = properties
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
    entries.collect()
}
