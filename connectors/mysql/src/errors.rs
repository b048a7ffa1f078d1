//! What the errors of MySQL and MariaDB mean for the runtime.

use connect_core::error::{Error, ErrorKind};
use connectors_jdbc::connection::cause;
use mysql_async::{DriverError, ServerError};

use crate::tls;

/// An error of the server or the driver, with its kind.
pub(crate) fn error(doing: &'static str, error: mysql_async::Error) -> Error {
    let mysql_async::Error::Server(server) = &error else {
        return driver(&error).context("doing", doing).with_source(error);
    };
    let message = format!("MySQL refused: {}", server.message);
    let (kind, code) = (kind(server), server.code);
    Error::new(kind, message).context("doing", doing).context("code", code).with_source(error)
}

/// The error of a statement that writes rows. Data may be mended where it is, so that trying again is worth it. What
/// refuses the statement may still be about a row: the runtime finds out by putting fewer.
pub(crate) fn written(doing: &'static str, adds: bool, e: mysql_async::Error) -> Error {
    let code = match &e {
        mysql_async::Error::Server(server) => server.code,
        _ => 0,
    };
    let error = error(doing, e);
    match (error.kind(), code) {
        // A row that is added a second time stays refused; an update may be for a value that another row still holds.
        (ErrorKind::Conflict, 1022 | 1062 | 1169 | 1586) if adds => {
            error.with_kind(ErrorKind::Data).retriable(true)
        }
        (ErrorKind::Data, _) => error.retriable(true),
        (ErrorKind::Refused, _) => error.with_kind(ErrorKind::Rejected),
        _ => error,
    }
}

/// An error that is not the server's.
fn driver(error: &mysql_async::Error) -> Error {
    use mysql_async::Error::Driver;
    if let Some(cause) = cause::<rustls::Error>(error) {
        return Error::refused(format!("No TLS connection to MySQL: {cause}"));
    }
    match error {
        Driver(DriverError::NoClientSslFlagFromServer) => tls::no_tls(),
        // How one logs in does not change by trying again.
        Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => Error::refused(format!("Cannot log in to MySQL: {error}")),
        Driver(DriverError::PacketTooLarge) => {
            Error::data("A statement is larger than the connection takes")
        }
        _ => Error::connection("cannot reach MySQL"),
    }
}

fn kind(ServerError { code, state, .. }: &ServerError) -> ErrorKind {
    match (code, state.get(..2).unwrap_or_default()) {
        // Shutting down, killed, no more connections, a network error, a cluster's node that is not ready, read-only after
        // a fail-over: a new connection may lead elsewhere.
        (
            1040
            | 1041
            | 1047
            | 1053
            | 1077..=1080
            | 1094
            | 1152
            | 1158..=1161
            | 1184
            | 1203
            | 1226,
            _,
        )
        | (1290 | 1792 | 1836 | 1927 | 3032 | 3168, _) => ErrorKind::Connection,
        // The table or one of its columns is gone: it is looked up anew.
        (1054 | 1136 | 1146, _) => ErrorKind::Connection,
        // Disk, files, memory, tables that are full, storage engines; rows that changed meanwhile; locks, deadlocks,
        // statements that were interrupted or took too long; a commit that a group refuses.
        (
            1..=50 | 1015 | 1016 | 1020 | 1021 | 1023..=1028 | 1030 | 1037 | 1038 | 1114 | 1135,
            _,
        )
        | (
            1180 | 1181 | 1196 | 1205 | 1206 | 1213 | 1296 | 1297 | 1317 | 1412 | 1478 | 1613
            | 1614 | 1689,
            _,
        )
        | (1969 | 3024 | 3058 | 3100 | 3101 | 3572, _) => ErrorKind::Busy,
        // Foreign keys, and values of a unique index that another row has.
        (1022 | 1062 | 1169 | 1216 | 1217 | 1451 | 1452 | 1557 | 1586 | 1761 | 1762, _) => {
            ErrorKind::Conflict
        }
        // Values and types whose errors have the state of syntax and access.
        (
            1118 | 1138 | 1153 | 1263 | 1300 | 1364 | 1366 | 1367 | 1411 | 1525 | 3140 | 3141
            | 3819 | 4025 | 4078,
            _,
        ) => ErrorKind::Data,
        // Views, triggers and tables that take no such statement, whatever the row; definers that are missing, features that
        // are off, tables that are damaged.
        (
            1031 | 1034 | 1035 | 1036 | 1148 | 1194 | 1195 | 1235 | 1288 | 1295 | 1347 | 1348
            | 1356,
            _,
        )
        | (1394 | 1418 | 1419 | 1436 | 1442 | 1449 | 1471, _) => ErrorKind::Refused,
        (_, "08") => ErrorKind::Connection,
        (_, "40" | "53" | "57") => ErrorKind::Busy,
        // Features, authorization, names of databases, syntax and access.
        (_, "0A" | "28" | "3D" | "42") => ErrorKind::Refused,
        // Values, constraints, CHECK OPTION, and whatever a trigger of the user signals.
        _ => ErrorKind::Data,
    }
}
