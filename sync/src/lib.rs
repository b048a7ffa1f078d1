//! The sync service: messages of a topic become rows of a PostgreSQL table.
//!
//! Each message is upserted by its id; its offset is committed only when the row is durable, or the message is in the
//! dead letter queue because no attempt could ever write it.

mod config;
mod health;
mod message;
mod service;
mod store;

pub use config::{Config, PostgresConfig};
pub use service::run;
