//! The keys that a configuration adds by naming transformations, predicates and converters
//! (`org.apache.kafka.connect.runtime.ConnectorConfig.enrich`).

use connect_core::{
    config::{ConfigKey, ConfigType, Invalid, Properties},
    registry::{Class, Registry},
};

use super::{Draft, converter_properties, framework::aliases};
use crate::config::below;

/// A key that the framework defines for an alias.
fn key(name: String, ty: ConfigType, documentation: &str) -> ConfigKey {
    let (importance, width) = ("HIGH".into(), "LONG".into());
    ConfigKey { importance, width, ..ConfigKey::new(name, ty, documentation) }
}

/// What the two kinds of aliases differ in.
struct Kind {
    /// `transforms` or `predicates`.
    list: &'static str,
    /// `Transforms` or `Predicates`.
    group: &'static str,
    /// `Transformation` or `Predicate`.
    interface: &'static str,
}

const TRANSFORMATION: Kind =
    Kind { list: "transforms", group: "Transforms", interface: "Transformation" };
const PREDICATE: Kind = Kind { list: "predicates", group: "Predicates", interface: "Predicate" };

impl Kind {
    fn prefix(&self, alias: &str) -> String {
        format!("{}.{alias}.", self.list)
    }

    fn type_keys(&self, alias: &str) -> [ConfigKey; 2] {
        let (prefix, group) = (self.prefix(alias), format!("{}: {alias}", self.group));
        let what = self.interface;
        let ty = ConfigKey {
            required: true,
            group: Some(group.clone()),
            order: 0,
            display_name: format!("{what} type for {alias}"),
            ..key(
                format!("{prefix}type"),
                ConfigType::Class,
                &format!("Class for the '{alias}' {}.", what.to_lowercase()),
            )
        };
        let version = ConfigKey {
            group: Some(group),
            order: 1,
            display_name: format!("{what} version for {alias}"),
            ..key(
                format!("{prefix}plugin.version"),
                ConfigType::String,
                &format!("Version of the '{alias}' {}.", what.to_lowercase()),
            )
        };
        [ty, version]
    }

    /// The plugin's own keys below the alias (`ConfigDef.embed`): what is required first, then by importance and name.
    fn embed(&self, alias: &str, mut own: Vec<ConfigKey>) -> Vec<ConfigKey> {
        own.sort_by_key(|key| {
            let importance = ["HIGH", "MEDIUM", "LOW"].iter().position(|i| *i == key.importance);
            (!key.required, importance, key.name.clone())
        });
        let (prefix, group) = (self.prefix(alias), format!("{}: {alias}", self.group));
        let own = own.into_iter().zip(2..).map(|(key, order)| ConfigKey {
            name: format!("{prefix}{}", key.name),
            group: Some(match &key.group {
                Some(own) => format!("{group}: {own}"),
                None => group.clone(),
            }),
            order,
            ..key
        });
        own.collect()
    }
}

fn predicate_keys() -> [ConfigKey; 2] {
    let medium = |name: &str, ty, default: Option<&str>, doc: &str| ConfigKey {
        default: default.map(str::to_owned),
        ..ConfigKey::new(name, ty, doc)
    };
    [
        medium(
            "predicate",
            ConfigType::String,
            None,
            "The alias of a predicate used to determine whether to apply this transformation.",
        ),
        medium(
            "negate",
            ConfigType::Boolean,
            Some("false"),
            "Whether the configured predicate should be negated.",
        ),
    ]
}

fn nested_in(class: &str, outer: &str) -> bool {
    class.strip_prefix(outer).is_some_and(|rest| rest.starts_with('$'))
}

/// The keys of every transformation and predicate that a configuration names.
pub(super) fn keys(registry: &Registry, config: &Properties) -> Vec<ConfigKey> {
    let class = |kind: &Kind, alias: &str| config.get(&format!("{}type", kind.prefix(alias)));
    let mut keys = Vec::new();
    for alias in aliases(config, TRANSFORMATION.list) {
        let found = class(&TRANSFORMATION, &alias).and_then(|c| registry.find_transformation(c));
        keys.extend(found.into_iter().flat_map(|f| TRANSFORMATION.embed(&alias, f.config_def())));
    }
    for alias in aliases(config, PREDICATE.list) {
        let found = class(&PREDICATE, &alias).and_then(|c| registry.find_predicate(c));
        keys.extend(found.into_iter().flat_map(|f| PREDICATE.embed(&alias, f.config_def())));
    }
    keys
}

