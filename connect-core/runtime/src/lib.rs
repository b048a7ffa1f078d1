//! Runs connectors: task loops, the herder that decides which tasks there are, the backing stores that remember
//! it in topics, and the one place where errors are handled.

mod clients;
pub mod config;
pub mod doctor;
mod errors;
pub mod herder;
pub mod loggers;
pub mod plugins;
mod providers;
mod storage;
mod topic_creation;
mod validate;
mod versions;
mod worker;
