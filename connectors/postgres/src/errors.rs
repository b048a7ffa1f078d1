//! What PostgreSQL's errors mean for the runtime.

use std::error::Error as StdError;

use connect_core::error::{Error, ErrorKind};
use connectors_jdbc::connection::cause;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// How the driver calls every error of a handshake, also that the server has no TLS.
pub(crate) const HANDSHAKE: &str = "error performing TLS handshake";
/// Files of PostgreSQL whose errors are about a value, with the code of SQL's syntax, of internal errors, or of what is not
/// supported: NaN as money.
const SYNTAXES: &[&str] =
    &["tsvector_parser.c", "tsquery.c", "hstore_io.c", "ltree_io.c", "numeric.c"];
/// Functions of PostgreSQL whose errors are about a row, with a code that is otherwise about a statement: row level
/// security.
const ROW_CHECKS: &[&str] = &["ExecWithCheckOptions"];

/// An error of the server or the driver, with its kind.
pub(crate) fn error(doing: &'static str, e: tokio_postgres::Error) -> Error {
    of_kind(doing, e, |db| kind(db).unwrap_or(ErrorKind::Refused))
}

/// The error of a statement that writes rows. Data may be mended where it is, so that trying again is worth it. What
/// refuses the statement may still be about a row: the runtime finds out by putting fewer.
pub(crate) fn written(doing: &'static str, adds: bool, e: tokio_postgres::Error) -> Error {
    let error = of_kind(doing, e, |db| match kind(db) {
        // A row that is added a second time stays refused; an update may be for a value that another row still holds.
        Some(ErrorKind::Conflict) if adds && *db.code() == SqlState::UNIQUE_VIOLATION => {
            ErrorKind::Data
        }
        Some(ErrorKind::Refused) => ErrorKind::Rejected,
        Some(kind) => kind,
        // Whatever a function of the user raises.
        None => ErrorKind::Data,
    });
    match error.kind() {
        ErrorKind::Data => error.retriable(true),
        _ => error,
    }
}

fn of_kind(
    doing: &'static str,
    error: tokio_postgres::Error,
    kind: impl Fn(&DbError) -> ErrorKind,
) -> Error {
    let Some(db) = error.as_db_error() else {
        return driver(&error).context("doing", doing).with_source(error);
    };
    let detail = db.detail().map(|detail| format!("; {detail}")).unwrap_or_default();
    let message = format!("PostgreSQL refused: {}{detail}", db.message());
    let refused = Error::new(kind(db), message);
    refused.context("doing", doing).context("sqlstate", db.code().code()).with_source(error)
}

/// An error that is not the server's.
fn driver(error: &tokio_postgres::Error) -> Error {
    if let Some(cause) = cause::<rustls::Error>(error) {
        return Error::refused(format!("No TLS connection to PostgreSQL: {cause}"));
    }
    // The driver does not say of which kind its errors are, but each kind has its text.
    let (text, cause) = (error.to_string(), error.source());
    let is_io = cause.is_some_and(|cause| cause.is::<std::io::Error>());
    let because = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    if text.starts_with(HANDSHAKE) && !is_io {
        return Error::refused(format!(
            "No TLS connection to PostgreSQL{because}; the sslmode prefer or disable would do without"
        ));
    }
    if text.starts_with("authentication error") || text.starts_with("invalid configuration") {
        return Error::refused(format!("Cannot log in to PostgreSQL{because}"));
    }
    if text.starts_with("error serializing parameter") {
        return Error::data(format!("A value does not fit its column{because}"));
    }
    Error::connection("cannot reach PostgreSQL")
}

/// The kind of an error whose code says it.
fn kind(db: &DbError) -> Option<ErrorKind> {
    let code = db.code().code();
    Some(match (code.get(..2).unwrap_or_default(), code) {
        ("42" | "XX" | "0A", _) if db.file().is_some_and(|file| SYNTAXES.contains(&file)) => {
            ErrorKind::Data
        }
        ("42", _) if db.routine().is_some_and(|routine| ROW_CHECKS.contains(&routine)) => {
            ErrorKind::Data
        }
        // The connection is lost, or the server ends it.
        ("08", _) | (_, "57P01" | "57P02" | "57P03" | "57P04" | "57P05") => ErrorKind::Connection,
        // Read-only after a fail-over, and transactions that ended without us: a new connection is elsewhere, or anew.
        (_, "25006" | "25P02" | "25P03" | "25P04") => ErrorKind::Connection,
        // Deadlocks and serialization, resources, locks, cancelled statements, errors of the system.
        ("40" | "53" | "55" | "57" | "58", _) => ErrorKind::Busy,
        // A table or column that is gone may come back, or the next look at the tables takes it off the list.
        (_, "42P01" | "42703") => ErrorKind::Connection,
        // Of other programs behind the same pooler: a name that they gave, or took away.
        (_, "26000" | "42P05") => ErrorKind::Connection,
        // Values do not end a session, so this one is about a startup option.
        ("22" | "23", _) if db.parsed_severity() == Some(Severity::Fatal) => ErrorKind::Refused,
        // Foreign keys, unique indexes, exclusion constraints.
        (_, "23503" | "23505" | "23P01") => ErrorKind::Conflict,
        // A key twice in a statement, a type that does not fit, a row or index entry that is too large.
        (_, "21000" | "42804" | "54000") => ErrorKind::Data,
        // Features, authorization, cursors, external routines, names, syntax and access, configuration, foreign servers,
        // limits of a statement, internal errors.
        (
            "03" | "0A" | "0B" | "0L" | "0P" | "24" | "25" | "26" | "28" | "2D" | "2F" | "34"
            | "38" | "39" | "3B" | "3D" | "3F" | "42" | "54" | "F0" | "HV" | "XX",
            _,
        ) => ErrorKind::Refused,
        // Values, constraints, CHECK OPTION.
        ("22" | "23" | "44", _) => ErrorKind::Data,
        _ => return None,
    })
}