impl Draft<'_> {
    pub(super) fn transformations(&mut self) {
        let registry = self.validator.registry;
        for alias in aliases(&self.resolved, "transforms") {
            let all = registry.transformations().map(|class| class.name.to_owned()).collect();
            let find = |class: &str| registry.find_transformation(class);
            self.alias(&TRANSFORMATION, &alias, all, &find, predicate_keys().into());
            let prefix = TRANSFORMATION.prefix(&alias);
            let given = |key: &str| self.resolved.contains_key(&format!("{prefix}{key}"));
            if given("negate") && !given("predicate") {
                let why = format!(
                    "Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a \
                     predicate to be negated."
                );
                self.invalid.push(Invalid::new(format!("{prefix}type"), why));
            }
        }
    }

    pub(super) fn predicates(&mut self) {
        let registry = self.validator.registry;
        for alias in aliases(&self.resolved, "predicates") {
            let all = registry.predicates().map(|class| class.name.to_owned()).collect();
            let find = |class: &str| registry.find_predicate(class);
            self.alias(&PREDICATE, &alias, all, &find, Vec::new());
        }
    }

    fn alias<T: ?Sized>(
        &mut self,
        kind: &Kind,
        alias: &str,
        all: Vec<String>,
        find: &dyn Fn(&str) -> Option<Class<T>>,
        more: Vec<ConfigKey>,
    ) {
        let prefix = kind.prefix(alias);
        self.define(kind.type_keys(alias).into());
        let type_key = format!("{prefix}type");
        let class = self.resolved.get(&type_key).cloned();
        let found = class.as_deref().and_then(find);
        if let (Some(class), None) = (&class, &found) {
            self.invalid.push(self.no_class(kind, &type_key, class, &all));
            if !self.is_class(class) && !all.iter().any(|known| nested_in(known, class)) {
                self.show(&type_key, None);
            }
        }
        self.recommend(&type_key, all);
        let Some(found) = found else { return };
        let version_key = format!("{prefix}plugin.version");
        self.version(&version_key, Some(&type_key), found.name, found.version);
        if self.invalid.iter().any(|invalid| invalid.key == version_key) {
            return;
        }
        let mut own = found.config_def();
        own.extend(more);
        let keys = kind.embed(alias, own);
        let before = self.invalid.len();
        for key in keys {
            self.check(&key, &prefix, true);
            self.list(key);
        }
        if self.invalid.len() == before {
            let whole = found.validate(&below(&self.resolved, &prefix));
            self.invalid.extend(whole.into_iter().map(|invalid| invalid.below(&prefix, false)));
        }
    }

    fn no_class(&self, kind: &Kind, key: &str, class: &str, all: &[String]) -> Invalid {
        let nested: Vec<&str> =
            all.iter().map(String::as_str).filter(|known| nested_in(known, class)).collect();
        if nested.is_empty() {
            return self.not_a(key, class, kind.interface);
        }
        let why = format!(
            "This class is abstract and cannot be created. Did you mean {}?",
            nested.join(", ")
        );
        Invalid::new(key, why)
    }

    /// The keys of the converters that the configuration itself names.
    pub(super) fn converters(&mut self) {
        let registry = self.validator.registry;
        for kind in ["key", "value", "header"] {
            let Some(class) = self.resolved.get(&format!("{kind}.converter")) else { continue };
            let found = match kind {
                "header" => registry.find_header_converter(class),
                _ => registry.find_converter(class),
            };
            let Some(found) = found else { continue };
            let version = format!("{kind}.converter.plugin.version");
            if self.invalid.iter().any(|invalid| invalid.key == version) {
                continue;
            }
            let prefix = format!("{kind}.converter.");
            // So that the framework's own value is checked and shown.
            let type_key = format!("{prefix}converter.type");
            let given = (self.raw.clone(), self.resolved.clone());
            self.raw.insert(type_key.clone(), kind.to_owned());
            self.resolved.insert(type_key, kind.to_owned());
            let before = self.invalid.len();
            for key in found.config_def() {
                let key = ConfigKey { name: format!("{prefix}{}", key.name), ..key };
                self.check(&key, &prefix, false);
                self.list(key);
            }
            if self.invalid.len() == before {
                let whole = found.validate(&converter_properties(&self.resolved, kind));
                self.invalid.extend(whole.into_iter().map(|i| i.below(&prefix, false)));
            }
            (self.raw, self.resolved) = given;
        }
    }
}
