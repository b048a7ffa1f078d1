//! `Cast`.

use std::{marker::PhantomData, mem, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation,
    cast_value::{Target, cast},
    keys,
    part::{Part, name_of_part},
    replace_field::java_split,
    shape::{
        PerSchema, basics_of, entry, fields_of, put, renew, require_map, require_struct_of,
        struct_of,
    },
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Field, Schema, Text, Value},
    error::Result,
    record::Record,
};

/// Keys of [`Cast`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CastConfig {
    /// List of fields and the type to cast them to of the form field1:type,field2:type to cast fields of Maps or
    /// Structs. A single type to cast the entire value. Valid types are int8, int16, int32, int64, float32, float64,
    /// boolean, and string. Note that binary fields can only be cast to string.
    #[serde(deserialize_with = "keys::list")]
    #[schemars(extend("x-importance" = "HIGH"))]
    spec: Vec<String>,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Changes the type of fields, or of the whole value (`org.apache.kafka.connect.transforms.Cast`).
pub(super) struct Cast<P> {
    spec: Spec,
    replace_null: bool,
    plans: PerSchema<Plan>,
    part: PhantomData<P>,
}

/// What is cast to what.
enum Spec {
    Whole(Target),
    Fields(Vec<(Text, Target)>),
}

/// A schema after the casts, and what becomes of each of its fields.
struct Plan {
    schema: Arc<Schema>,
    targets: Vec<Option<Target>>,
}

const PURPOSE: &str = "cast types";

impl<P: Part> Transformation for Cast<P> {
    const NAME: &'static str = name_of_part!(P, "Cast");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = CastConfig;

    fn validate(config: &CastConfig) -> Vec<Invalid> {
        Spec::parse(&config.spec).err().into_iter().collect()
    }
    fn new(config: CastConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        let spec = Spec::parse(&config.spec).unwrap_or(Spec::Fields(Vec::new()));
        let replace_null = config.replace_null_with_default;
        Ok(Self { spec, replace_null, plans: PerSchema::new(), part: PhantomData })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let (schema, value) = P::of(record);
        if value.is_null() {
            return Ok(Fate::Keep);
        }
        let spec = &self.spec;
        let Some(known) = schema else {
            match spec {
                Spec::Whole(target) => *value = cast(None, mem::take(value), *target)?,
                Spec::Fields(casts) => {
                    let entries = require_map(value, PURPOSE)?;
                    for (name, target) in casts {
                        match entry(entries, name) {
                            Some(value) => *value = cast(None, mem::take(value), *target)?,
                            // As in the JVM, a field that was missing is null afterwards.
                            None => put(entries, name, Value::Null),
                        }
                    }
                }
            }
            return Ok(Fate::Keep);
        };
        let plan = self.plans.get(known, |schema| spec.plan(schema))?;
        match spec {
            Spec::Whole(target) => *value = cast(Some(known), mem::take(value), *target)?,
            Spec::Fields(_) => {
                let (fields, values) = require_struct_of(known, value, PURPOSE)?;
                for ((field, value), target) in fields.iter().zip(values).zip(&plan.targets) {
                    renew(field, value, self.replace_null)?;
                    if let Some(target) = target {
                        *value = cast(Some(&field.schema), mem::take(value), *target)?;
                    }
                }
            }
        }
        *schema = Some(Arc::clone(&plan.schema));
        Ok(Fate::Keep)
    }
}

impl Spec {
    fn parse(list: &[String]) -> Result<Self, Invalid> {
        let plain = |why: String| Invalid::new("spec", why);
        if list.is_empty() {
            return Err(plain("Must specify at least one field to cast.".into()));
        }
        let (mut whole, mut fields) = (None, Vec::<(Text, Target)>::new());
        for mapping in list {
            match java_split(mapping)[..] {
                [target] => whole = Some(Target::parse(target).map_err(plain)?),
                [name, target] => {
                    let target = Target::parse(target).map_err(plain)?;
                    match fields.iter_mut().find(|(known, _)| known == name.trim()) {
                        Some((_, known)) => *known = target,
                        None => fields.push((name.trim().into(), target)),
                    }
                }
                _ => {
                    // The JVM names a key of another transformation.
                    let why = format!("Invalid rename mapping: {mapping}");
                    return Err(plain(
                        Invalid::value("renames", &keys::shown(list), &why).message(),
                    ));
                }
            }
        }
        match whole {
            Some(_) if list.len() > 1 => Err(plain(
                "Cast transformations that specify a type to cast the entire value to may only specify a single cast \
                 in their spec"
                    .into(),
            )),
            Some(target) => Ok(Self::Whole(target)),
            None => Ok(Self::Fields(fields)),
        }
    }

    fn plan(&self, schema: &Schema) -> Result<Plan> {
        let default_as = |schema: &Schema, target| {
            let default = schema.default.clone();
            default.map(|default| cast(Some(schema), default, target)).transpose()
        };
        let optional = schema.optional;
        let casts = match self {
            Self::Whole(target) => {
                let default = default_as(schema, *target)?;
                let schema = Schema { optional, default, ..basics_of(schema, target.ty()) };
                return Ok(Plan { schema: Arc::new(schema), targets: Vec::new() });
            }
            Self::Fields(casts) => casts,
        };
        let (mut fields, mut targets) = (Vec::new(), Vec::new());
        for field in fields_of(schema)? {
            let target = casts.iter().find(|(name, _)| *name == field.name).map(|(_, ty)| *ty);
            fields.push(match target {
                None => field.clone(),
                Some(target) => Field {
                    name: field.name.clone(),
                    schema: Arc::new(Schema {
                        optional: field.schema.optional,
                        default: default_as(&field.schema, target)?,
                        ..Schema::new(target.ty())
                    }),
                },
            });
            targets.push(target);
        }
        if let Some(default) = &schema.default {
            // The JVM casts the default of the struct itself, which is no type to cast from.
            cast(Some(schema), default.clone(), Target::String)?;
        }
        let schema = Schema { optional, ..basics_of(schema, struct_of(fields)?) };
        Ok(Plan { schema: Arc::new(schema), targets })
    }
}
