//! `/connector-plugins`.

use axum::{Json, extract::State};
use connect_core::plugin::PluginType;
use serde::Serialize;

use crate::Shared;

#[derive(Serialize)]
pub(crate) struct Plugin {
    class: String,
    #[serde(rename = "type")]
    ty: PluginType,
    version: String,
}

/// Sinks first, then sources.
pub(crate) async fn list(State(herder): State<Shared>) -> Json<Vec<Plugin>> {
    let mut plugins = herder.plugins();
    plugins.sort_by_key(|plugin| plugin.ty == PluginType::Source);
    let plugin = |plugin: connect_core_runtime::herder::PluginInfo| Plugin {
        class: plugin.class,
        ty: plugin.ty,
        version: plugin.version,
    };
    Json(plugins.into_iter().map(plugin).collect())
}
