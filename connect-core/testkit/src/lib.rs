//! The conformance suites that every connector and every transport runs, and a transport that fails on purpose.
//!
//! A connector brings a harness: how to configure it, and how to write to, or read from, the real system behind its
//! back. A check that fails panics with what was promised and what was found.

mod config;
mod faulty;
mod json;
mod sink;
mod source;
mod transport;
mod wait;

pub use config::config_suite;
pub use faulty::Faulty;
pub use json::{Message, json_batch, values};
pub use sink::{SinkHarness, sink_suite};
pub use source::{SourceHarness, source_suite};
pub use transport::transport_suite;
pub use wait::until;
