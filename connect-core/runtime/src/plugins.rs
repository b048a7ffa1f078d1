//! What a registry holds, as REST lists and describes it.

use std::collections::BTreeSet;

use connect_core::{
    config::{ConfigKey, Properties},
    plugin::PluginType,
    registry::{Class, Registry},
};

use crate::{
    herder::{PluginInfo, PluginKind, Refusal},
    validate::connector_keys,
    versions,
};

fn infos<T: ?Sized + 'static>(
    classes: impl Iterator<Item = Class<T>>,
    kind: PluginKind,
) -> impl Iterator<Item = PluginInfo> {
    classes.map(move |class| PluginInfo { class: class.name, kind, version: class.version })
}

/// The plugins: sinks, sources, transformations, predicates, converters, header converters, each kind in
/// alphabetical order.
pub fn list(registry: &Registry) -> Vec<PluginInfo> {
    let connectors = registry.classes().map(|(class, plugin)| PluginInfo {
        class,
        kind: match plugin.ty() {
            PluginType::Source => PluginKind::Source,
            PluginType::Sink => PluginKind::Sink,
        },
        version: plugin.version(),
    });
    let mut all: Vec<PluginInfo> = connectors.collect();
    all.extend(infos(registry.transformations(), PluginKind::Transformation));
    all.extend(infos(registry.predicates(), PluginKind::Predicate));
    all.extend(infos(registry.converters(), PluginKind::Converter));
    all.extend(infos(registry.header_converters(), PluginKind::HeaderConverter));
    all.sort_by_key(|plugin| plugin.kind);
    all
}

/// Definitions of the keys of a plugin: its own, then, of a connector, the framework's.
///
/// # Errors
/// 404 for a plugin that is not known, 400 for a version that isn't there.
pub fn keys(
    registry: &Registry,
    plugin: &str,
    version: Option<&str>,
) -> Result<Vec<ConfigKey>, Refusal> {
    let check = |class: &str, available: &str| match version.map(versions::parse) {
        Some(Err(_)) => {
            let version = version.unwrap_or_default();
            Err(Refusal::BadRequest(format!("Invalid version specification: {version}")))
        }
        Some(Ok(range)) if !range.contains(available) => {
            Err(Refusal::BadRequest(versions::missing(class, &range, available)))
        }
        _ => Ok(()),
    };
    if let Some(found) = registry.find(plugin, &Properties::new()) {
        check(registry.full_name(plugin).unwrap_or(plugin), found.version())?;
        let mut keys = found.config_def();
        let own: BTreeSet<String> = keys.iter().map(|key| key.name.clone()).collect();
        let framework = connector_keys(&*found, None).into_iter();
        keys.extend(framework.filter(|key| !own.contains(&key.name)));
        return Ok(keys);
    }
    // Here, and only here, the JVM takes the name of a transformation without its package.
    let named = |name: &str| {
        name == plugin || (name.rsplit('.').next() == Some(plugin) && !name.contains('$'))
    };
    let found = registry.transformations().find(|class| named(class.name)).map(parts);
    let found = found.or_else(|| registry.predicates().find(|c| named(c.name)).map(parts));
    let found = found.or_else(|| registry.find_converter(plugin).map(parts));
    let found = found.or_else(|| registry.find_header_converter(plugin).map(parts));
    let (keys, name, available) =
        found.ok_or_else(|| Refusal::NotFound(format!("Unknown plugin {plugin}.")))?;
    check(name, available)?;
    Ok(keys)
}

fn parts<T: ?Sized>(class: Class<T>) -> (Vec<ConfigKey>, &'static str, &'static str) {
    (class.config_def(), class.name, class.version)
}
