//! The plugin API of Ferrovia: what a connector author sees, and what the runtime and the transports
//! agree on. Knows no database, no broker, no HTTP and no async runtime (invariant 4).

pub mod config;
pub mod converter;
pub mod data;
pub mod error;
pub mod plugin;
pub mod record;
pub mod sink;
pub mod source;
pub mod transport;

/// What a connector author imports.
pub mod prelude {
    pub use crate::{
        config::{Properties, Secret},
        data::{Schema, Text, Value},
        error::{Error, ErrorKind, Result},
        plugin::Registry,
        record::Record,
        sink::{Delivered, SinkBatch, SinkConnector, SinkTask},
        source::{Assigned, Polled, SourceBatch, SourceConnector, SourceTask},
    };
    pub use async_trait::async_trait;
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
