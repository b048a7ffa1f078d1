//! PostgreSQL as a source and as a sink: the JDBC connectors on `jdbc:postgresql:` URLs.
//!
//! Rows are read by `COPY (SELECT ...) TO STDOUT (FORMAT binary)`: streamed, so that memory stays bounded whatever
//! the table's size, and in a form whose texts are slices of the network buffer. They are written by statements whose
//! parameters are whole columns.

#[cfg(feature = "bench")]
pub mod bench;
mod catalog;
mod connection;
mod decode;
mod errors;
mod kind;
mod params;
mod running;
mod session;
mod sink;
mod source;
mod target;
mod ties;
mod tls;
#[cfg(test)]
mod tls_tests;
mod trigger;

use connectors_jdbc::{sink::JdbcSink, source::JdbcSource};

/// `JdbcSourceConnector` on PostgreSQL.
pub type PostgresSource = JdbcSource<source::PostgresReader>;
/// `JdbcSinkConnector` on PostgreSQL.
pub type PostgresSink = JdbcSink<sink::PostgresWriter>;
