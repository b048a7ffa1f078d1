//! The rows of one query as batches, with the offset that holds after each.

use std::sync::Arc;

use connect_core::{
    error::{Error, Result},
    record::Record,
};

use super::{
    Mark, Offset,
    database::{Origin, Row, Rows},
    gaps::Gaps,
    keys::Mode,
};
use crate::zone::Zone;

/// Most bytes of a batch: rows of any size, and still bounded memory.
const BATCH_BYTES: usize = 1 << 20;

/// How far a table was read.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// As it is stored.
    pub(super) offset: Offset,
    /// Where the timestamp is in the columns' clock, which the offset alone does not always tell; none in other modes.
    pub(super) position: Option<i64>,
    /// The zone of the columns' clock; none of columns that hold instants.
    pub(super) zone: Option<Zone>,
    /// Ids that were passed over.
    pub(super) gaps: Gaps,
    /// What the incrementing column starts after.
    pub(super) first: i64,
}

impl Place {
    /// After this time of the columns' clock.
    fn at(&self, offset: Offset, clock: i64) -> Self {
        // Rows that are late are behind the place, which stays.
        if self.position.is_some_and(|position| clock < position) {
            return self.clone();
        }
        let instant = self.zone.as_ref().map_or(clock, |zone| zone.instant(clock));
        Self { offset: offset.at(instant), position: Some(clock), ..self.clone() }
    }

    /// After these ids, which grow, and of which the last is `mark`.
    fn after<'r>(&self, mark: Mark, rows: impl Iterator<Item = &'r Row>) -> Self {
        let mut gaps = self.gaps.clone();
        let Mark::Number(_) = mark else {
            return Self { offset: Offset::after(mark), ..self.clone() };
        };
        let mut highest = match self.offset.incrementing {
            Some(Mark::Number(n)) => n,
            _ => self.first,
        };
        for id in rows.filter_map(Row::number) {
            if id > highest {
                gaps.add(highest, id);
                highest = id;
            } else {
                gaps.fill(id);
            }
        }
        let mut offset = Offset::after(Mark::Number(highest));
        offset.gaps = gaps.text().map(Into::into);
        Self { offset, gaps, ..self.clone() }
    }
}

/// A query whose rows are being read. What was read stays here until it is handed out, so that a read that is
/// dropped halfway loses nothing.
pub(super) struct Reading<R> {
    pub(super) stream: R,
    pub(super) origin: Origin,
    /// Name of the incrementing column.
    pub(super) column: String,
    /// Whether its texts must be integers.
    pub(super) numeric_text: bool,
    pub(super) mode: Mode,
    pub(super) max_rows: usize,
    /// How far it was read, with the last row that was handed out.
    pub(super) place: Place,
    /// Whether the transaction that the rows were read in has ended.
    pub(super) closed: bool,
    rows: Vec<Row>,
    ended: bool,
}

/// Records with the place after them.
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) place: Place,
    /// Whether a timestamp among them has a fraction of a second.
    pub(super) fine: bool,
    /// Why the only record could not be read as it is.
    pub(super) unreadable: Option<Error>,
}

impl<R: Rows> Reading<R> {
    pub(super) fn new(
        stream: R,
        (origin, column, numeric_text): (Origin, String, bool),
        (mode, max_rows): (Mode, usize),
        place: Place,
    ) -> Self {
        let (closed, rows, ended) = (false, Vec::new(), false);
        Self { stream, origin, column, numeric_text, mode, max_rows, place, closed, rows, ended }
    }

    /// Reads what the next batch needs. Cancel safe.
    pub(super) async fn fill(&mut self) -> Result<()> {
        // A row and the one after it, whatever their size: in timestamp mode the last row's offset depends on the next.
        if !self.ended && self.rows.len() < 2 {
            self.ended = !self.stream.fill(&mut self.rows, 2, usize::MAX).await?;
        }
        if !self.ended && self.rows.len() <= self.max_rows {
            self.ended = !self.stream.fill(&mut self.rows, self.max_rows + 1, BATCH_BYTES).await?;
        }
        Ok(())
    }

