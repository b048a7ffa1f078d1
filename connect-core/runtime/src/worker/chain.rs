//! The transformations of one task, in the order of the configuration, each with its predicate.

use connect_core::{
    config::{Properties, parse},
    error::{Error, Result},
    record::Record,
    registry::Registry,
    transform::{DynPredicate, DynTransformation, Fate},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::codec::Failed;
use crate::{config::below, errors::Stage};

struct Step {
    class: &'static str,
    transformation: Box<dyn DynTransformation>,
    /// With whether it is negated.
    predicate: Option<(Box<dyn DynPredicate>, bool)>,
}

/// Keys of an alias that the framework reads.
#[derive(Deserialize, JsonSchema)]
struct Alias {
    /// Class.
    #[serde(rename = "type")]
    class: String,
    /// Alias of the predicate.
    predicate: Option<String>,
    /// Whether the predicate is negated.
    #[serde(default)]
    negate: bool,
}

/// Transformations in order.
pub(super) struct Chain(Vec<Step>);

impl Chain {
    /// Builds what `transforms` and `predicates` name.
    pub(super) fn open(
        registry: &Registry,
        aliases: &[String],
        properties: &Properties,
    ) -> Result<Self> {
        let step = |alias: &String| {
            let own = below(properties, &format!("transforms.{alias}."));
            let keys: Alias = parse(&own).map_err(|e| e.context("transforms", alias))?;
            let class = registry.find_transformation(&keys.class).ok_or_else(|| {
                Error::config(format!(
                    "Invalid value {} for configuration transforms.{alias}.type: no such transformation",
                    keys.class
                ))
            })?;
            let predicate = keys.predicate.map(|name| predicate(registry, &name, properties));
            let transformation = class.open(&own).map_err(|e| e.context("transforms", alias))?;
            let class = class.name;
            Ok(Step {
                class,
                transformation,
                predicate: predicate.transpose()?.map(|p| (p, keys.negate)),
            })
        };
        aliases.iter().map(step).collect::<Result<_>>().map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a record through all of them, or until one drops it.
    pub(super) fn apply(
        &mut self,
        record: &mut Record,
        offset: Option<i64>,
    ) -> Result<Fate, Failed> {
        for step in &mut self.0 {
            if let Some((predicate, negated)) = &step.predicate
                && predicate.test(record) == *negated
            {
                continue;
            }
            let fate = step.transformation.apply(record, offset);
            if fate.map_err(|e| (Stage::Transformation(step.class), e))? == Fate::Drop {
                return Ok(Fate::Drop);
            }
        }
        Ok(Fate::Keep)
    }
}

fn predicate(
    registry: &Registry,
    alias: &str,
    properties: &Properties,
) -> Result<Box<dyn DynPredicate>> {
    let own = below(properties, &format!("predicates.{alias}."));
    let class = own.get("type").ok_or_else(|| {
        Error::config(format!(
            "There is no predicate {alias}: predicates.{alias}.type must name its class"
        ))
    })?;
    let found = registry.find_predicate(class).ok_or_else(|| {
        Error::config(format!(
            "Invalid value {class} for configuration predicates.{alias}.type: no such predicate"
        ))
    })?;
    found.open(&own).map_err(|e| e.context("predicates", alias))
}

#[cfg(test)]
mod tests {
    use connect_core::{
        data::Value,
        transform::{Predicate, Transformation},
    };

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    struct Suffix {
        suffix: String,
    }

    struct Append(Suffix);

    impl Transformation for Append {
        const NAME: &'static str = "Append";
        type Config = Suffix;
        fn new(config: Suffix) -> Result<Self> {
            Ok(Self(config))
        }
        fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
            let Value::String(text) = &record.value else { return Ok(Fate::Drop) };
            record.value = format!("{text}{}", self.0.suffix).into();
            Ok(Fate::Keep)
        }
    }

    struct EndsWith(Suffix);

    impl Predicate for EndsWith {
        const NAME: &'static str = "EndsWith";
        type Config = Suffix;
        fn new(config: Suffix) -> Result<Self> {
            Ok(Self(config))
        }
        fn test(&self, record: &Record) -> bool {
            record.value.as_str().is_some_and(|text| text.ends_with(&self.0.suffix))
        }
    }

    fn chain(pairs: &[(&str, &str)]) -> Result<Chain> {
        let properties: Properties =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let registry = Registry::default().transformation::<Append>().predicate::<EndsWith>();
        let aliases: Vec<String> = properties["transforms"].split(',').map(str::to_owned).collect();
        Chain::open(&registry, &aliases, &properties)
    }

    #[test]
    fn each_is_applied_where_its_predicate_holds() {
        let mut chain = chain(&[
            ("transforms", "a,b,c"),
            ("transforms.a.type", "Append"),
            ("transforms.a.suffix", "1"),
            ("transforms.b.type", "Append"),
            ("transforms.b.suffix", "2"),
            ("transforms.b.predicate", "p"),
            ("transforms.c.type", "Append"),
            ("transforms.c.suffix", "3"),
            ("transforms.c.predicate", "p"),
            ("transforms.c.negate", "true"),
            ("predicates.p.type", "EndsWith"),
            ("predicates.p.suffix", "x1"),
        ])
        .unwrap();
        let mut apply = |text: &str| {
            let mut record = Record::text(text);
            assert_eq!(chain.apply(&mut record, None).unwrap(), Fate::Keep);
            record.value.as_str().unwrap().to_owned()
        };
        assert_eq!(apply("x"), "x123");
        assert_eq!(apply("y"), "y13");
        let mut other = Record { value: Value::Int64(1), ..Record::default() };
        assert_eq!(chain.apply(&mut other, None).unwrap(), Fate::Drop);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (pairs, named) in [
            (vec![("transforms", "a")], "\"type\""),
            (vec![("transforms", "a"), ("transforms.a.type", "No")], "transforms.a.type"),
            (
                vec![
                    ("transforms", "a"),
                    ("transforms.a.type", "Append"),
                    ("transforms.a.suffix", ""),
                    ("transforms.a.predicate", "nope"),
                ],
                "predicates.nope.type",
            ),
        ] {
            let error = chain(&pairs).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
