//! `ReplaceField`.

use std::{collections::HashMap, marker::PhantomData, mem, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{
        PerSchema, basics_of, fields_of, put, renew_all, require_map, require_struct_of, struct_of,
    },
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Field, Schema, Text, Value},
    error::{Error, Result},
    record::Record,
};

/// Keys of [`ReplaceField`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ReplaceFieldConfig {
    /// Fields to exclude. This takes precedence over the fields to include.
    #[serde(default, deserialize_with = "keys::list")]
    exclude: Vec<String>,
    /// Fields to include. If specified, only these fields will be used.
    #[serde(default, deserialize_with = "keys::list")]
    include: Vec<String>,
    /// Field rename mappings.
    #[serde(default, deserialize_with = "keys::list")]
    renames: Vec<String>,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Leaves out and renames fields (`org.apache.kafka.connect.transforms.ReplaceField`).
pub(super) struct ReplaceField<P> {
    rules: Rules,
    replace_null: bool,
    replaced: PerSchema<Replaced>,
    part: PhantomData<P>,
}

struct Rules {
    exclude: Vec<String>,
    include: Vec<String>,
    renames: HashMap<String, Text>,
}

/// The schema with the fields that are left, and which of all fields these are.
struct Replaced {
    schema: Arc<Schema>,
    kept: Vec<bool>,
}

const PURPOSE: &str = "field replacement";

/// The new names by the old ones.
fn renames(list: &[String]) -> Result<HashMap<String, Text>, Invalid> {
    let mut renames = HashMap::new();
    for mapping in list {
        match java_split(mapping)[..] {
            [old, new] => renames.insert(old.to_owned(), new.into()),
            _ => {
                let why = format!("Invalid rename mapping: {mapping}");
                // The JVM names the key without the prefix of the transformation.
                let message = Invalid::value("renames", &keys::shown(list), &why).message();
                return Err(Invalid::new("renames", message));
            }
        };
    }
    Ok(renames)
}

/// `String.split(":")`, which leaves out empty parts at the end.
pub(super) fn java_split(mapping: &str) -> Vec<&str> {
    if mapping.is_empty() {
        return vec![mapping];
    }
    mapping.trim_end_matches(':').split(':').collect()
}

impl<P: Part> Transformation for ReplaceField<P> {
    const NAME: &'static str = name_of_part!(P, "ReplaceField");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = ReplaceFieldConfig;

    fn validate(config: &ReplaceFieldConfig) -> Vec<Invalid> {
        let lists = [
            keys::distinct("exclude", &config.exclude, true),
            keys::distinct("include", &config.include, true),
            renames(&config.renames).err(),
        ];
        lists.into_iter().flatten().collect()
    }
    fn new(config: ReplaceFieldConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        let renames =
            renames(&config.renames).map_err(|invalid| Error::config(invalid.message()))?;
        Ok(Self {
            rules: Rules { exclude: config.exclude, include: config.include, renames },
            replace_null: config.replace_null_with_default,
            replaced: PerSchema::new(),
            part: PhantomData,
        })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        if value.is_null() {
            return Ok(Fate::Keep);
        }
        let rules = &self.rules;
        let Some(old) = schema else {
            rules.apply_to_map(require_map(value, PURPOSE)?);
            return Ok(Fate::Keep);
        };
        let (_, values) = require_struct_of(old, value, PURPOSE)?;
        let replaced = self.replaced.get(old, |schema| rules.apply_to_schema(schema))?;
        let mut kept = replaced.kept.iter();
        values.retain(|_| kept.next() == Some(&true));
        renew_all(replaced.schema.fields(), values, self.replace_null)?;
        *schema = Some(Arc::clone(&replaced.schema));
        Ok(Fate::Keep)
    }
}

impl Rules {
    fn keeps(&self, name: &str) -> bool {
        let among = |list: &[String]| list.iter().any(|listed| listed == name);
        !among(&self.exclude) && (self.include.is_empty() || among(&self.include))
    }

    fn apply_to_map(&self, entries: &mut Vec<(Value, Value)>) {
        if self.renames.is_empty() {
            entries.retain(|(key, _)| self.keeps(key.as_str().unwrap_or_default()));
            return;
        }
        for (key, value) in mem::take(entries) {
            let name = key.as_str().unwrap_or_default();
            if !self.keeps(name) {
                continue;
            }
            match (self.renames.get(name), key) {
                (Some(new), _) => put(entries, new, value),
                (None, Value::String(name)) => put(entries, &name, value),
                (None, key) => entries.push((key, value)),
            }
        }
    }

    fn apply_to_schema(&self, schema: &Schema) -> Result<Replaced> {
        let fields = fields_of(schema)?;
        let kept: Vec<bool> = fields.iter().map(|field| self.keeps(&field.name)).collect();
        let mut left = Vec::new();
        for (field, _) in fields.iter().zip(&kept).filter(|(_, kept)| **kept) {
            let name = match self.renames.get(&*field.name) {
                Some(new) => new.clone(),
                None => {
                    // The JVM looks every name up among the new ones, and does not find the old one then.
                    let old = self.renames.iter().find(|(_, new)| **new == field.name);
                    if let Some((old, _)) = old
                        && !fields.iter().any(|field| field.name == **old)
                    {
                        return Err(Error::data(format!("{old} is not a valid field name")));
                    }
                    field.name.clone()
                }
            };
            left.push(Field { name, schema: Arc::clone(&field.schema) });
        }
        Ok(Replaced { schema: Arc::new(basics_of(schema, struct_of(left)?)), kept })
    }
}
