//! Types of configuration values that say more than a string or an integer.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// A string that never prints (invariant 8); Connect's `PASSWORD` type.
#[derive(Clone, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value, at the one place where it is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}
impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "password"})
    }
}

/// A duration given in milliseconds, `DEFAULT` if not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Millis<const DEFAULT: u64>(u64);

impl<const DEFAULT: u64> Millis<DEFAULT> {
    /// The duration.
    pub fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}
impl<const DEFAULT: u64> Default for Millis<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}
impl<const DEFAULT: u64> Serialize for Millis<DEFAULT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}
impl<const DEFAULT: u64> JsonSchema for Millis<DEFAULT> {
    fn schema_name() -> Cow<'static, str> {
        "Millis".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": "int64", "minimum": 0})
    }
}
