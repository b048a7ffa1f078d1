//! The sink: what becomes of a record, for which columns, in which statements.

mod batch;
pub mod cell;
pub mod checks;
pub mod config;
mod connector;
pub mod database;
mod ddl;
mod definitions;
mod json;
pub mod keys;
pub mod named;
mod naming;
mod numbers;
mod offsets;
pub mod plan;
pub mod table;
mod task;
mod times;
mod transact;
mod widen;

pub use config::SinkConfig;
pub use connector::JdbcSink;
pub use task::JdbcSinkTask;
