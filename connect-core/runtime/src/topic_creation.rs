//! Topics that a worker creates for its sources (`topic.creation.*`, KIP-158).

use std::collections::{BTreeMap, HashSet};

use connect_core::{
    config::{Invalid, Properties},
    data::Text,
    error::{Error, Result},
    transport::{NewTopic, Transport},
};
use regex::Regex;

use crate::config::below;

const PREFIX: &str = "topic.creation.";
const DEFAULT: &str = "default";

/// Settings for the topics whose names match.
struct Group {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    properties: BTreeMap<String, String>,
}

/// The groups of a connector, the default one last.
pub(crate) struct TopicCreation {
    groups: Vec<Group>,
    /// Topics that are there.
    known: HashSet<Text>,
}

/// The names of the groups, the default one last; none where the connector leaves its topics to the brokers.
fn names(config: &Properties) -> Vec<String> {
    if !config.keys().any(|key| key.starts_with("topic.creation.default.")) {
        return Vec::new();
    }
    let listed = config.get("topic.creation.groups").map(String::as_str).unwrap_or_default();
    let listed = listed.split(',').map(str::trim).filter(|name| !name.is_empty());
    listed.filter(|name| *name != DEFAULT).chain([DEFAULT]).map(str::to_owned).collect()
}

/// What is wrong with the `topic.creation.` keys.
pub(crate) fn check(config: &Properties) -> Vec<Invalid> {
    let mut invalid = Vec::new();
    let groups = config.get("topic.creation.groups").filter(|text| !text.trim().is_empty());
    if let (Some(groups), true) = (groups, names(config).is_empty()) {
        let why = "topic.creation.default.replication.factor and topic.creation.default.partitions must be set too";
        invalid.push(Invalid::value("topic.creation.groups", groups, why));
    }
    for name in names(config) {
        let _ = Group::parse(config, &name, &mut invalid);
    }
    invalid
}

impl Group {
    fn parse(config: &Properties, name: &str, invalid: &mut Vec<Invalid>) -> Self {
        let prefix = format!("{PREFIX}{name}.");
        let mut own = below(config, &prefix);
        let mut patterns = |key: &str, required: bool| {
            let text = own.remove(key).unwrap_or_default();
            let listed = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let mut compiled = Vec::new();
            for pattern in listed {
                match Regex::new(&format!("^(?:{pattern})$")) {
                    Ok(regex) => compiled.push(regex),
                    Err(e) => {
                        let why = format!("Invalid regex: {e}");
                        invalid.push(Invalid::value(&format!("{prefix}{key}"), pattern, &why));
                    }
                }
            }
            if required && text.trim().is_empty() {
                invalid.push(Invalid::missing(&format!("{prefix}{key}")));
            }
            compiled
        };
        let is_default = name == DEFAULT;
        let include = patterns("include", !is_default);
        let exclude = patterns("exclude", false);
        let mut number = |key: &str, most: i32| {
            let full = format!("{prefix}{key}");
            let Some(text) = own.remove(key) else {
                if is_default {
                    invalid.push(Invalid::missing(&full));
                }
                return None;
            };
            match text.trim().parse::<i32>() {
                Ok(n) if (n > 0 && n <= most) || n == -1 => Some(n),
                _ => {
                    let why = format!("Value must be -1, or a number from 1 to {most}");
                    invalid.push(Invalid::value(&full, &text, &why));
                    None
                }
            }
        };
        let replication_factor = number("replication.factor", i32::from(i16::MAX));
        let partitions = number("partitions", i32::MAX);
        Self {
            include,
            exclude,
            partitions,
            replication_factor: replication_factor.and_then(|n| i16::try_from(n).ok()),
            properties: own,
        }
    }

    fn matches(&self, topic: &str) -> bool {
        let any = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(topic));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl TopicCreation {
    /// Reads the groups; none where the connector leaves its topics to the brokers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config), naming every bad key.
    pub(crate) fn open(config: &Properties) -> Result<Option<Self>> {
        let mut invalid = Vec::new();
        let names = names(config);
        let groups: Vec<Group> =
            names.iter().map(|name| Group::parse(config, name, &mut invalid)).collect();
        if !invalid.is_empty() {
            let all: Vec<String> = invalid.iter().map(Invalid::message).collect();
            return Err(Error::config(all.join("\n")));
        }
        let known = HashSet::new();
        Ok((!groups.is_empty()).then_some(Self { groups, known }))
    }

    /// Creates a topic that is missing, with the settings of the first group that it matches, for the rest those of
    /// the default group.
    pub(crate) async fn ensure(&mut self, transport: &dyn Transport, topic: &Text) -> Result<()> {
        if self.known.contains(topic) {
            return Ok(());
        }
        if transport.topic(topic).await?.is_none() {
            let new = self.settings(topic);
            tracing::info!(%topic, partitions = new.partitions, "creating a topic");
            transport.create_topic(&new).await?;
        }
        self.known.insert(topic.clone());
        Ok(())
    }

    fn settings(&self, topic: &str) -> NewTopic {
        let default = self.groups.last();
        let group = self.groups.iter().find(|group| group.matches(topic)).or(default);
        let partitions = group.and_then(|g| g.partitions).or(default.and_then(|g| g.partitions));
        let replication = group.and_then(|g| g.replication_factor);
        let replication = replication.or(default.and_then(|g| g.replication_factor));
        let mut properties = group.map(|group| group.properties.clone()).unwrap_or_default();
        let compacted = properties.get("cleanup.policy").is_some_and(|policy| policy == "compact");
        if compacted {
            properties.remove("cleanup.policy");
        }
        NewTopic {
            name: topic.to_owned(),
            // -1 is the brokers' default.
            partitions: partitions.filter(|n| *n > 0),
            replication_factor: replication.filter(|n| *n > 0),
            compacted,
            properties,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(k, v)| (format!("{PREFIX}{k}"), (*v).to_owned())).collect()
    }

    #[test]
    fn the_first_group_that_matches_decides() {
        let config = config(&[
            ("groups", "compacted, big"),
            ("default.replication.factor", "1"),
            ("default.partitions", "2"),
            ("compacted.include", "table-.*"),
            ("compacted.exclude", "table-x.*"),
            ("compacted.cleanup.policy", "compact"),
            ("big.include", ".*-big,huge"),
            ("big.partitions", "9"),
            ("big.retention.ms", "5"),
        ]);
        assert!(check(&config).is_empty());
        let creation = TopicCreation::open(&config).unwrap().unwrap();
        let compacted = creation.settings("table-big");
        assert!(compacted.compacted && compacted.partitions == Some(2));
        let big = creation.settings("table-x-big");
        assert!(!big.compacted && big.partitions == Some(9));
        assert_eq!(big.properties["retention.ms"], "5");
        assert_eq!(creation.settings("other").replication_factor, Some(1));
    }

    #[test]
    fn bad_keys_are_named() {
        assert!(check(&Properties::new()).is_empty());
        assert!(TopicCreation::open(&Properties::new()).unwrap().is_none());
        let wrong = config(&[("groups", "a"), ("default.partitions", "none"), ("a.exclude", "(")]);
        let invalid = check(&wrong);
        let keys: Vec<_> = invalid.iter().map(|i| i.key.trim_start_matches(PREFIX)).collect();
        let expected =
            ["a.exclude", "a.include", "default.replication.factor", "default.partitions"];
        let mut keys = keys;
        keys.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(check(&config(&[("groups", "a")]))[0].key, "topic.creation.groups");
    }
}
