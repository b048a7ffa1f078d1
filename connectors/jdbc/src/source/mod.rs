//! The source: what is read, in which order, and how far it got.

mod anew;
pub mod bounds;
pub mod checks;
mod clock;
pub mod config;
mod connector;
pub mod criteria;
pub mod database;
mod gaps;
pub mod keys;
pub mod offset;
mod reader;
mod settle;
pub mod statement;
pub mod tables;
pub mod task;
mod wake;

pub use config::SourceConfig;
pub use connector::JdbcSource;
pub use offset::{Mark, Offset, Partition};
pub use task::JdbcSourceTask;
