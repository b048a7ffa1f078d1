//! What the workspace's benches measure of this crate: statements as they are sent.

use connect_core::error::Result;
use connectors_jdbc::sink::database::Write;

pub use crate::sink::MySqlWriter;
use crate::sink::{Around, tuple};

/// Appends the statement that writes these rows.
///
/// # Errors
/// As the sink's own.
pub fn statement(write: &Write<'_>, sql: &mut Vec<u8>) -> Result<()> {
    let Around { head, columns, tail } = Around::of(write);
    sql.extend_from_slice(head.as_bytes());
    for (i, record) in write.records.iter().enumerate() {
        if i > 0 {
            sql.push(b',');
        }
        tuple(write, record, &columns, sql)?;
    }
    sql.extend_from_slice(tail.as_bytes());
    Ok(())
}
