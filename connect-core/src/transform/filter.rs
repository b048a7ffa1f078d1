//! `Filter`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Fate, Transformation};
use crate::{CONNECT_VERSION, error::Result, record::Record};

/// Drops every record; meant to be used with a predicate (`org.apache.kafka.connect.transforms.Filter`).
pub(super) struct Filter;

/// Nothing to configure.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct FilterConfig {}

impl Transformation for Filter {
    const NAME: &'static str = "org.apache.kafka.connect.transforms.Filter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = FilterConfig;

    fn new(_: FilterConfig) -> Result<Self> {
        Ok(Self)
    }
    fn apply(&mut self, _: &mut Record, _: Option<i64>) -> Result<Fate> {
        Ok(Fate::Drop)
    }
}
