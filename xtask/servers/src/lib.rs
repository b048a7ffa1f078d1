//! Real servers in private directories on 127.0.0.1, for integration tests, the demo and benchmarks.
//!
//! Every kind of server has the same life: [`Server::start`] in a directory that the caller gives, [`Server::kill9`],
//! [`Server::restart`] on the same port and data, [`Server::stop`]. Dropping one kills it, and the kernel kills it when
//! this process dies in any other way, so that nothing is left running. A server that is already on the machine is never touched.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use xtask_servers::{Postgres, PostgresOptions};
//! let dir = std::env::temp_dir().join("my-test");
//! let mut postgres = Postgres::start(&dir, PostgresOptions::default())?;
//! postgres.query("CREATE TABLE t (id int)")?;
//! postgres.kill9()?;
//! postgres.restart()?;
//! # Ok(()) }
//! ```
//!
//! All calls block; asynchronous tests call them through `spawn_blocking`.

pub mod apt;
pub mod cache;
mod cassandra;
mod connect_jvm;
mod cql;
mod kafka;
mod mariadb;
mod mysql;
pub mod port;
mod postgres;
mod process;
mod server;
mod sql;
mod wait;

pub use cassandra::{Cassandra, CassandraOptions};
pub use connect_jvm::{ConnectJvm, ConnectJvmOptions, compile_connect_plugin, connect_plugins};
pub use kafka::{Kafka, KafkaCluster, KafkaOptions, KafkaSecurity};
pub use mariadb::{MariaDb, MariaDbFlavour, MariaDbOptions};
pub use mysql::{MySql, MySqlFlavour, MySqlOptions};
pub use postgres::{Postgres, PostgresOptions};
pub use process::{Process, is_root, output_of};
pub use rustix::process::Signal;
pub use server::{Kind, Place, Server};
pub use sql::SqlOptions;
pub use wait::wait_until;
