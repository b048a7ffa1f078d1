//! MySQL and MariaDB as a source and as a sink: the JDBC connectors on `jdbc:mysql:` and `jdbc:mariadb:` URLs.

#[cfg(feature = "bench")]
pub mod bench;
mod connection;
mod decode;
mod errors;
mod kind;
mod literal;
mod running;
mod sink;
mod source;
mod target;
mod ties;
mod tls;
#[cfg(test)]
mod tls_tests;

use connectors_jdbc::{sink::JdbcSink, source::JdbcSource};

/// `JdbcSourceConnector` on MySQL and MariaDB.
pub type MySqlSource = JdbcSource<source::MySqlReader>;
/// `JdbcSinkConnector` on MySQL and MariaDB.
pub type MySqlSink = JdbcSink<sink::MySqlWriter>;
