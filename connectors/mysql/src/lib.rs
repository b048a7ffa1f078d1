//! MySQL and MariaDB as a sink: `JdbcSinkConnector` on `jdbc:mysql:` and `jdbc:mariadb:` URLs.
//!
//! A batch becomes statements of many rows, written as text into one buffer; the table's own columns decide how a
//! value is written, so that records with and without schema go the same way.

mod connection;
mod datetime;
mod ddl;
mod literal;
mod plan;
mod sink;
mod table;

pub use sink::MySqlSink;
