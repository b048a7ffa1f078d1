//! The columns that tell what is new.

use connect_core::error::{Error, Result};

use super::{
    SourceConfig,
    checks::Mapping,
    database::{Column, Order, Origin},
    keys::Mode,
};

/// The columns that tell what is new.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Criteria {
    /// Position of the incrementing column.
    pub incrementing: Option<usize>,
    /// Positions of the timestamp columns.
    pub timestamps: Vec<usize>,
    /// Whether the incrementing column holds numbers as text.
    pub numeric_text: bool,
}

impl Criteria {
    /// Finds the configured columns.
    ///
    /// # Errors
    /// If one doesn't exist, or is nullable though `validate.non.null` says it must not be.
    pub fn find<T>(
        config: &SourceConfig,
        mode: Mode,
        origin: &Origin,
        columns: &[Column<T>],
    ) -> Result<Self> {
        let by_name = |name: &str| {
            let exact = columns.iter().position(|c| c.name == name);
            exact.or_else(|| columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)))
        };
        let missing = |what: &str, name: &str| {
            Error::config(format!(
                "{what} column: {name} does not exist in table {}",
                origin.describe()
            ))
        };
        let mut criteria = Self::default();
        if mode.increments() {
            let mapped = mapped(&config.incrementing_mapping, origin)?;
            let name = match mapped.as_deref() {
                Some([name, ..]) => name.as_str(),
                _ => config.incrementing_column.as_str(),
            };
            let found = if name.is_empty() {
                columns.iter().position(|column| column.auto_increment)
            } else {
                by_name(name)
            };
            let shown = if name.is_empty() { "(auto-incremented)" } else { name };
            let found = found.ok_or_else(|| missing("Incrementing", shown))?;
            if matches!(columns[found].order, Order::Local | Order::Shown | Order::Instant) {
                return Err(Error::config(format!(
                    "Incrementing column: {name} of table {} is a date or timestamp: use mode=timestamp",
                    origin.describe()
                )));
            }
            criteria.incrementing = Some(found);
        }
        if mode.has_timestamp() {
            let mapped = mapped(&config.timestamp_mapping, origin)?;
            for name in mapped.as_ref().unwrap_or(&config.timestamp_columns) {
                criteria.timestamps.push(by_name(name).ok_or_else(|| missing("Timestamp", name))?);
            }
            criteria.check_timestamps(origin, columns)?;
        }
        if config.validate_non_null && origin.table().is_some() {
            criteria.check_nullable(origin, columns)?;
        }
        Ok(criteria)
    }

    fn check_timestamps<T>(&self, origin: &Origin, columns: &[Column<T>]) -> Result<()> {
        let of = |at: &usize| columns[*at].order;
        let time = |order| matches!(order, Order::Local | Order::Shown | Order::Instant);
        let zoned = |at: &usize| of(at) == Order::Instant;
        let first = self.timestamps.first();
        let other = |at: &&usize| first.is_some_and(|first| zoned(*at) != zoned(first));
        match self.timestamps.iter().find(|at| !time(of(at)) || other(at)) {
            None => Ok(()),
            Some(at) => Err(Error::config(format!(
                "Timestamp column: {} of table {} must be a date or timestamp, and of several all must be with or all \
                 without time zone",
                columns[*at].name,
                origin.describe()
            ))),
        }
    }

    fn check_nullable<T>(&self, origin: &Origin, columns: &[Column<T>]) -> Result<()> {
        let refused = |what: &str, column: &Column<T>| {
            Error::config(format!(
                "Cannot make {what} queries using {what} column {} on {} because this column is nullable.",
                column.name,
                origin.describe()
            ))
            .context("key", "validate.non.null")
        };
        if let Some(column) = self.incrementing.map(|at| &columns[at]).filter(|c| c.nullable) {
            return Err(refused("incrementing", column));
        }
        let nullable = self.timestamps.iter().all(|at| columns[*at].nullable);
        match self.timestamps.first() {
            Some(first) if nullable => Err(refused("timestamp", &columns[*first])),
            _ => Ok(()),
        }
    }
}

/// The columns that a mapping has for the table: exactly one of its expressions must match.
fn mapped(mapping: &[String], origin: &Origin) -> Result<Option<Vec<String>>> {
    if mapping.is_empty() {
        return Ok(None);
    }
    let name = origin.describe();
    let mut found = Vec::new();
    for entry in mapping {
        let entry = Mapping::parse(entry)?;
        if entry.matches(&name) {
            found.push(entry);
        }
    }
    match <[Mapping; 1]>::try_from(found) {
        Ok([entry]) => Ok(Some(entry.columns)),
        Err(found) => Err(Error::config(format!(
            "table {name} must match exactly one expression of the column mapping, but matches {}",
            found.len()
        ))),
    }
}
