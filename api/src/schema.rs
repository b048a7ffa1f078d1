//! Configurations as JSON Schema, for editors.

use std::collections::BTreeMap;

use connect_core::{
    config::{ConfigKey, ConfigType},
    registry::Registry,
};
use connect_core_runtime::plugins;
use serde_json::{Map, Value as Json, json};

/// The JSON Schema of a flat configuration with these keys.
pub(crate) fn of_keys(title: &str, keys: &[ConfigKey]) -> Json {
    let required: Vec<&str> =
        keys.iter().filter(|key| key.required).map(|key| key.name.as_str()).collect();
    let properties: Map<String, Json> =
        keys.iter().map(|key| (key.name.clone(), of_key(key))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        // Transformations, converters and client overrides add keys of their own.
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    })
}

fn of_key(key: &ConfigKey) -> Json {
    let mut schema = match key.ty {
        // Connect takes the text of a value as well as the value.
        ConfigType::Boolean => json!({"type": ["boolean", "string"]}),
        ConfigType::Int | ConfigType::Short | ConfigType::Long => {
            json!({"type": ["integer", "string"]})
        }
        ConfigType::Double => json!({"type": ["number", "string"]}),
        ConfigType::Password => json!({"type": "string", "format": "password"}),
        ConfigType::String | ConfigType::List | ConfigType::Class => json!({"type": "string"}),
    };
    schema["description"] = key.documentation.as_str().into();
    if let Some(default) = &key.default {
        schema["default"] = default.as_str().into();
    }
    if let Some(minimum) = key.minimum {
        schema["minimum"] = minimum.into();
    }
    if let Some(maximum) = key.maximum {
        schema["maximum"] = maximum.into();
    }
    if !key.choices.is_empty() {
        // What an editor offers; other cases may be fine too.
        schema["examples"] = json!(key.choices);
    }
    if key.non_empty {
        schema["minLength"] = 1.into();
    }
    schema
}

/// The generated part of `docs/reference`: the description of the API, and the schema of every plugin's configuration,
/// by file name.
pub fn reference(registry: &Registry) -> BTreeMap<String, String> {
    let pretty = |json: &Json| format!("{json:#}\n");
    let mut files = BTreeMap::from([("openapi.json".to_owned(), pretty(&crate::openapi()))]);
    for plugin in plugins::list(registry) {
        // What is listed is there.
        let Ok(keys) = plugins::keys(registry, plugin.class, None) else { continue };
        let file = format!("schemas/{}.json", plugin.class);
        files.insert(file, pretty(&of_keys(plugin.class, &keys)));
    }
    files
}
