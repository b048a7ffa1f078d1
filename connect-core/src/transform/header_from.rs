//! `HeaderFrom`.

use std::{marker::PhantomData, mem, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{
        PerSchema, basics_of, default_of, entry, fields_of, renew, require_map, require_struct_of,
        shown, struct_of,
    },
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Field, Schema, Text, Value},
    error::{Error, Result},
    record::{Header, Record},
};

/// Keys of [`HeaderFrom`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct HeaderFromConfig {
    /// Field names in the record whose values are to be copied or moved to headers.
    #[serde(deserialize_with = "keys::list")]
    #[schemars(extend("x-importance" = "HIGH"))]
    fields: Vec<String>,
    /// Header names, in the same order as the field names listed in the fields configuration property.
    #[serde(deserialize_with = "keys::list")]
    #[schemars(extend("x-importance" = "HIGH"))]
    headers: Vec<String>,
    /// Either <code>move</code> if the fields are to be moved to the headers (removed from the key/value), or
    /// <code>copy</code> if the fields are to be copied to the headers (retained in the key/value).
    #[serde(deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    operation: String,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Moves or copies fields to headers (`org.apache.kafka.connect.transforms.HeaderFrom`).
pub(super) struct HeaderFrom<P> {
    /// Names of a field and of its header.
    pairs: Vec<(Text, Text)>,
    moves: bool,
    replace_null: bool,
    sources: PerSchema<Sources>,
    part: PhantomData<P>,
}

/// What a schema has.
struct Sources {
    /// Positions of the fields that become headers.
    headers: Vec<usize>,
    /// Without these fields.
    rest: Arc<Schema>,
}

impl<P: Part> Transformation for HeaderFrom<P> {
    const NAME: &'static str = name_of_part!(P, "HeaderFrom");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = HeaderFromConfig;

    fn validate(config: &HeaderFromConfig) -> Vec<Invalid> {
        let checks = [
            keys::non_empty("fields", &config.fields),
            keys::non_empty("headers", &config.headers),
            keys::one_of("operation", &config.operation, &["move", "copy"]),
        ];
        let mut invalid: Vec<_> = checks.into_iter().flatten().collect();
        if invalid.is_empty() && config.fields.len() != config.headers.len() {
            let why = "'fields' config must have the same number of elements as 'headers' config.";
            invalid.push(Invalid::new("fields", why));
        }
        invalid
    }
    fn new(config: HeaderFromConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        let texts = |list: Vec<String>| list.into_iter().map(Text::from);
        Ok(Self {
            pairs: texts(config.fields).zip(texts(config.headers)).collect(),
            moves: config.operation == "move",
            replace_null: config.replace_null_with_default,
            sources: PerSchema::new(),
            part: PhantomData,
        })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let purpose = if self.moves { "header move" } else { "header copy" };
        let mut headers = mem::take(&mut record.headers);
        headers.reserve_exact(self.pairs.len());
        let (schema, value) = P::of(record);
        match schema {
            None => self.copy_of_map(require_map(value, purpose)?, &mut headers),
            Some(schema) => self.copy_of_struct(schema, value, purpose, &mut headers)?,
        }
        record.headers = headers;
        Ok(Fate::Keep)
    }
}

impl<P> HeaderFrom<P> {
    fn copy_of_map(&self, entries: &mut Vec<(Value, Value)>, headers: &mut Vec<Header>) {
        for (field, header) in &self.pairs {
            let value = entry(entries, field).cloned().unwrap_or_default();
            headers.push(Header { name: header.clone(), schema: None, value });
        }
        if self.moves {
            entries.retain(|(key, _)| {
                !self.pairs.iter().any(|(field, _)| key.as_str() == Some(field))
            });
        }
    }

    fn copy_of_struct(
        &mut self,
        schema: &mut Arc<Schema>,
        value: &mut Value,
        purpose: &str,
        headers: &mut Vec<Header>,
    ) -> Result<()> {
        let (fields, values) = require_struct_of(schema, value, purpose)?;
        let pairs = &self.pairs;
        let sources = self.sources.get(schema, |schema| sources(schema, pairs))?;
        for (at, (_, header)) in sources.headers.iter().zip(pairs) {
            let (field, value) = (&fields[*at], &values[*at]);
            let value = match value {
                Value::Null => default_of(field, self.replace_null),
                value => value.clone(),
            };
            if value.is_null() && !field.schema.optional {
                return Err(Error::data(format!(
                    "A null value requires an optional schema but was {}",
                    shown(&field.schema)
                )));
            }
            let schema = Some(Arc::clone(&field.schema));
            headers.push(Header { name: header.clone(), schema, value });
        }
        if !self.moves {
            return Ok(());
        }
        let mut at = 0..fields.len();
        values.retain(|_| at.next().is_some_and(|at| !sources.headers.contains(&at)));
        for (field, value) in sources.rest.fields().iter().zip(values) {
            renew(field, value, self.replace_null)?;
        }
        *schema = Arc::clone(&sources.rest);
        Ok(())
    }
}

fn sources(schema: &Schema, pairs: &[(Text, Text)]) -> Result<Sources> {
    let fields = fields_of(schema)?;
    let headers = pairs.iter().map(|(name, _)| {
        let at = fields.iter().position(|field| field.name == *name);
        at.ok_or_else(|| Error::data(format!("Unknown field: {name}")))
    });
    let headers = headers.collect::<Result<Vec<_>>>()?;
    let rest: Vec<Field> = fields
        .iter()
        .enumerate()
        .filter(|(at, _)| !headers.contains(at))
        .map(|(_, field)| field.clone())
        .collect();
    Ok(Sources { headers, rest: Arc::new(basics_of(schema, struct_of(rest)?)) })
}
