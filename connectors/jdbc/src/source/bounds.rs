//! Which rows, in which order: `WHERE` and `ORDER BY`.

use connect_core::error::{Error, Result};

use super::{
    Mark, Offset, SourceConfig,
    criteria::Criteria,
    database::{Column, Order, SourceDatabase},
    keys::Mode,
};
use crate::{
    datetime::{self, Years},
    names::Quoting,
    zone::Zone,
};

/// How far a query may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Timestamps before this, in microseconds since the epoch.
    pub until: Option<i64>,
    /// Values of the incrementing column up to this, as it stands in a statement.
    pub highest: Option<String>,
}

/// The parts of a query's clauses.
pub struct Clauses<'a, T> {
    /// The configuration.
    pub config: &'a SourceConfig,
    /// How new rows are found.
    pub mode: Mode,
    /// Zone of timestamps that have none.
    pub zone: &'a Zone,
    /// The columns.
    pub columns: &'a [Column<T>],
    /// Those of them that tell what is new.
    pub criteria: &'a Criteria,
}

impl<T> Clauses<'_, T> {
    fn quoting<D: SourceDatabase>(&self) -> Quoting {
        self.config.quoting(D::QUOTE)
    }

    fn column<D: SourceDatabase>(&self, at: usize) -> String {
        format!("q.{}", self.quoting::<D>().identifier(&self.columns[at].name))
    }

    /// The first timestamp that is not null: the column itself where there is one, so that an index on it serves.
    fn timestamp<D: SourceDatabase>(&self) -> String {
        let columns: Vec<String> =
            self.criteria.timestamps.iter().map(|at| self.column::<D>(*at)).collect();
        match columns.as_slice() {
            [column] => column.clone(),
            columns => format!("COALESCE({})", columns.join(", ")),
        }
    }

    /// An instant in the form of the timestamp columns.
    fn instant<D: SourceDatabase>(&self, micros: i64) -> Result<String> {
        let first = self.criteria.timestamps.first().map(|at| self.columns[*at].order);
        let instant = first == Some(Order::Instant);
        let clock = if instant { micros } else { self.zone.local(micros) };
        let mut text = String::with_capacity(26);
        // What no calendar has is before or after everything.
        let clock = clock.clamp(datetime::FIRST_MICROS, datetime::LAST_MICROS);
        datetime::datetime(clock, Years::Four, "", &mut text)
            .ok_or_else(|| Error::internal("a clamped timestamp that has no text"))?;
        Ok(D::timestamp(&text, instant))
    }

    /// The incrementing column: as a number, where a text holds numbers.
    fn incrementing<D: SourceDatabase>(&self, at: usize) -> String {
        let column = self.column::<D>(at);
        if self.criteria.numeric_text { D::number(&column) } else { column }
    }

    /// The clauses for the rows after `after`, within the limits.
    pub fn write<D: SourceDatabase>(&self, after: &Offset, limits: &Limits) -> Result<String> {
        let suffix = match self.config.query_suffix.trim() {
            "" => String::new(),
            suffix => format!(" {suffix}"),
        };
        let number = self.criteria.incrementing.map(|at| (self.incrementing::<D>(at), at));
        let mark = |mark: &Mark| match mark {
            Mark::Number(n) => n.to_string(),
            Mark::Text(text) => D::text(text),
        };
        let first = || match self.criteria.incrementing.map(|at| self.columns[at].order) {
            // Whatever has another order than numbers' starts with its lowest.
            Some(Order::Integer | Order::Number) => Some(self.config.initial_incrementing()),
            Some(_) if self.criteria.numeric_text => Some(self.config.initial_incrementing()),
            _ => None,
        };
        let id = after.incrementing.as_ref().map(&mark).or_else(|| first().map(|n| n.to_string()));
        let mut conditions = Vec::new();
        let order = match (self.mode, number) {
            (Mode::Bulk, _) => return Ok(suffix),
            (Mode::Incrementing, Some((number, at))) => {
                let bad = self.bad::<D>(&number, at);
                match id {
                    Some(id) => conditions.push(format!("({number} > {id}{bad})")),
                    None => conditions.push(format!("{number} IS NOT NULL")),
                }
                if let Some(highest) = &limits.highest {
                    conditions.push(format!("({number} <= {highest}{bad})"));
                }
                format!("{}{number} ASC", self.bad_first(&number))
            }
            (Mode::TimestampIncrementing, Some((number, at))) => {
                let (timestamp, bad) = (self.timestamp::<D>(), self.bad::<D>(&number, at));
                let since = self.instant::<D>(after.micros().unwrap_or(0))?;
                let same = match id {
                    Some(id) => format!("({timestamp} = {since} AND {number} > {id}) OR "),
                    None => String::new(),
                };
                conditions.push(format!("(({same}{timestamp} > {since}){bad})"));
                self.until::<D>(&timestamp, limits, &mut conditions)?;
                format!("{}{timestamp} ASC, {number} ASC", self.bad_first(&number))
            }
            (Mode::Timestamp, _) => {
                let timestamp = self.timestamp::<D>();
                let since = self.instant::<D>(after.micros().unwrap_or(0))?;
                conditions.push(format!("{timestamp} > {since}"));
                self.until::<D>(&timestamp, limits, &mut conditions)?;
                format!("{timestamp} ASC")
            }
            (mode, None) => {
                return Err(Error::internal(format!("{mode:?} without an incrementing column")));
            }
        };
        Ok(format!(" WHERE {} ORDER BY {order}{suffix}", conditions.join(" AND ")))
    }

    fn until<D: SourceDatabase>(
        &self,
        timestamp: &str,
        limits: &Limits,
        conditions: &mut Vec<String>,
    ) -> Result<()> {
        if let Some(until) = limits.until {
            conditions.push(format!("{timestamp} < {}", self.instant::<D>(until)?));
        }
        Ok(())
    }

    /// A text among numbers that is none comes first and fails the task: passed over in silence it would be lost.
    fn bad<D: SourceDatabase>(&self, number: &str, at: usize) -> String {
        if self.criteria.numeric_text {
            format!(" OR ({} IS NOT NULL AND {number} IS NULL)", self.column::<D>(at))
        } else {
            String::new()
        }
    }

    fn bad_first(&self, number: &str) -> String {
        if self.criteria.numeric_text {
            format!("{number} IS NOT NULL ASC, ")
        } else {
            String::new()
        }
    }
}
