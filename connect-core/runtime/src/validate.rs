//! Validation of a connector's configuration (`org.apache.kafka.connect.runtime.AbstractHerder.validateConnectorConfig`):
//! every key with its definition, its value and what is wrong with it.

mod enriched;
mod framework;

use std::collections::{BTreeMap, BTreeSet};

use connect_core::{
    config::{ConfigKey, ConfigType, Invalid, Properties, config_def},
    plugin::{Plugin, PluginType},
    registry::Registry,
};

use crate::{
    clients,
    config::{ConnectorConfig, Worker, below, framework_keys},
    herder::Refusal,
    providers::Providers,
    versions,
};

/// A configuration as it was sent: null values are kept, to be refused by name.
pub type Submitted = BTreeMap<String, Option<String>>;

/// What stands in place of a password.
pub const HIDDEN: &str = "[hidden]";

/// A configuration, checked (`ConfigInfos`).
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigInfos {
    /// `connector.class` as given.
    pub name: String,
    /// Headings, in order.
    pub groups: Vec<String>,
    /// The keys, in order.
    pub configs: Vec<ConfigInfo>,
}

impl ConfigInfos {
    /// Number of errors.
    pub fn error_count(&self) -> usize {
        self.errors().count()
    }
    /// All errors, in the order of the keys.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.configs.iter().flat_map(|info| &info.value.errors).map(String::as_str)
    }
}

/// A key.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigInfo {
    /// Its definition; none of a key that nothing defines.
    pub definition: Option<ConfigKey>,
    /// Its value.
    pub value: ConfigValue,
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigValue {
    /// The key.
    pub name: String,
    /// The value after parsing; none if there is none, or none that can be parsed. Never a password.
    pub value: Option<String>,
    /// Values to choose from.
    pub recommended: Vec<String>,
    /// What is wrong with it.
    pub errors: Vec<String>,
    /// Whether it is of use: a version is not, where its class is not known.
    pub visible: bool,
}

/// What validation needs to know.
pub(crate) struct Validator<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) worker: &'a Worker,
    pub(crate) providers: &'a Providers,
}

/// A configuration on its way through validation.
struct Draft<'a> {
    /// As sent, without the nulls.
    raw: Properties,
    /// With the values that the config providers give.
    resolved: Properties,
    infos: Vec<ConfigInfo>,
    invalid: Vec<Invalid>,
    /// Keys for which a config provider has no value.
    unresolved: Vec<Invalid>,
    validator: &'a Validator<'a>,
}

impl Validator<'_> {
    /// The plugin that a configuration names.
    ///
    /// # Errors
    /// 400 if it names none, or one that is not known.
    pub(crate) fn plugin(
        &self,
        config: &Properties,
    ) -> Result<std::sync::Arc<dyn Plugin>, Refusal> {
        let Some(class) = config.get("connector.class") else {
            // Only the name is shown: the other values may be passwords.
            let shown = config.iter().map(|(key, value)| match key.as_str() {
                "name" => format!("name={value}"),
                _ => format!("{key}={HIDDEN}"),
            });
            let shown = shown.collect::<Vec<_>>().join(", ");
            let message = format!("Connector config {{{shown}}} contains no connector type");
            return Err(Refusal::BadRequest(message));
        };
        self.registry.find(class, config).ok_or_else(|| {
            let known = self.registry.classes().map(|(class, plugin)| {
                let (ty, version) = (plugin.ty().name(), plugin.version());
                format!("PluginDesc{{klass=class {class}, name='{class}', version='{version}', encodedVersion={version}, type={ty}, typeName='{ty}'}}")
            });
            Refusal::BadRequest(format!(
                "Failed to find any class that implements Connector and which name matches {class}, \
                 available connectors are: {}",
                known.collect::<Vec<_>>().join(", ")
            ))
        })
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// 400 if it names no connector that is known, or a version range that cannot be read.
    pub(crate) async fn validate(&self, submitted: &Submitted) -> Result<ConfigInfos, Refusal> {
        let given = submitted.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?)));
        let raw: Properties = given.collect();
        let plugin = self.plugin(&raw)?;
        let name = raw.get("connector.class").cloned().unwrap_or_default();
        let mut draft = Draft {
            resolved: Properties::new(),
            raw,
            infos: Vec::new(),
            invalid: Vec::new(),
            unresolved: Vec::new(),
            validator: self,
        };
        draft.resolve();
        let nulls = submitted.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| {
            Invalid::new(key, "Null value can not be supplied as the configuration value.")
        });
        if draft.wrong_version(&*plugin)? {
            draft.define(version_keys(&*plugin));
            for kind in ["key", "value", "header"] {
                draft.hide_version(kind);
            }
            return Ok(draft.finish(name));
        }
        draft.framework(&*plugin);
        draft.transformations();
        draft.predicates();
        draft.own(&*plugin).await;
        draft.client_overrides(plugin.ty())?;
        draft.converters();
        let known: BTreeSet<String> =
            draft.infos.iter().map(|info| info.value.name.clone()).collect();
        for null in nulls {
            // One error is enough: a key that is null is not also missing.
            draft.invalid.retain(|invalid| invalid.key != null.key);
            if !known.contains(&null.key) {
                draft.infos.insert(0, info(None, &null.key, None));
            }
            if null.key == "tasks.max" {
                draft.invalid.push(Invalid::value("tasks.max", "null", "Value must be non-null"));
            }
            for info in draft.infos.iter_mut().filter(|info| info.value.name == null.key) {
                info.value.value = None;
            }
            draft.invalid.push(null);
        }
        Ok(draft.finish(name))
    }

    /// The keys of a configuration whose values are passwords.
    pub(crate) fn password_keys(&self, config: &Properties) -> BTreeSet<String> {
        let Ok(plugin) = self.plugin(config) else { return BTreeSet::new() };
        let mut keys = plugin.config_def();
        keys.extend(enriched::keys(self.registry, config));
        keys.extend(clients::overrides(config).filter_map(|(_, definition, _)| definition));
        let secret = keys.into_iter().filter(|key| key.ty == ConfigType::Password);
        secret.map(|key| key.name).filter(|key| config.contains_key(key)).collect()
    }
}

