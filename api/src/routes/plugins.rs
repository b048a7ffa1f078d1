//! `/connector-plugins`: what can be configured, and whether a configuration is right.

use axum::{Json, extract::State};
use connect_core::config::{ConfigKey, ConfigType};
use connect_core_runtime::herder::{ConfigInfo, ConfigInfos, PluginInfo, PluginKind};
use schemars::JsonSchema;
use serde::Serialize;

use super::connectors::Answer;
use crate::{
    Shared,
    error::ApiError,
    extract::{ConfigBody, JsonBody, Name, Parameters},
    resource::{Resource, op},
    schema,
};

pub(super) fn resources() -> [Resource; 4] {
    [
        Resource::new("/connector-plugins").get(
            list,
            op("The plugins")
                .query("connectorsOnly", "`false`: transformations, predicates and converters too")
                .answers::<Vec<Plugin>>(200),
        ),
        Resource::new("/connector-plugins/{plugin}/config").get(
            config,
            op("Definitions of a plugin's keys")
                .query("version", "a version, a range of versions, or `latest`")
                .answers::<Vec<Definition>>(200)
                .refuses(&[400, 404]),
        ),
        Resource::new("/connector-plugins/{plugin}/config/schema").get(
            json_schema,
            op("The plugin's configuration as JSON Schema, for editors; not on the JVM")
                .answers::<serde_json::Value>(200)
                .refuses(&[404]),
        ),
        Resource::new("/connector-plugins/{plugin}/config/validate").put(
            validate,
            op("Check a configuration without storing it")
                .takes::<ConfigBody>()
                .answers::<Validated>(200)
                .refuses(&[400, 415]),
        ),
    ]
}

/// A plugin.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PluginInfo")]
struct Plugin {
    class: &'static str,
    /// `source`, `sink`, `transformation`, `predicate`, `converter` or `header_converter`.
    #[serde(rename = "type")]
    ty: &'static str,
    version: &'static str,
}

async fn list(State(herder): State<Shared>, query: Parameters) -> Json<Vec<Plugin>> {
    let all =
        query.get("connectorsOnly").is_some_and(|v| !v.is_empty()) && !query.flag("connectorsOnly");
    let plugins = herder.plugins().into_iter();
    let asked = plugins.filter(|p| all || matches!(p.kind, PluginKind::Sink | PluginKind::Source));
    let plugin = |PluginInfo { class, kind, version }| Plugin { class, ty: kind.name(), version };
    Json(asked.map(plugin).collect())
}

/// Definition of a key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigKeyInfo")]
struct Definition {
    name: String,
    /// `BOOLEAN`, `INT`, `SHORT`, `LONG`, `DOUBLE`, `STRING`, `LIST`, `CLASS` or `PASSWORD`.
    #[serde(rename = "type")]
    ty: &'static str,
    required: bool,
    default_value: Option<String>,
    importance: String,
    documentation: String,
    group: Option<String>,
    order_in_group: i32,
    width: String,
    display_name: String,
    dependents: Vec<String>,
}

impl From<ConfigKey> for Definition {
    fn from(key: ConfigKey) -> Self {
        let hidden = key.ty == ConfigType::Password;
        Self {
            name: key.name,
            ty: key.ty.name(),
            required: key.required,
            default_value: key.default.filter(|_| !hidden),
            importance: key.importance,
            documentation: key.documentation,
            group: key.group,
            order_in_group: key.order,
            width: key.width,
            display_name: key.display_name,
            dependents: key.dependents,
        }
    }
}

async fn config(
    State(herder): State<Shared>,
    Name(plugin): Name,
    query: Parameters,
) -> Answer<Json<Vec<Definition>>> {
    let keys = herder.plugin_config(&plugin, query.get("version"))?;
    Ok(Json(keys.into_iter().map(Definition::from).collect()))
}

async fn json_schema(
    State(herder): State<Shared>,
    Name(plugin): Name,
) -> Answer<Json<serde_json::Value>> {
    let keys = herder.plugin_config(&plugin, None)?;
    Ok(Json(schema::of_keys(&plugin, &keys)))
}

/// The value of a key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigValueInfo")]
struct Value {
    name: String,
    value: Option<String>,
    recommended_values: Vec<String>,
    errors: Vec<String>,
    visible: bool,
}

/// A key with its value.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigInfo")]
struct Key {
    definition: Option<Definition>,
    value: Value,
}

/// A configuration, checked.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConfigInfos")]
struct Validated {
    name: String,
    error_count: usize,
    groups: Vec<String>,
    configs: Vec<Key>,
}

impl From<ConfigInfos> for Validated {
    fn from(infos: ConfigInfos) -> Self {
        let error_count = infos.error_count();
        let key = |ConfigInfo { definition, value }| Key {
            definition: definition.map(Definition::from),
            value: Value {
                name: value.name,
                value: value.value,
                recommended_values: value.recommended,
                errors: value.errors,
                visible: value.visible,
            },
        };
        let configs = infos.configs.into_iter().map(key).collect();
        Self { name: infos.name, error_count, groups: infos.groups, configs }
    }
}

/// A class as the path of a request may name it.
fn plain(class: &str) -> &str {
    class.strip_suffix("Connector").unwrap_or(class)
}

async fn validate(
    State(herder): State<Shared>,
    Name(plugin): Name,
    JsonBody(ConfigBody(config)): JsonBody<ConfigBody>,
) -> Answer<Json<Validated>> {
    if let Some(Some(class)) = config.get("connector.class")
        && !plain(class).ends_with(plain(&plugin))
    {
        return Err(ApiError::new(
            400,
            format!("Included connector type {} does not match request type {}", class, plugin),
        ));
    }
    Ok(Json(herder.validate(&config).await?.into()))
}
