//! How failures of the store become errors of the transport.

use std::path::Path;

use connect_core::error::{Error, ErrorKind, Result};
use rusqlite::ErrorCode;

/// A failed file operation.
pub(crate) fn io(what: &'static str, path: &Path, error: std::io::Error) -> Error {
    Error::refused(what).context("path", path.display()).with_source(error)
}

/// A failed statement: retriable (a full disk may get room), unless the file itself is damaged.
pub(crate) fn store(what: &'static str, error: rusqlite::Error) -> Error {
    let damaged = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    );
    let kind = if damaged { ErrorKind::Refused } else { ErrorKind::Connection };
    Error::new(kind, what).with_source(error)
}

/// A stored batch that cannot be read.
pub(crate) fn damaged(why: &'static str) -> Error {
    Error::refused("a stored batch is damaged").context("why", why)
}

/// Something that only a dead writer thread can cause.
pub(crate) fn writer_gone() -> Error {
    Error::internal("the log's writer thread has ended")
}

/// Refuses names that Kafka refuses.
pub(crate) fn check_topic_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 249 || matches!(name, "." | "..") || !name.chars().all(legal)
    {
        return Err(Error::config(format!(
            "Topic name \"{name}\" is illegal: it must be 1 to 249 ASCII letters, digits, '.', '_' and '-', not '.' or '..'"
        )));
    }
    Ok(())
}
