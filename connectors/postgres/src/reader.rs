//! Reads the rows of one query as batches, with the offset that holds after each.

use std::pin::Pin;

use connect_core::{
    data::Text,
    error::{Error, Result},
    record::Record,
};
use connectors_jdbc::source::{Mode, Offset};
use futures_util::StreamExt;
use tokio_postgres::CopyOutStream;

use crate::{
    connection::error,
    decode::{Decoder, Row},
    query::{Criteria, Origin},
};

/// A query whose rows are being read. What was read stays here until it is handed out, so that a read that is
/// dropped halfway loses nothing.
pub(crate) struct Reading {
    pub(crate) stream: Pin<Box<CopyOutStream>>,
    pub(crate) decoder: Decoder,
    pub(crate) origin: Origin,
    pub(crate) criteria: Criteria,
    pub(crate) column: Text,
    pub(crate) mode: Mode,
    pub(crate) max_rows: usize,
    /// Offset after the last row that was handed out.
    pub(crate) offset: Offset,
    pub(crate) rows: Vec<Row>,
    pub(crate) first: bool,
    pub(crate) ended: bool,
}

/// Rows with the offset after them.
pub(crate) struct Rows {
    pub(crate) records: Vec<Record>,
    pub(crate) offset: Offset,
}

impl Reading {
    /// The next rows; none at the end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Rows>> {
        // One more than a batch: in timestamp mode the last row's offset depends on the row after it.
        while !self.ended && self.rows.len() <= self.max_rows {
            match self.stream.next().await {
                None => self.ended = true,
                Some(data) => {
                    let data = data.map_err(|e| error("reading rows", e))?;
                    let timestamp = !self.criteria.timestamps.is_empty();
                    let incrementing = self.criteria.incrementing.is_some();
                    let row = self.decoder.row(data, self.first, timestamp, incrementing);
                    self.first = false;
                    self.rows.extend(row.map_err(|e| e.context("table", self.origin.describe()))?);
                }
            }
        }
        if self.rows.is_empty() {
            return Ok(None);
        }
        let count = self.rows.len().min(self.max_rows);
        let offset = self.offset_after(count)?;
        let schema = self.decoder.schema();
        let records = self.rows.drain(..count);
        let records =
            records.map(|row| Record::new(std::sync::Arc::clone(schema), row.value)).collect();
        self.offset = offset;
        Ok(Some(Rows { records, offset }))
    }

    /// The offset that holds once the first `count` rows are durable.
    fn offset_after(&self, count: usize) -> Result<Offset> {
        let last = &self.rows[count - 1];
        match self.mode {
            Mode::Bulk => Ok(self.offset),
            Mode::Incrementing => {
                for row in &self.rows[..count] {
                    self.number(row)?;
                }
                Ok(Offset { incrementing: Some(self.number(last)?), ..Offset::default() })
            }
            Mode::TimestampIncrementing => {
                for row in &self.rows[..count] {
                    self.number(row)?;
                }
                let incrementing = Some(self.number(last)?);
                Ok(Offset { incrementing, ..Offset::default() }.at(self.time(last)?))
            }
            // A timestamp counts as read when the row after it has another: rows that share one are not torn apart.
            Mode::Timestamp => {
                let next = self.rows.get(count).map(|row| self.time(row)).transpose()?;
                let complete = if next.is_none() && self.ended { None } else { next };
                let mut times = self.rows[..count].iter().rev().map(|row| self.time(row));
                let found = match complete {
                    None => times.next(),
                    Some(next) => times.find(|time| time.as_ref().map_or(true, |t| *t != next)),
                };
                match found {
                    Some(time) => Ok(Offset::default().at(time?)),
                    None => Ok(self.offset),
                }
            }
        }
    }

    fn number(&self, row: &Row) -> Result<i64> {
        row.incrementing.ok_or_else(|| match &row.incrementing_text {
            None => Error::data("Null value for incrementing column")
                .context("table", self.origin.describe())
                .context("column", &self.column),
            Some(text) => Error::refused(format!(
                "the incrementing column must hold 64-bit integers, but in table {} the row with {}='{text}' does not; \
                 correct or remove that row, or use mode=timestamp, and restart the task",
                self.origin.describe(),
                self.column
            )),
        })
    }

    fn time(&self, row: &Row) -> Result<i64> {
        let null = || {
            Error::data("Null value for timestamp column").context("table", self.origin.describe())
        };
        row.timestamp.ok_or_else(null)
    }
}