fn info(definition: Option<ConfigKey>, name: &str, value: Option<String>) -> ConfigInfo {
    let (recommended, errors) = (Vec::new(), Vec::new());
    let name = name.to_owned();
    let value = ConfigValue { name, value, recommended, errors, visible: true };
    ConfigInfo { definition, value }
}

/// The framework's keys with what only this worker and this plugin know: defaults.
pub(crate) fn connector_keys(plugin: &dyn Plugin, worker: Option<&Worker>) -> Vec<ConfigKey> {
    let mut keys = framework_keys(plugin.ty());
    for key in &mut keys {
        let converter = |class: fn(&Worker) -> &String| worker.map(|worker| class(worker).clone());
        match key.name.as_str() {
            "connector.plugin.version" => key.default = Some(plugin.version().to_owned()),
            "key.converter" => key.default = converter(|worker| &worker.config.key_converter),
            "value.converter" => key.default = converter(|worker| &worker.config.value_converter),
            "header.converter" => key.default = converter(|worker| &worker.config.header_converter),
            _ => {}
        }
    }
    keys
}

/// What is shown where the connector's version is wrong: nothing is known of its own keys.
fn version_keys(plugin: &dyn Plugin) -> Vec<ConfigKey> {
    let common = config_def::<ConnectorConfig>();
    let mut keys = connector_keys(plugin, None);
    keys.retain(|key| common.iter().any(|known| known.name == key.name));
    keys
}

