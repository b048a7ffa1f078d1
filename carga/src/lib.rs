//! carga: takes records over HTTP, stores them, and then announces them in the log, keyed by id. A client is told that
//! a record was taken only when both are durable; whatever else it is told, it may send the record again.
//!
//! `carga` (the binary) runs it on Cassandra and Kafka; [`Carga`] runs on any [`Store`] and any transport, so that a
//! whole system fits into one process:
//!
//! ```no_run
//! # async fn example(log: std::sync::Arc<dyn connect_core::transport::Transport>) -> connect_core::error::Result<()> {
//! use std::sync::Arc;
//! let store = Arc::new(carga::EmbeddedStore::open("data/carga.db")?);
//! let options = carga::Options { listen: "127.0.0.1:0".into(), ..carga::Options::default() };
//! let carga = carga::Carga::bind(options, store, log).await?;
//! println!("http://{}", carga.address());
//! carga.run(std::future::pending()).await
//! # }
//! ```
//!
//! At level debug, the target `ferrovia::stop` tells of each record when it is stored and when it is in the log: fields
//! `stop` (`store` or `log`), `id`, `valor`.

mod cassandra;
mod config;
mod embedded;
mod http;
mod outbox;
mod record;
mod service;
mod store;

pub use cassandra::{CassandraOptions, CassandraStore};
pub use config::Config;
pub use embedded::EmbeddedStore;
pub use http::Carga;
pub use record::Record;
pub use service::Options;
pub use store::Store;
