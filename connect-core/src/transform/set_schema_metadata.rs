//! `SetSchemaMetadata`.

use std::{marker::PhantomData, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{PerSchema, fields_of, renew_all},
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Schema, Text, Value},
    error::{Error, Result},
    record::Record,
};

/// Keys of [`SetSchemaMetadata`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SetSchemaMetadataConfig {
    /// Schema name to set.
    #[serde(rename = "schema.name", default, deserialize_with = "keys::given")]
    #[schemars(extend("x-importance" = "HIGH"))]
    name: Option<String>,
    /// Schema version to set.
    #[serde(rename = "schema.version", default)]
    #[schemars(extend("x-importance" = "HIGH"))]
    version: Option<i32>,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Sets name and version of the schema (`org.apache.kafka.connect.transforms.SetSchemaMetadata`).
pub(super) struct SetSchemaMetadata<P> {
    name: Option<Text>,
    version: Option<i32>,
    replace_null: bool,
    renamed: PerSchema<Arc<Schema>>,
    part: PhantomData<P>,
}

impl<P: Part> Transformation for SetSchemaMetadata<P> {
    const NAME: &'static str = name_of_part!(P, "SetSchemaMetadata");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = SetSchemaMetadataConfig;

    fn validate(config: &SetSchemaMetadataConfig) -> Vec<Invalid> {
        match (&config.name, config.version) {
            (None, None) => {
                vec![Invalid::new("schema.name", "Neither schema name nor version configured")]
            }
            _ => Vec::new(),
        }
    }
    fn new(config: SetSchemaMetadataConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        Ok(Self {
            name: config.name.map(Text::from),
            version: config.version,
            replace_null: config.replace_null_with_default,
            renamed: PerSchema::new(),
            part: PhantomData,
        })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        let Some(old) = schema else {
            return match value {
                Value::Null => Ok(Fate::Keep),
                _ => Err(Error::data("Schema required for [updating schema metadata]")),
            };
        };
        let (name, version) = (&self.name, self.version);
        let renamed = self.renamed.get(old, |schema| {
            // As the JVM's, which asks every schema for its fields.
            fields_of(schema)?;
            let mut renamed = Schema::clone(schema);
            renamed.name = name.clone().or(renamed.name);
            renamed.version = version.or(renamed.version);
            Ok(Arc::new(renamed))
        })?;
        if let Value::Struct(values) = value {
            renew_all(renamed.fields(), values, self.replace_null)?;
        }
        *schema = Some(Arc::clone(renamed));
        Ok(Fate::Keep)
    }
}
