//! `/openapi.json`: the description of this API, generated from its types.

use std::sync::LazyLock;

use axum::Json;
use connect_core::CONNECT_VERSION;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Part, resources as all_resources};
use crate::{
    error::ApiError,
    resource::{Operation, Resource, op},
};

pub(super) fn resources() -> [Resource; 1] {
    [Resource::new("/openapi.json").get(get, op("This description").answers::<Value>(200))]
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

async fn get() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// The description of the API, as OpenAPI 3.1.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for resource in all_resources(Part::All) {
        let mut methods = Map::new();
        let parameters = parameters(resource.path);
        if !parameters.is_empty() {
            methods.insert("parameters".to_owned(), Value::Array(parameters));
        }
        for (method, operation) in &resource.operations {
            let id = format!("{method} {}", resource.path);
            methods.insert((*method).to_owned(), describe(&id, operation, &mut generator));
        }
        paths.insert(resource.path.to_owned(), Value::Object(methods));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kafka Connect REST API of Ferrovia",
            "version": CONNECT_VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

/// The parts of a path that vary.
fn parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str| {
        let schema = match name {
            "task" => json!({"type": "integer", "format": "int32"}),
            _ => json!({"type": "string", "minLength": 1}),
        };
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    };
    names.map(parameter).collect()
}

fn describe(id: &str, operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut described = Map::new();
    described.insert("operationId".to_owned(), id.into());
    described.insert("summary".to_owned(), operation.summary.into());
    let query = operation.query.iter().map(|(name, meaning)| {
        json!({"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}})
    });
    let query: Vec<_> = query.collect();
    if !query.is_empty() {
        described.insert("parameters".to_owned(), Value::Array(query));
    }
    if let Some(body) = operation.body {
        let content = json!({"application/json": {"schema": body(generator)}});
        described.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    let mut responses = Map::new();
    for (status, body) in &operation.answers {
        let description = axum::http::StatusCode::from_u16(*status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        let mut response = json!({"description": description});
        if let Some(body) = body {
            response["content"] = json!({"application/json": {"schema": body(generator)}});
        }
        responses.insert(status.to_string(), response);
    }
    // What JAX-RS refuses before a resource is asked, and what the worker fails at.
    let other = json!({"application/json": {"schema": generator.subschema_for::<ApiError>()}});
    responses.insert("default".to_owned(), json!({"description": "Refused", "content": other}));
    described.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(described)
}
