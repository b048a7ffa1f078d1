//! The REST API of a worker on the embedded log, over HTTP.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod client;
mod golden;
mod lifecycle;
mod records;
mod reference;
mod secrets;
mod security;
