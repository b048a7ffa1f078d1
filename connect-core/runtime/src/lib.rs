//! Runs connectors: task loops, the herder that decides which tasks there are, the backing stores that remember
//! it in topics, and the one place where errors are handled.

pub mod config;
mod errors;
pub mod herder;
mod storage;
mod worker;
