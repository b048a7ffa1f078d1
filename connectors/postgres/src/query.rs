//! The statements: which columns in which form, which rows in which order.

use connect_core::{
    config::Invalid,
    error::{Error, Result},
};
use connectors_jdbc::{
    names::Quote,
    source::{Mode, Offset, SourceConfig},
};
use tokio_postgres::types::Type;

use crate::{
    catalog::{Column, Table},
    decode::Decoder,
};

/// What is read: a table, or the configured query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Table(Table),
    Query(String),
}

impl Origin {
    /// The name of the table, for topic and schema.
    pub(crate) fn table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Query(_) => None,
        }
    }
    /// For messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Table(table) => table.qualified(),
            Self::Query(_) => "query".to_owned(),
        }
    }
}

/// The columns that tell what is new.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Criteria {
    /// Position of the incrementing column.
    pub(crate) incrementing: Option<usize>,
    /// Positions of the timestamp columns.
    pub(crate) timestamps: Vec<usize>,
}

impl Criteria {
    /// Finds the configured columns.
    ///
    /// # Errors
    /// If one doesn't exist, or is nullable though `validate.non.null` says it must not be.
    pub(crate) fn find(config: &SourceConfig, origin: &Origin, columns: &[Column]) -> Result<Self> {
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
        if config.mode.increments() {
            let name = config.incrementing_column.as_str();
            let found = if name.is_empty() {
                columns.iter().position(|column| column.auto_increment)
            } else {
                by_name(name)
            };
            criteria.incrementing = Some(found.ok_or_else(|| missing("Incrementing", name))?);
        }
        if config.mode.has_timestamp() {
            for name in &config.timestamp_columns {
                criteria.timestamps.push(by_name(name).ok_or_else(|| missing("Timestamp", name))?);
            }
        }
        if config.validate_non_null && origin.table().is_some() {
            criteria.check_nullable(origin, columns)?;
        }
        Ok(criteria)
    }

