//! What the workspace's benches measure of this crate: rows as the server sends them.

use std::sync::Arc;

use bytes::Bytes;
use connect_core::{data::Schema, error::Result};
use connectors_jdbc::source::{
    SourceConfig,
    criteria::Criteria,
    database::{Column, Order, Row},
};

use crate::{catalog::PgType, decode::Decoder};

/// Reads rows of `COPY`.
pub struct Rows(Decoder);

impl Rows {
    /// Rows of these columns (name, type, its modifier), of which the first is the incrementing one.
    ///
    /// # Errors
    /// For a configuration that cannot work.
    pub fn new(columns: &[(&str, u32, i32)], config: &SourceConfig) -> Result<Self> {
        let column = |(name, oid, modifier): &(&str, u32, i32)| Column {
            name: (*name).to_owned(),
            nullable: false,
            auto_increment: false,
            order: Order::Other,
            step: 1,
            ty: PgType { oid: *oid, modifier: *modifier, is_enum: false, element: None },
        };
        let columns: Vec<_> = columns.iter().map(column).collect();
        let criteria = Criteria { incrementing: Some(0), ..Criteria::default() };
        Decoder::new(Some("bench"), &columns, &criteria, config).map(Self)
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &Arc<Schema> {
        self.0.schema()
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(&mut self, row: Bytes) -> Result<Option<Row>> {
        self.0.row(row, false)
    }
}
