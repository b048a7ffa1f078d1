//! Definitions of the Kafka clients' settings, for `producer.override.` and its like. `clients.json` was printed from
//! the client classes of Apache Kafka 4.3.1: type, importance and default of each key; a required one has none.

use std::{collections::BTreeMap, sync::LazyLock};

use connect_core::{
    config::{ConfigKey, ConfigType, Properties},
    plugin::PluginType,
};

/// A client that a connector may override the settings of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientKind {
    Producer,
    Consumer,
    Admin,
}

impl ClientKind {
    const ALL: [Self; 3] = [Self::Producer, Self::Consumer, Self::Admin];

    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Producer => "producer.override.",
            Self::Consumer => "consumer.override.",
            Self::Admin => "admin.override.",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Admin => "admin",
        }
    }

    /// Whether a connector of this type has such a client.
    pub(crate) fn used_by(self, ty: PluginType, config: &Properties) -> bool {
        let queue = config.get("errors.deadletterqueue.topic.name");
        let queue = queue.is_some_and(|topic| !topic.trim().is_empty());
        let creates = || config.keys().any(|key| key.starts_with("topic.creation.default."));
        match (self, ty) {
            (Self::Producer | Self::Admin, PluginType::Sink) => queue,
            (Self::Admin, PluginType::Source) => queue || creates(),
            (Self::Consumer, PluginType::Source) => false,
            _ => true,
        }
    }
}

type Definitions = BTreeMap<String, BTreeMap<String, Vec<Option<String>>>>;

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    // The file is part of this program; a test reads it.
    serde_json::from_str(include_str!("clients.json")).unwrap_or_default()
});

fn definition(kind: ClientKind, key: &str) -> Option<ConfigKey> {
    let row = DEFINITIONS.get(kind.name())?.get(key)?;
    let text = |at: usize| row.get(at).cloned().flatten();
    let ty = match text(0)?.as_str() {
        "BOOLEAN" => ConfigType::Boolean,
        "INT" => ConfigType::Int,
        "SHORT" => ConfigType::Short,
        "LONG" => ConfigType::Long,
        "DOUBLE" => ConfigType::Double,
        "LIST" => ConfigType::List,
        "PASSWORD" => ConfigType::Password,
        "CLASS" => ConfigType::Class,
        _ => ConfigType::String,
    };
    let name = format!("{}{key}", kind.prefix());
    let documentation = format!("The {} client's {key}.", kind.name());
    Some(ConfigKey {
        display_name: key.to_owned(),
        required: row.len() < 3,
        default: text(2),
        importance: text(1)?,
        ..ConfigKey::new(name, ty, documentation)
    })
}

/// The overrides in a configuration, with their definitions where Kafka has one.
pub(crate) fn overrides(
    config: &Properties,
) -> impl Iterator<Item = (&str, Option<ConfigKey>, ClientKind)> {
    config.keys().filter_map(|key| {
        let kind = ClientKind::ALL.into_iter().find(|kind| key.starts_with(kind.prefix()))?;
        Some((key.as_str(), definition(kind, &key[kind.prefix().len()..]), kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_clients_types() {
        let config = ["producer.override.linger.ms", "consumer.override.none.such", "topics"];
        let config = config.map(|key| (key.to_owned(), "1".to_owned())).into();
        let found: Vec<_> = overrides(&config).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, &found[0].1), ("consumer.override.none.such", &None));
        let linger = found[1].1.as_ref().unwrap();
        assert_eq!((linger.ty, linger.default.as_deref()), (ConfigType::Long, Some("5")));
        let jaas = definition(ClientKind::Admin, "sasl.jaas.config").unwrap();
        assert_eq!(jaas.ty, ConfigType::Password);
    }
}