    fn check_nullable(&self, origin: &Origin, columns: &[Column]) -> Result<()> {
        let refused = |what: &str, column: &Column| {
            let key = "validate.non.null";
            let why = format!(
                "Cannot make {what} queries using {what} column {} on {} because this column is nullable.",
                column.name,
                origin.describe()
            );
            Error::config(Invalid::new(key, why).message()).context("key", key)
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

/// A statement, with what is needed to read its rows: the columns of the record, then the text of the timestamp and
/// the incrementing value that the order goes by.
pub(crate) struct Statement<'a> {
    pub(crate) config: &'a SourceConfig,
    pub(crate) origin: &'a Origin,
    pub(crate) columns: &'a [Column],
    pub(crate) criteria: &'a Criteria,
}

impl Statement<'_> {
    fn column(&self, at: usize) -> String {
        format!("q.{}", Quote::Double.identifier(&self.columns[at].name))
    }

    /// The first timestamp that is not null, as an instant.
    fn timestamp(&self) -> String {
        let instants: Vec<String> =
            self.criteria.timestamps.iter().map(|at| self.instant(*at)).collect();
        if instants.len() == 1 {
            instants.concat()
        } else {
            format!("COALESCE({})", instants.join(", "))
        }
    }

    fn instant(&self, at: usize) -> String {
        match Type::from_oid(self.columns[at].oid) {
            Some(Type::TIMESTAMPTZ) => self.column(at),
            _ => format!("({} AT TIME ZONE {})", self.column(at), literal(&self.config.timezone)),
        }
    }

    /// What the lower and upper bounds are compared with: the columns themselves, so that an index on them serves.
    fn comparable(&self) -> String {
        let columns: Vec<String> =
            self.criteria.timestamps.iter().map(|at| self.column(*at)).collect();
        if columns.len() == 1 {
            columns.concat()
        } else {
            format!("COALESCE({})", columns.join(", "))
        }
    }

    /// An instant in the form of the timestamp columns.
    fn bound(&self, micros: i64) -> String {
        let seconds = micros.div_euclid(1_000_000);
        let rest = micros.rem_euclid(1_000_000);
        let instant = format!(
            "('epoch'::timestamptz + interval '{seconds} seconds' + interval '{rest} microseconds')"
        );
        let zoned = |at: &usize| Type::from_oid(self.columns[*at].oid) == Some(Type::TIMESTAMPTZ);
        if self.criteria.timestamps.first().is_some_and(zoned) {
            instant
        } else {
            format!("({instant} AT TIME ZONE {})", literal(&self.config.timezone))
        }
    }

    fn is_text(&self, at: usize) -> bool {
        matches!(
            Type::from_oid(self.columns[at].oid),
            Some(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME)
        )
    }

    fn is_integer(&self, at: usize) -> bool {
        let ty = Type::from_oid(self.columns[at].oid);
        matches!(ty, Some(Type::INT2 | Type::INT4 | Type::INT8 | Type::OID))
    }

    /// The incrementing column as a number; NULL where a text holds no integer.
    fn incrementing(&self, at: usize) -> String {
        let column = self.column(at);
        if self.is_text(at) {
            format!("CASE WHEN {column} ~ '^\\s*[-+]?[0-9]+\\s*$' THEN {column}::numeric END")
        } else {
            column
        }
    }

    fn conditions(&self, after: &Offset, until: Option<i64>) -> (String, String) {
        let timestamp = self.comparable();
        let since = after.micros().unwrap_or(0);
        let upper = until.map(|until| format!("{timestamp} < {}", self.bound(until)));
        let number = self.criteria.incrementing.map(|at| (self.incrementing(at), at));
        // A text that is no integer comes first and fails the task: passed over in silence it would be lost.
        let bad = number.as_ref().filter(|(_, at)| self.is_text(*at)).map(|(number, at)| {
            format!(" OR ({} IS NOT NULL AND {number} IS NULL)", self.column(*at))
        });
        let bad = bad.unwrap_or_default();
        let nulls = if bad.is_empty() { "" } else { " NULLS FIRST" };
        // The JVM's start: ids from 0 on, timestamps after the epoch.
        let id = after.incrementing.unwrap_or(-1);
        match (self.config.mode, number, upper) {
            (Mode::Incrementing, Some((number, _)), _) => {
                (format!(" WHERE {number} > {id}{bad}"), format!(" ORDER BY {number} ASC{nulls}"))
            }
            (Mode::Timestamp, _, Some(upper)) => (
                format!(" WHERE {timestamp} > {} AND {upper}", self.bound(since)),
                format!(" ORDER BY {timestamp} ASC"),
            ),
            (Mode::TimestampIncrementing, Some((number, _)), Some(upper)) => {
                let (since, number) = (self.bound(since), number);
                (
                    format!(
                        " WHERE {upper} AND ((({timestamp} = {since} AND {number} > {id}) OR \
                         {timestamp} > {since}){bad})"
                    ),
                    format!(" ORDER BY {timestamp} ASC, {number} ASC{nulls}"),
                )
            }
            _ => (String::new(), String::new()),
        }
    }

    /// `COPY (SELECT ...) TO STDOUT (FORMAT binary)`: every row after `after`, and with a timestamp before `until`
    /// (microseconds since the epoch).
    pub(crate) fn copy(&self, decoder: &Decoder, after: &Offset, until: Option<i64>) -> String {
        let mut list: Vec<String> = (0..self.columns.len())
            .map(|at| decoder.selected(at, &self.column(at), &literal(&self.config.timezone)))
            .collect();
        if !self.criteria.timestamps.is_empty() {
            list.push(format!("{}::timestamptz", self.timestamp()));
        }
        if let Some(at) = self.criteria.incrementing {
            let number = self.incrementing(at);
            if self.is_integer(at) {
                list.push(format!("{number}::int8"));
                list.push("NULL::text".to_owned());
            } else {
                // What is no 64-bit integer is told by its text, in the column after.
                list.push(format!(
                    "CASE WHEN {number} BETWEEN -9223372036854775808 AND 9223372036854775807 AND \
                     {number} % 1 = 0 THEN ({number})::int8 END"
                ));
                list.push(format!("{}::text", self.column(at)));
            }
        }
        let from = match self.origin {
            Origin::Table(table) => format!("{} AS q", table.quoted()),
            Origin::Query(query) => format!("({query}) AS q"),
        };
        let (conditions, order) = self.conditions(after, until);
        let suffix = &self.config.query_suffix;
        let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
        format!(
            "COPY (SELECT {list} FROM {from}{conditions}{order} {suffix}) TO STDOUT (FORMAT binary)"
        )
    }
}

/// A string literal that no value can end.
fn literal(text: &str) -> String {
    // With a backslash the E'' form is unambiguous whatever standard_conforming_strings says.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_literal() {
        assert_eq!(literal("x'; DROP TABLE t; --"), "E'x''; DROP TABLE t; --'");
        assert_eq!(literal("\\'"), "E'\\\\'''");
    }
}
