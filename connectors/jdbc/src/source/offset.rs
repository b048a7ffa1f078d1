//! Partitions and offsets, exactly as the JSON that the JVM's connectors store.

use std::fmt;

use connect_core::{
    data::{Text, Value},
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};

/// What is read: a table, or the query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// `1` with a table, but for those of older versions and of bulk mode.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub protocol: Option<String>,
    /// `schema.table`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table: Option<String>,
    /// `query`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub query: Option<String>,
}

impl Partition {
    /// A table by its qualified name, unquoted.
    pub fn table(qualified: String) -> Self {
        Self { protocol: Some("1".into()), table: Some(qualified), query: None }
    }
    /// A table by its bare name, as offsets of version 0 have it.
    pub fn bare(name: &str) -> Self {
        Self { table: Some(name.to_owned()), ..Self::default() }
    }
    /// The query, whatever its text.
    pub fn query() -> Self {
        Self { query: Some("query".into()), ..Self::default() }
    }
}

/// Value of an incrementing column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Mark {
    /// A number, or a text that is one.
    Number(i64),
    /// A text, in the order of its column.
    Text(Text),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl Mark {
    /// The mark that a value of the column is; none of null.
    ///
    /// # Errors
    /// If the value has no order that a text or a 64-bit integer could stand for.
    pub fn of(value: &Value) -> Result<Option<Self>> {
        Ok(Some(match value {
            Value::Null => return Ok(None),
            Value::Int8(n) => Self::Number(i64::from(*n)),
            Value::Int16(n) => Self::Number(i64::from(*n)),
            Value::Int32(n) => Self::Number(i64::from(*n)),
            Value::Int64(n) => Self::Number(*n),
            Value::Decimal(number) => Self::Number(number.to_i64().ok_or_else(|| {
                Error::data(
                    "Invalid value for incrementing column: Decimal with scale 0, at most Long.MAX_VALUE, expected",
                )
                .context("value", number)
            })?),
            Value::String(text) => Self::Text(text.clone()),
            other => {
                return Err(Error::refused(format!(
                    "Invalid type for incrementing column: {}; an integer, a Decimal or text expected",
                    other.kind()
                )));
            }
        }))
    }
}

/// How far a table was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offset {
    /// The whole fraction of the timestamp's second, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp_nanos: Option<i64>,
    /// Value of the incrementing column.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incrementing: Option<Mark>,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timestamp: Option<i64>,
    /// Ids below the incrementing column's value that were passed over and are looked for again, as `2-20,40`. The JVM's
    /// connector does not look at it.
    #[serde(rename = "ferrovia.gaps", skip_serializing_if = "Option::is_none", default)]
    pub gaps: Option<Text>,
    /// When transactions began that were passed by, in microseconds since the epoch, between commas. As above.
    #[serde(rename = "ferrovia.open", skip_serializing_if = "Option::is_none", default)]
    pub open: Option<Text>,
}

impl Offset {
    /// After this value of the incrementing column.
    pub fn after(mark: Mark) -> Self {
        Self { incrementing: Some(mark), ..Self::default() }
    }
    /// The timestamp in microseconds since the epoch.
    pub fn micros(&self) -> Option<i64> {
        let millis = self.timestamp?;
        // Without the nanoseconds (old offsets), the milliseconds are all there is.
        let nanos = self.timestamp_nanos.unwrap_or_else(|| millis.rem_euclid(1000) * 1_000_000);
        Some(millis.div_euclid(1000).saturating_mul(1_000_000).saturating_add(nanos / 1000))
    }
    /// Sets the timestamp from microseconds since the epoch.
    #[must_use]
    pub fn at(mut self, micros: i64) -> Self {
        self.timestamp = Some(micros.div_euclid(1000));
        self.timestamp_nanos = Some(micros.rem_euclid(1_000_000) * 1000);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_jvms() {
        let json = |offset: Offset| serde_json::to_string(&offset).unwrap();
        assert_eq!(json(Offset::after(Mark::Number(9))), r#"{"incrementing":9}"#);
        assert_eq!(json(Offset::after(Mark::Text("01B".into()))), r#"{"incrementing":"01B"}"#);
        let at = Offset::default().at(1_614_834_367_123_456);
        assert_eq!(at.micros(), Some(1_614_834_367_123_456));
        assert_eq!(json(at), r#"{"timestamp_nanos":123456000,"timestamp":1614834367123}"#);
        let both = Offset::after(Mark::Number(2)).at(1_609_459_200_000_001);
        assert_eq!(
            json(both),
            r#"{"timestamp_nanos":1000,"incrementing":2,"timestamp":1609459200000}"#
        );
        let old: Offset = serde_json::from_str(r#"{"timestamp":1500}"#).unwrap();
        assert_eq!(old.micros(), Some(1_500_000));
        assert_eq!(Offset::default().at(-1).micros(), Some(-1));
        let json = |partition: Partition| serde_json::to_string(&partition).unwrap();
        let table = Partition::table("public.t".into());
        assert_eq!(json(table), r#"{"protocol":"1","table":"public.t"}"#);
        assert_eq!(json(Partition::bare("t")), r#"{"table":"t"}"#);
        assert_eq!(json(Partition::query()), r#"{"query":"query"}"#);
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        for bad in [r#"{"incrementing":true}"#, r#"{"incrementing":1.5}"#, r#"{"id":1}"#] {
            assert!(serde_json::from_str::<Offset>(bad).is_err(), "{bad}");
        }
    }
}
