//! Which rows, in which order: `WHERE` and `ORDER BY`.

use connect_core::error::{Error, Result};

use super::{
    Mark, Offset, SourceConfig,
    criteria::Criteria,
    database::{Column, Order, Origin, SourceDatabase},
    keys::Mode,
    statement,
    task::Polling,
};
use crate::{
    datetime::{self, Years},
    zone::Zone,
};

/// How far a query may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Timestamps before this, in what the clock of the columns shows.
    pub until: Option<i64>,
    /// Timestamps behind the offset that are read all the same, in the same form.
    pub late: Vec<i64>,
    /// Values of the incrementing column up to this, as it stands in a statement.
    pub highest: Option<String>,
    /// Ranges of values behind the offset that are read all the same.
    pub gaps: Vec<(i64, i64)>,
}

/// The parts of a query's clauses.
pub struct Clauses<'a, T> {
    /// The configuration.
    pub config: &'a SourceConfig,
    /// What is read.
    pub origin: &'a Origin,
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
    fn column<D: SourceDatabase>(&self, at: usize) -> String {
        statement::column(self.origin, self.config, D::QUOTE, &self.columns[at].name)
    }

    /// The first timestamp that is not null: the column itself where there is one, so that an index on it serves.
    pub(super) fn timestamp<D: SourceDatabase>(&self) -> String {
        let columns: Vec<String> =
            self.criteria.timestamps.iter().map(|at| self.column::<D>(*at)).collect();
        match columns.as_slice() {
            [column] => column.clone(),
            columns => format!("COALESCE({})", columns.join(", ")),
        }
    }

    /// Whether the timestamp columns hold instants.
    pub(super) fn holds_instants(&self) -> bool {
        let first = self.criteria.timestamps.first().map(|at| self.columns[*at].order);
        first == Some(Order::Instant)
    }

    /// Where an offset is in the columns' clock. Where several times are the same instant, the earliest.
    pub(super) fn position(&self, offset: &Offset) -> i64 {
        let instant = offset.micros().unwrap_or(0);
        if self.holds_instants() { instant } else { self.zone.earliest(instant) }
    }

    /// Where to read on, as an offset and in the columns' clock, which shows `now`. The first time this is where the
    /// configuration says.
    pub(super) fn start(&self, polling: &mut Polling, now: i64) -> (Offset, i64) {
        if polling.offset == Offset::default()
            && let Some(initial) = self.config.initial_timestamp()
        {
            // Now is the time of the first poll, not of each.
            let clock = now.div_euclid(1000) * 1000;
            let instant = if self.holds_instants() { clock } else { self.zone.instant(clock) };
            let micros = if initial == -1 { instant } else { initial.saturating_mul(1000) };
            polling.offset = Offset::default().at(micros);
        }
        let position = polling.position.unwrap_or_else(|| self.position(&polling.offset));
        (polling.offset.clone(), position)
    }

    /// What the clock of the columns shows, as it stands in a statement.
    pub(super) fn clock<D: SourceDatabase>(&self, clock: i64) -> Result<String> {
        let mut text = String::with_capacity(26);
        // What no calendar has is before or after everything.
        let clock = clock.clamp(datetime::FIRST_MICROS, datetime::LAST_MICROS);
        datetime::datetime(clock, Years::Four, "", &mut text)
            .ok_or_else(|| Error::internal("a clamped timestamp that has no text"))?;
        Ok(D::timestamp(&text, self.holds_instants()))
    }

    /// The incrementing column: as a number, where a text holds numbers.
    fn incrementing<D: SourceDatabase>(&self, at: usize) -> String {
        let column = self.column::<D>(at);
        if self.criteria.numeric_text { D::number(&column) } else { column }
    }

    /// The incrementing column, where it holds numbers.
    pub(super) fn number<D: SourceDatabase>(&self) -> Option<String> {
        let at = self.criteria.incrementing?;
        let numbers = matches!(self.columns[at].order, Order::Integer | Order::Number);
        numbers.then(|| self.incrementing::<D>(at))
    }

    /// The clauses for the rows after `after` and the clock's `position`, within the limits.
    pub fn write<D: SourceDatabase>(
        &self,
        after: &Offset,
        position: i64,
        limits: &Limits,
    ) -> Result<String> {
        let suffix = match self.config.query_suffix.trim() {
            "" => String::new(),
            suffix => format!("\n{suffix}"),
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
                    Some(id) => {
                        let gap =
                            |(first, last)| format!(" OR {number} BETWEEN {first} AND {last}");
                        let gaps: String = limits.gaps.iter().copied().map(gap).collect();
                        conditions.push(format!("({number} > {id}{bad}{gaps})"));
                    }
                    None => conditions.push(format!("{number} IS NOT NULL")),
                }
                if let Some(highest) = &limits.highest {
                    conditions.push(format!("({number} <= {highest}{bad})"));
                }
                format!("{}{number} ASC", self.bad_first(&number))
            }
            (Mode::TimestampIncrementing, Some((number, at))) => {
                let (timestamp, bad) = (self.timestamp::<D>(), self.bad::<D>(&number, at));
                let since = self.clock::<D>(position)?;
                let same = match id {
                    Some(id) => format!("({timestamp} = {since} AND {number} > {id}) OR "),
                    None => String::new(),
                };
                let new = format!("(({same}{timestamp} > {since}){bad})");
                conditions.push(self.within::<D>(&timestamp, new, limits)?);
                format!("{}{timestamp} ASC, {number} ASC", self.bad_first(&number))
            }
            (Mode::Timestamp, _) => {
                let timestamp = self.timestamp::<D>();
                let since = self.clock::<D>(position)?;
                let new = format!("{timestamp} > {since}");
                conditions.push(self.within::<D>(&timestamp, new, limits)?);
                format!("{timestamp} ASC")
            }
            (mode, None) => {
                return Err(Error::internal(format!("{mode:?} without an incrementing column")));
            }
        };
        Ok(format!(" WHERE {} ORDER BY {order}{suffix}", conditions.join(" AND ")))
    }

    /// The rows that are new and before the bound, and those that are late.
    fn within<D: SourceDatabase>(
        &self,
        timestamp: &str,
        new: String,
        limits: &Limits,
    ) -> Result<String> {
        let until = match limits.until {
            Some(until) => format!("{new} AND {timestamp} < {}", self.clock::<D>(until)?),
            None => new,
        };
        if limits.late.is_empty() {
            return Ok(until);
        }
        let late: Result<Vec<String>> =
            limits.late.iter().map(|late| self.clock::<D>(*late)).collect();
        Ok(format!("(({until}) OR {timestamp} IN ({}))", late?.join(", ")))
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
