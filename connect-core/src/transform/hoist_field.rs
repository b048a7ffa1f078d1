//! `HoistField`.

use std::{marker::PhantomData, mem, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{PerSchema, check_null, struct_of},
};
use crate::{
    CONNECT_VERSION,
    data::{Field, Schema, Text, Value},
    error::Result,
    record::Record,
};

/// Keys of [`HoistField`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct HoistFieldConfig {
    /// Field name for the single field that will be created in the resulting Struct or Map.
    #[serde(deserialize_with = "keys::trimmed")]
    field: String,
}

/// Wraps data in a struct or map of one field (`org.apache.kafka.connect.transforms.HoistField`).
pub(super) struct HoistField<P> {
    field: Text,
    hoisted: PerSchema<Arc<Schema>>,
    part: PhantomData<P>,
}

impl<P: Part> Transformation for HoistField<P> {
    const NAME: &'static str = name_of_part!(P, "HoistField");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = HoistFieldConfig;

    fn new(config: HoistFieldConfig) -> Result<Self> {
        Ok(Self { field: config.field.into(), hoisted: PerSchema::new(), part: PhantomData })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        let Some(known) = schema else {
            *value = Value::Map(vec![(Value::String(self.field.clone()), mem::take(value))]);
            return Ok(Fate::Keep);
        };
        let name = &self.field;
        let hoisted = self.hoisted.get(known, |schema| {
            let field = Field { name: name.clone(), schema: Arc::clone(schema) };
            Ok(Arc::new(Schema::new(struct_of(vec![field])?)))
        })?;
        check_null(&hoisted.fields()[0], value)?;
        *value = Value::Struct(vec![mem::take(value)]);
        *schema = Some(Arc::clone(hoisted));
        Ok(Fate::Keep)
    }
}
