//! Connections, and what MySQL's errors mean.

use connect_core::error::{Error, Result};
use connectors_jdbc::sink::SinkConfig;
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};

const DEFAULT_PORT: u16 = 3306;
/// Statements stay below this, whatever the server would take: larger ones cost memory and win nothing.
const MAX_STATEMENT: usize = 4 << 20;

/// A connection with what its statements must keep to.
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    /// Most bytes of one statement.
    pub(crate) max_statement: usize,
    /// Database that the connection is in.
    pub(crate) database: String,
}

/// Connects to the first of the URL's hosts that answers.
pub(crate) async fn connect(config: &SinkConfig) -> Result<Connection> {
    let mut last = None;
    for (host, port) in config.url.addresses(DEFAULT_PORT, &config.resolve) {
        match open(config, host, port).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::config("connection.url names no host")))
}

async fn open(config: &SinkConfig, host: String, port: u16) -> Result<Connection> {
    let url = &config.url;
    let options = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(config.user.as_ref().or(url.user.as_ref()).cloned())
        .pass(config.password.as_ref().or(url.password.as_ref()).map(|p| p.expose().to_owned()))
        .db_name(Some(url.database.clone()).filter(|name| !name.is_empty()))
        // A socket file of the same host would lead to another server than the URL says.
        .prefer_socket(false)
        .tcp_nodelay(true);
    let mut conn = Conn::new(options).await.map_err(|e| error("connecting", e))?;
    // Strict, as Connector/J makes it: a value that doesn't fit is an error, never cut. Backslashes escape, whatever
    // the server's default: literals are written for that.
    conn.query_drop(
        "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = CONCAT_WS(',', \
         REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', ''), 'STRICT_ALL_TABLES')",
    )
    .await
    .map_err(|e| error("setting up the session", e))?;
    let row: Option<(u64, Option<String>)> = conn
        .query_first("SELECT @@max_allowed_packet, DATABASE()")
        .await
        .map_err(|e| error("setting up the session", e))?;
    let (packet, database) = row.unwrap_or((1 << 20, None));
    // A packet has a header, and the server counts it.
    let max_statement = (packet as usize).saturating_sub(1024).min(MAX_STATEMENT);
    Ok(Connection { conn, max_statement, database: database.unwrap_or_default() })
}

/// What the error means: one of the connection or the moment, one of the data, or a refusal.
pub(crate) fn error(doing: &'static str, error: mysql_async::Error) -> Error {
    let mysql_async::Error::Server(server) = &error else {
        return Error::connection("cannot reach MySQL").context("doing", doing).with_source(error);
    };
    let (code, message) = (server.code, format!("MySQL refused: {}", server.message));
    let refused = match code {
        // Shutting down, killed, out of connections or memory, read-only after a fail-over, locks.
        1037..=1041
        | 1053
        | 1077..=1080
        | 1094
        | 1152
        | 1158..=1161
        | 1180
        | 1203
        | 1205
        | 1206
        | 1213
        | 1226
        | 1290
        | 1317
        | 1412
        | 1614
        | 1792
        | 1836
        | 1927
        | 1969
        | 3024
        | 3032 => Error::connection(message),
        // The table or one of its columns is gone: it is looked up anew.
        1054 | 1136 | 1146 => Error::connection(message),
        // Nulls, duplicates, ranges, formats, lengths, constraints.
        1048
        | 1062
        | 1138
        | 1153
        | 1169
        | 1216
        | 1217
        | 1263..=1265
        | 1292
        | 1300
        | 1364
        | 1366
        | 1367
        | 1406
        | 1411
        | 1416
        | 1451
        | 1452
        | 1525
        | 1557
        | 1586
        | 1690
        | 3140
        | 3141
        | 3819
        | 3903
        | 4025
        | 4078 => Error::data(message),
        _ => Error::refused(message),
    };
    refused.context("doing", doing).context("code", code).with_source(error)
}