    /// Whether every row was read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The next batch of what was read; none at the end.
    pub(super) fn take(&mut self) -> Result<Option<Batch>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let kept = usize::from(!self.ended);
        let mut count = (self.rows.len() - kept).min(self.max_rows);
        // One that could not be read stands alone.
        if let Some(bad) = self.rows[..count].iter().position(|row| row.error.is_some()) {
            count = bad.max(1);
        }
        let unreadable = self.rows[0].error.take();
        let named = |error: Error| {
            let error = error.context("table", self.origin.describe());
            match &self.rows[0].mark {
                Some(mark) if !self.column.is_empty() => {
                    error.context("row", format!("{}={mark}", self.column))
                }
                _ => error,
            }
        };
        let unreadable = unreadable.map(named);
        let place = self.place_after(count)?;
        let fraction = |row: &Row| row.timestamp.is_some_and(|time| time % 1_000_000 != 0);
        let fine = self.rows[..count].iter().any(fraction);
        let schema = self.stream.schema();
        let record = |row: Row| {
            let schema = row.schema.unwrap_or_else(|| Arc::clone(schema));
            Record::new(schema, row.value)
        };
        let records = self.rows.drain(..count).map(record).collect();
        self.place = place.clone();
        Ok(Some(Batch { records, place, fine, unreadable }))
    }

    /// The place once the first `count` rows are durable.
    fn place_after(&self, count: usize) -> Result<Place> {
        let (last, place) = (&self.rows[count - 1], &self.place);
        match self.mode {
            Mode::Bulk => Ok(place.clone()),
            Mode::Incrementing => Ok(place.after(self.mark(count)?, self.rows[..count].iter())),
            Mode::TimestampIncrementing => {
                Ok(place.at(Offset::after(self.mark(count)?), self.time(last)?))
            }
            // As `TimestampTableQuerier`: a timestamp counts as read when the row after it has another, so that rows
            // which share one are not torn apart.
            Mode::Timestamp => {
                let next = self.rows.get(count).map(|row| self.time(row)).transpose()?;
                let mut times = self.rows[..count].iter().rev().map(|row| self.time(row));
                let found = match next {
                    None => times.next(),
                    Some(next) => times.find(|time| time.as_ref().map_or(true, |t| *t != next)),
                };
                match found {
                    Some(time) => Ok(place.at(Offset::default(), time?)),
                    None => Ok(place.clone()),
                }
            }
        }
    }

    /// The last of the first `count` rows' values of the incrementing column; all of them must be good.
    fn mark(&self, count: usize) -> Result<Mark> {
        let mut last = None;
        for row in &self.rows[..count] {
            last = Some(match &row.mark {
                None => {
                    return Err(Error::data("Null value for incrementing column")
                        .context("table", self.origin.describe())
                        .context("column", &self.column));
                }
                Some(Mark::Text(text)) if self.numeric_text => {
                    Mark::Number(text.trim().parse().map_err(|_| self.not_numeric(text))?)
                }
                Some(mark) => mark.clone(),
            });
        }
        last.ok_or_else(|| Error::internal("a batch without rows"))
    }

    fn not_numeric(&self, text: &str) -> Error {
        Error::refused(format!(
            "the incrementing column holds 64-bit integers, but in table {} the row with {}='{text}' does not; correct \
             or remove that row, or use mode=timestamp, or incrementing.text.order=text if the ids grow as texts, and \
             restart the task",
            self.origin.describe(),
            self.column
        ))
    }

    fn time(&self, row: &Row) -> Result<i64> {
        let null = || {
            Error::data("Null value for timestamp column").context("table", self.origin.describe())
        };
        row.timestamp.ok_or_else(null)
    }
}
