//! PostgreSQL as a source: `JdbcSourceConnector` on `jdbc:postgresql:` URLs.
//!
//! Rows are read by `COPY (SELECT ...) TO STDOUT (FORMAT binary)`: streamed, so that memory stays bounded whatever
//! the table's size, and in a form whose texts are slices of the network buffer.

mod catalog;
mod connection;
mod decode;
mod query;
mod reader;
mod source;

pub use source::PostgresSource;
