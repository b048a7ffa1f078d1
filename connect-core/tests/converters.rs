//! The converters as Connect lists and configures them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use connect_core::{
    config::{Invalid, Properties},
    error::ErrorKind,
    registry::Registry,
};

/// Name, type, required, default, importance, group, order, width, name to show.
type Key<'a> =
    (&'a str, &'a str, bool, Option<&'a str>, &'a str, Option<&'a str>, i32, &'a str, &'a str);

const TYPE: Key<'static> =
    ("converter.type", "STRING", true, None, "LOW", None, -1, "NONE", "converter.type");

fn keys(class: &str) -> Vec<Key<'static>> {
    let json = |name, ty, default, importance, group, order, display| {
        (name, ty, false, default, importance, Some(group), order, "MEDIUM", display)
    };
    let more = match class {
        "org.apache.kafka.connect.json.JsonConverter" => vec![
            json("schemas.enable", "BOOLEAN", Some("true"), "HIGH", "Schemas", 0, "Enable Schemas"),
            json(
                "schemas.cache.size",
                "INT",
                Some("1000"),
                "HIGH",
                "Schemas",
                1,
                "Schema Cache Size",
            ),
            json("schema.content", "STRING", None, "HIGH", "Schemas", 2, "Schema Content"),
            json(
                "decimal.format",
                "STRING",
                Some("BASE64"),
                "LOW",
                "Serialization",
                0,
                "Decimal Format",
            ),
            json(
                "replace.null.with.default",
                "BOOLEAN",
                Some("true"),
                "LOW",
                "Serialization",
                1,
                "Replace null with default",
            ),
        ],
        "org.apache.kafka.connect.storage.StringConverter" => vec![(
            "converter.encoding",
            "STRING",
            false,
            Some("UTF-8"),
            "HIGH",
            None,
            -1,
            "MEDIUM",
            "Encoding",
        )],
        "org.apache.kafka.connect.storage.SimpleHeaderConverter" => return Vec::new(),
        _ => Vec::new(),
    };
    std::iter::once(TYPE).chain(more).collect()
}

#[test]
fn every_converter_is_listed_with_the_definitions_of_connect() {
    let registry = Registry::apache();
    let plain = ["Boolean", "ByteArray", "Double", "Float", "Integer", "Long", "Short"];
    let mut classes: Vec<_> = plain
        .map(|name| format!("org.apache.kafka.connect.converters.{name}Converter"))
        .into_iter()
        .chain(["org.apache.kafka.connect.json.JsonConverter".to_owned()])
        .chain(["org.apache.kafka.connect.storage.StringConverter".to_owned()])
        .collect();
    let listed: Vec<_> = registry.converters().map(|class| class.name.to_owned()).collect();
    assert_eq!(listed, classes);
    classes.insert(8, "org.apache.kafka.connect.storage.SimpleHeaderConverter".to_owned());
    let listed: Vec<_> = registry.header_converters().map(|class| class.name.to_owned()).collect();
    assert_eq!(listed, classes);
    for class in registry.header_converters() {
        assert_eq!(class.version, connect_core::CONNECT_VERSION);
        let found = class.config_def();
        let found: Vec<Key<'_>> = found
            .iter()
            .map(|key| {
                assert!(key.documentation.ends_with('.'), "{}", key.name);
                assert!(key.dependents.is_empty());
                let (group, default) = (key.group.as_deref(), key.default.as_deref());
                let (importance, width) = (key.importance.as_str(), key.width.as_str());
                let (ty, display) = (key.ty.name(), key.display_name.as_str());
                let name = key.name.as_str();
                (name, ty, key.required, default, importance, group, key.order, width, display)
            })
            .collect();
        assert_eq!(found, keys(class.name), "{}", class.name);
    }
}

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn bad_settings_are_named_in_connects_words() {
    let registry = Registry::apache();
    let json = registry.find_converter("JsonConverter").unwrap();
    let bad = properties(&[
        ("converter.type", "both"),
        ("schemas.enable", "bad"),
        ("schemas.cache.size", "many"),
        ("decimal.format", "HEX"),
    ]);
    let invalid = connect_core::config::validate(&json.config_def(), &bad);
    let messages: Vec<_> = invalid.iter().map(Invalid::message).collect();
    assert_eq!(
        messages,
        [
            "Invalid value both for configuration converter.type: String must be one of: key, value, header",
            "Invalid value bad for configuration schemas.enable: Expected value to be either true or false",
            "Invalid value many for configuration schemas.cache.size: Not a number of type INT",
            "Invalid value HEX for configuration decimal.format: String must be one of (case insensitive): NUMERIC, BASE64",
        ]
    );
    assert!(json.open(&bad).is_err());
    for good in ["numeric", "NUMERIC", "Base64"] {
        assert!(json.open(&properties(&[("decimal.format", good)])).is_ok(), "{good}");
    }
    let text = registry.find_converter("StringConverter").unwrap();
    let Err(error) = text.open(&properties(&[("converter.encoding", "EBCDIC")])) else {
        panic!("an encoding that nobody knows")
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("Unsupported encoding EBCDIC"), "{error}");
    let Err(error) = json.open(&properties(&[("schema.content", "{\"type\":\"int9\"}")])) else {
        panic!("a schema that nobody knows")
    };
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn only_headers_have_the_simple_converter() {
    let registry = Registry::apache();
    assert!(registry.find_converter("SimpleHeaderConverter").is_none());
    assert!(registry.find_header_converter("SimpleHeaderConverter").is_some());
    assert!(registry.find_header_converter("JsonConverter").is_some());
}
