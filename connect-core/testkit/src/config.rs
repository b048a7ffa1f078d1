//! What every plugin promises of its configuration.

use connect_core::{config::ConfigType, registry::Registry};

/// Checks a plugin's definitions: every key is documented, its default is valid, every missing key is named at once, and
/// a password is one that cannot be printed.
pub async fn config_suite(registry: &Registry, class: &str) {
    let plugin = registry.find(class, &Default::default());
    let plugin = plugin.unwrap_or_else(|| panic!("{class} is not registered"));
    let keys = plugin.config_def();
    assert!(!keys.is_empty(), "{class} has no configuration");
    for key in &keys {
        let doc = &key.documentation;
        assert!(doc.ends_with('.'), "{class}: {} is not documented: {doc:?}", key.name);
        assert!(!key.display_name.is_empty(), "{class}: {} has no name to show", key.name);
        if let Some(default) = &key.default {
            let invalid = key.check(Some(default));
            assert!(
                invalid.is_none(),
                "{class}: the default of {} is invalid: {invalid:?}",
                key.name
            );
        }
        let secret = ["password", "secret"].iter().any(|word| key.name.contains(word));
        let hidden = key.ty == ConfigType::Password;
        assert!(!secret || hidden, "{class}: {} can be printed", key.name);
    }
    let required: Vec<&str> =
        keys.iter().filter(|key| key.required).map(|key| key.name.as_str()).collect();
    let invalid = plugin.validate(&Default::default()).await;
    let named: Vec<&str> = invalid.iter().map(|invalid| invalid.key.as_str()).collect();
    assert_eq!(named, required, "{class}: each missing key is named, and nothing else");
}
