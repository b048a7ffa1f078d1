//! `DropHeaders` and `InsertHeader`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Fate, Transformation, keys};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Text, values},
    error::Result,
    record::{Header, Record},
};

/// Removes headers by name (`org.apache.kafka.connect.transforms.DropHeaders`).
pub(super) struct DropHeaders(Vec<String>);

/// Keys of [`DropHeaders`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct DropHeadersConfig {
    /// The name of the headers to be removed.
    #[serde(deserialize_with = "keys::list")]
    #[schemars(extend("x-importance" = "HIGH"))]
    headers: Vec<String>,
}

impl Transformation for DropHeaders {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.DropHeaders";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = DropHeadersConfig;

    fn validate(config: &DropHeadersConfig) -> Vec<Invalid> {
        keys::distinct("headers", &config.headers, false).into_iter().collect()
    }
    fn new(config: DropHeadersConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        Ok(Self(config.headers))
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        record.headers.retain(|header| !self.0.iter().any(|name| header.name == **name));
        Ok(Fate::Keep)
    }
}

/// Adds a header to every record (`org.apache.kafka.connect.transforms.InsertHeader`).
pub(super) struct InsertHeader(Header);

/// Keys of [`InsertHeader`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct InsertHeaderConfig {
    /// The name of the header.
    #[serde(deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    header: String,
    /// The literal value that is to be set as the header value on all records.
    #[serde(rename = "value.literal", deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    value_literal: String,
}

impl Transformation for InsertHeader {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.InsertHeader";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = InsertHeaderConfig;

    fn new(config: InsertHeaderConfig) -> Result<Self> {
        let (schema, value) = values::parse(&config.value_literal);
        Ok(Self(Header { name: Text::from(config.header), schema, value }))
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        record.headers.push(self.0.clone());
        Ok(Fate::Keep)
    }
}
