//! The framework's own keys.

use std::collections::BTreeSet;

use connect_core::{
    config::{Invalid, Properties, java_trim},
    plugin::{Delivery, Plugin, PluginType},
};
use regex::Regex;

use super::{Draft, connector_keys, info};
use crate::{topic_creation, versions};

/// A comma-separated list, trimmed.
pub(super) fn list(text: Option<&String>) -> Vec<String> {
    let items = text.map(String::as_str).unwrap_or_default().trim();
    if items.is_empty() {
        return Vec::new();
    }
    items.split(',').map(|item| item.trim().to_owned()).collect()
}

impl Draft<'_> {
    pub(super) fn framework(&mut self, plugin: &dyn Plugin) {
        self.define(connector_keys(plugin, Some(self.validator.worker)));
        self.name(plugin.ty());
        let unparsable = |value: &String| value.trim().parse::<i32>().is_err();
        if self.resolved.get("tasks.max").is_some_and(unparsable) {
            self.invalid.push(Invalid::value("tasks.max", "null", "Value must be non-null"));
        }
        self.recommend("connector.plugin.version", [plugin.version().to_owned()]);
        self.converter_classes();
        for key in ["transforms", "predicates", "topic.creation.groups"] {
            let aliases = list(self.resolved.get(key));
            let distinct: BTreeSet<&String> = aliases.iter().collect();
            if distinct.len() < aliases.len() {
                let given = format!("[{}]", aliases.join(", "));
                self.invalid.push(Invalid::value(key, &given, "Duplicate alias provided."));
            }
        }
        match plugin.ty() {
            PluginType::Source => self.source(plugin),
            PluginType::Sink => self.topics(),
        }
    }

    fn name(&mut self, ty: PluginType) {
        // Connect's parser trims every value before it is looked at.
        let Some(name) = self.resolved.get("name").map(|name| java_trim(name).to_owned()) else {
            return;
        };
        let controls = name.chars().filter(|c| (*c as u32) < 0x20 || *c as u32 == 0x7f);
        let controls: Vec<String> = controls.map(|c| (c as u32).to_string()).collect();
        if name.is_empty() {
            self.invalid.push(Invalid::value("name", "", "String may not be empty"));
        } else if !controls.is_empty() {
            let why = format!(
                "String may not contain control sequences but had the following ASCII chars: {}",
                controls.join(", ")
            );
            self.invalid.push(Invalid::value("name", &name, &why));
        }
        let group = &self.validator.worker.config.group_id;
        if ty == PluginType::Sink {
            let own = self.resolved.get("consumer.override.group.id");
            if let Some(own) = own {
                // As on the JVM, it is listed twice: here, where it is checked, and among the overrides.
                let undefined = info(None, "consumer.override.group.id", Some(own.clone()));
                self.infos.insert(0, undefined);
            }
            if own == Some(group) {
                let why =
                    format!("Consumer group {group} conflicts with Connect worker group {group}");
                self.invalid.push(Invalid::new("consumer.override.group.id", why));
            } else if own.is_none() && *group == format!("connect-{name}") {
                let why = format!(
                    "Consumer group for sink connector named {name} conflicts with Connect worker group {group}"
                );
                self.invalid.push(Invalid::new("name", why));
            }
        }
    }

    fn converter_classes(&mut self) {
        let registry = self.validator.registry;
        for kind in ["key", "value", "header"] {
            let key = format!("{kind}.converter");
            let find = |class: &str| match kind {
                "header" => registry.find_header_converter(class),
                _ => registry.find_converter(class),
            };
            let given = self.resolved.get(&key).cloned();
            let found = match &given {
                Some(class) => find(class),
                None => find(match kind {
                    "key" => &self.validator.worker.config.key_converter,
                    "value" => &self.validator.worker.config.value_converter,
                    _ => &self.validator.worker.config.header_converter,
                }),
            };
            if let (Some(class), None) = (&given, &found) {
                let interface = if kind == "header" { "HeaderConverter" } else { "Converter" };
                self.invalid.push(self.not_a(&key, class, interface));
                if !self.is_class(class) {
                    self.show(&key, None);
                    self.hide_version(kind);
                }
            }
            let all: Vec<String> = match kind {
                "header" => registry.header_converters().map(|c| c.name.to_owned()).collect(),
                _ => registry.converters().map(|c| c.name.to_owned()).collect(),
            };
            self.recommend(&key, all);
            let Some(found) = found else { continue };
            self.show(&key, Some(found.name.to_owned()));
            let version_key = format!("{key}.plugin.version");
            self.version(&version_key, given.map(|_| key.as_str()), found.name, found.version);
        }
    }

    /// Why a class is not what it is used as.
    pub(super) fn not_a(&self, key: &str, class: &str, interface: &str) -> Invalid {
        match self.is_class(class) {
            true => Invalid::new(
                key,
                format!("Class class {class} does not implement the {interface} interface"),
            ),
            false => Invalid::value(key, class, &format!("Class {class} could not be found.")),
        }
    }

    /// Whether there is a class of this name, of whatever use: a plugin, or one of Java's own, which people's
    /// configurations may well name by mistake.
    pub(super) fn is_class(&self, class: &str) -> bool {
        let registry = self.validator.registry;
        class.starts_with("java.")
            || registry.find_transformation(class).is_some()
            || registry.find_predicate(class).is_some()
            || registry.classes().any(|(name, _)| name == class)
            || registry.converters().chain(registry.header_converters()).any(|c| c.name == class)
    }

    /// Default, recommendation and check of a key that asks for a version; it is checked only where the configuration
    /// names the class itself, under `class_key`.
    pub(super) fn version(
        &mut self,
        key: &str,
        class_key: Option<&str>,
        class: &str,
        version: &str,
    ) {
        let given = self.resolved.get(key).cloned();
        if let Some(info) = self.infos.iter_mut().find(|info| info.value.name == key) {
            if let Some(definition) = &mut info.definition {
                definition.default = Some(version.to_owned());
            }
            if given.is_none() {
                info.value.value = Some(version.to_owned());
            }
        }
        self.recommend(key, [version.to_owned()]);
        let Some(class_key) = class_key else { return };
        match given.map(|range| versions::parse(&range)) {
            Some(Err(why)) => self.invalid.push(Invalid::new(key, why)),
            Some(Ok(range)) if !range.contains(version) => {
                let why = versions::missing(class, &range, version);
                self.invalid.push(Invalid::new(class_key, why.clone()));
                self.invalid.push(Invalid::new(key, why));
            }
            _ => {}
        }
    }

    fn source(&mut self, plugin: &dyn Plugin) {
        let given =
            |key: &str| self.resolved.get(key).map(|value| value.trim().to_ascii_lowercase());
        // Of a configuration that cannot be parsed, the errors of its keys are told.
        let properties = self.validator.worker.plugin_properties(&self.resolved);
        let delivery = plugin.delivery(&properties);
        if given("exactly.once.support").as_deref() == Some("required") {
            let why = match delivery {
                _ if !self.validator.worker.enables_exactly_once() => {
                    Some("This worker does not have exactly-once source support enabled.")
                }
                Some(Delivery { exactly_once: false, .. }) => Some(
                    "The connector does not support exactly-once semantics with the provided configuration.",
                ),
                _ => None,
            };
            self.invalid.extend(why.map(|why| Invalid::new("exactly.once.support", why)));
        }
        let bounds = delivery.is_none_or(|delivery| delivery.bounds_transactions);
        if given("transaction.boundary").as_deref() == Some("connector") && !bounds {
            let why = "The connector does not support connector-defined transaction boundaries with the given \
                       configuration. Please reconfigure it to use a different transaction boundary definition.";
            self.invalid.push(Invalid::new("transaction.boundary", why));
        }
        self.invalid.extend(topic_creation::check(&self.resolved));
    }

    fn topics(&mut self) {
        let text = |key: &str| self.resolved.get(key).map(|text| text.trim().to_owned());
        let (topics, regex) = (text("topics"), text("topics.regex"));
        let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let why = match (given(&topics), given(&regex)) {
            (false, false) => Some("Must configure one of topics or topics.regex"),
            (true, true) => {
                Some("topics and topics.regex are mutually exclusive options, but both are set.")
            }
            _ => None,
        };
        if let Some(why) = why {
            for key in ["topics", "topics.regex"] {
                self.invalid.push(Invalid::new(key, why));
            }
        }
        let names = list(topics.as_ref());
        let distinct: BTreeSet<&String> = names.iter().collect();
        if distinct.len() < names.len() {
            let why = "Configuration 'topics' values must not be duplicated.";
            self.invalid.push(Invalid::new("topics", why));
        } else if names.iter().any(String::is_empty) {
            let why = "Configuration 'topics' values must not be empty.";
            self.invalid.push(Invalid::new("topics", why));
        }
        let pattern = regex.filter(|regex| !regex.is_empty());
        let compiled = pattern.as_ref().map(|regex| Regex::new(&format!("^(?:{regex})$")));
        if let (Some(pattern), Some(Err(error))) = (&pattern, &compiled) {
            let why = format!("Invalid regex: {error}");
            self.invalid.push(Invalid::value("topics.regex", pattern, &why));
        }
        let queue = text("errors.deadletterqueue.topic.name").filter(|queue| !queue.is_empty());
        let Some(queue) = queue else { return };
        if names.contains(&queue) {
            let why = format!(
                "The DLQ topic '{queue}' may not be included in the list of topics ('topics=[{}]') consumed by \
                 the connector",
                names.join(", ")
            );
            self.invalid.push(Invalid::new("topics", why));
        }
        if let (Some(pattern), Some(Ok(compiled))) = (&pattern, &compiled)
            && compiled.is_match(&queue)
        {
            let why = format!(
                "The DLQ topic '{queue}' may not be matched by the regex for the topics \
                 ('topics.regex={pattern}') consumed by the connector"
            );
            self.invalid.push(Invalid::new("topics.regex", why));
        }
    }
}

/// The aliases below `transforms` or `predicates`.
pub(super) fn aliases(properties: &Properties, key: &str) -> Vec<String> {
    let mut aliases = list(properties.get(key));
    let mut seen = BTreeSet::new();
    // An empty one is kept, so that the comma too many is found.
    aliases.retain(|alias| seen.insert(alias.clone()));
    aliases
}
