//! A worker and its REST API, over HTTP: on the embedded log, where Kafka is not what matters.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod golden;
mod lifecycle;
mod open_transaction;
mod records;
mod reference;
mod secrets;
mod security;