impl Draft<'_> {
    fn resolve(&mut self) {
        for (key, value) in &self.raw {
            match self.validator.providers.resolve(value) {
                Ok(value) => drop(self.resolved.insert(key.clone(), value)),
                Err(error) => {
                    self.resolved.insert(key.clone(), value.clone());
                    let why = error.to_string();
                    self.unresolved.push(Invalid::value(key, value, &why));
                }
            }
        }
    }

    /// Whether the configuration asks for a version of its connector that isn't there.
    fn wrong_version(&mut self, plugin: &dyn Plugin) -> Result<bool, Refusal> {
        let Some(range) = self.resolved.get("connector.plugin.version") else { return Ok(false) };
        let range = versions::parse(range).map_err(Refusal::BadRequest)?;
        if range.contains(plugin.version()) {
            return Ok(false);
        }
        let class = self.raw.get("connector.class").map(String::as_str).unwrap_or_default();
        let class = self.validator.registry.full_name(class).unwrap_or(class);
        let why = versions::missing(class, &range, plugin.version());
        for key in ["connector.class", "connector.plugin.version"] {
            self.invalid.push(Invalid::new(key, why.clone()));
        }
        Ok(true)
    }

    /// Adds keys with their values and what each is wrong by itself.
    fn define(&mut self, keys: Vec<ConfigKey>) {
        for key in keys {
            self.check(&key, "", false);
            self.list(key);
        }
    }

    /// Checks a key that stands below a prefix by itself. As on the JVM, validators don't name the prefix, and the
    /// parser names it only where told to.
    fn check(&mut self, key: &ConfigKey, prefix: &str, parser_names_it: bool) {
        let name = key.name.strip_prefix(prefix).unwrap_or(&key.name);
        let bare = ConfigKey { name: name.to_owned(), ..key.clone() };
        let value = self.resolved.get(&key.name);
        let invalid = match bare.check_type(value) {
            Some(invalid) => Some(invalid.below(prefix, parser_names_it)),
            None => bare.check(value).map(|invalid| invalid.below(prefix, false)),
        };
        self.invalid.extend(invalid);
    }

    fn list(&mut self, key: ConfigKey) {
        let raw = self.raw.get(&key.name);
        let value = match raw {
            // A variable is shown as it was written, whatever it stands for.
            Some(text) if Providers::has_variable(text) && key.ty != ConfigType::Password => {
                Some(text.clone())
            }
            _ => key.shown(raw),
        };
        let name = key.name.clone();
        // A connector's own definition takes the place of the framework's.
        match self.infos.iter_mut().find(|info| info.value.name == name) {
            Some(known) => *known = info(Some(key), &name, value),
            None => self.infos.push(info(Some(key), &name, value)),
        }
    }

    /// Shows nothing of a converter that is not known.
    fn hide_version(&mut self, kind: &str) {
        let version = format!("{kind}.converter.plugin.version");
        for info in &mut self.infos {
            info.value.visible &= info.value.name != version;
        }
    }

    fn show(&mut self, key: &str, value: Option<String>) {
        if let Some(info) = self.infos.iter_mut().find(|info| info.value.name == key) {
            info.value.value = value;
        }
    }

    fn recommend(&mut self, key: &str, values: impl IntoIterator<Item = String>) {
        if let Some(info) = self.infos.iter_mut().find(|info| info.value.name == key) {
            info.value.recommended = values.into_iter().collect();
        }
    }

    async fn own(&mut self, plugin: &dyn Plugin) {
        for key in plugin.config_def() {
            self.invalid.retain(|invalid| invalid.key != key.name);
            self.list(key);
        }
        let properties = self.validator.worker.plugin_properties(&self.resolved);
        self.invalid.extend(plugin.validate(&properties).await);
    }

    /// One that cannot be parsed is refused as a whole, as the JVM does (with 500).
    fn client_overrides(&mut self, ty: PluginType) -> Result<(), Refusal> {
        let found: Vec<_> = clients::overrides(&self.raw)
            .filter(|(_, _, kind)| kind.used_by(ty, &self.raw))
            .map(|(key, definition, kind)| (key.to_owned(), definition, kind))
            .collect();
        for (key, definition, kind) in found {
            let bare = key.strip_prefix(kind.prefix()).unwrap_or(&key);
            let forbidden = self.validator.worker.forbids_override(bare);
            self.invalid.extend(forbidden.map(|why| Invalid::new(&key, why)));
            match definition {
                Some(definition) => {
                    let given = self.resolved.get(&key);
                    if let Some(invalid) = definition.check_type(given) {
                        return Err(Refusal::BadRequest(self.hide(&invalid)));
                    }
                    let value = definition.shown(self.raw.get(&key));
                    self.infos.push(info(Some(definition), &key, value));
                }
                // What has no definition comes first.
                None => self.infos.insert(0, info(None, &key, self.raw.get(&key).cloned())),
            }
        }
        Ok(())
    }

    fn finish(mut self, name: String) -> ConfigInfos {
        // What a variable stands for is all that is wrong with it.
        let unresolved = std::mem::take(&mut self.unresolved);
        self.invalid.retain(|invalid| !unresolved.iter().any(|u| u.key == invalid.key));
        self.invalid.extend(unresolved);
        for invalid in &self.invalid {
            let message = self.hide(invalid);
            match self.infos.iter_mut().find(|info| info.value.name == invalid.key) {
                Some(info) => info.value.errors.push(message),
                None => {
                    let mut unknown = info(None, &invalid.key, None);
                    unknown.value.errors.push(message);
                    self.infos.insert(0, unknown);
                }
            }
        }
        let mut groups = Vec::<String>::new();
        for group in self.infos.iter().filter_map(|info| info.definition.as_ref()?.group.as_ref()) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        ConfigInfos { name, groups, configs: self.infos }
    }

    /// The message, without what a config provider gave.
    fn hide(&self, invalid: &Invalid) -> String {
        let message = invalid.message();
        match (self.raw.get(&invalid.key), self.resolved.get(&invalid.key)) {
            (Some(raw), Some(resolved)) if raw != resolved && !resolved.is_empty() => {
                message.replace(resolved.as_str(), raw)
            }
            _ => message,
        }
    }
}

/// The properties of a converter: those below its prefix, and what it converts.
pub(crate) fn converter_properties(properties: &Properties, kind: &str) -> Properties {
    let mut own = below(properties, &format!("{kind}.converter."));
    own.insert("converter.type".into(), kind.to_owned());
    own
}
