//! The plugin API of Ferrovia: what a connector author sees, and what the runtime and the transports
//! agree on. Knows no database, no broker, no HTTP and no async runtime (invariant 4).

pub mod config;
pub mod converter;
pub mod data;
pub mod error;
pub mod plugin;
pub mod record;
pub mod registry;
pub mod sink;
pub mod source;
pub mod transform;
pub mod transport;

/// The version of Apache Kafka Connect whose REST API, formats and plugins are spoken.
pub const CONNECT_VERSION: &str = "4.3.1";

/// What a connector author imports.
pub mod prelude {
    pub use crate::{
        config::{Properties, Secret},
        data::{Schema, Text, Value},
        error::{Error, ErrorKind, Result},
        record::Record,
        registry::Registry,
        sink::{Delivered, SinkBatch, SinkConnector, SinkTask},
        source::{Assigned, Polled, SourceBatch, SourceConnector, SourceTask},
        transform::{Fate, Predicate, Transformation},
    };
    pub use async_trait::async_trait;
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
