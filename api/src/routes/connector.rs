//! `/connectors/{name}`: its configuration, its tasks and how they are.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use connect_core::config::Properties;
use connect_core_runtime::herder::ConnectorView;
use schemars::JsonSchema;
use serde::Serialize;

use super::connectors::{
    Answer, ConnectorState, Info, StateInfo, TaskId, created, describe, state,
};
use crate::{
    Shared,
    error::ApiError,
    extract::{ConfigBody, JsonBody, Name, Origin, TaskPath},
    resource::{Resource, op},
};

pub(super) fn resources() -> [Resource; 6] {
    [
        Resource::new("/connectors/{name}")
            .get(info, op("A connector").answers::<Info>(200).refuses(&[404]))
            .delete(delete, op("Delete a connector; its offsets stay").done(204).refuses(&[404])),
        Resource::new("/connectors/{name}/config")
            .get(config, op("Its configuration").answers::<Properties>(200).refuses(&[404]))
            .put(
                put_config,
                op("Replace the configuration, or create the connector")
                    .takes::<ConfigBody>()
                    .answers::<Info>(200)
                    .answers::<Info>(201)
                    .refuses(&[400, 415]),
            )
            .patch(
                patch_config,
                op("Change some keys of the configuration; null removes one")
                    .takes::<ConfigBody>()
                    .answers::<Info>(200)
                    .refuses(&[400, 404, 415]),
            ),
        Resource::new("/connectors/{name}/status")
            .get(status, op("How it is").answers::<ConnectorState>(200).refuses(&[404])),
        Resource::new("/connectors/{name}/tasks")
            .get(tasks, op("Its tasks").answers::<Vec<Task>>(200).refuses(&[404]))
            .post(internal, op("Between the JVM's workers only").refuses(&[400, 403])),
        Resource::new("/connectors/{name}/fence")
            .put(internal, op("Between the JVM's workers only").refuses(&[400, 403])),
        Resource::new("/connectors/{name}/tasks/{task}/status")
            .get(task_status, op("How a task is").answers::<StateInfo>(200).refuses(&[404])),
    ]
}

fn find(herder: &Shared, name: &str) -> Answer<Arc<ConnectorView>> {
    let found = herder.connectors().get(name).map(Arc::clone);
    found.ok_or_else(|| ApiError::new(404, format!("Connector {name} not found")))
}

async fn info(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<Info>> {
    Ok(Json(describe(&herder, &name, &*find(&herder, &name)?)))
}

async fn config(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<Properties>> {
    Ok(Json(herder.shown(&find(&herder, &name)?.config)))
}

async fn put_config(
    State(herder): State<Shared>,
    Name(name): Name,
    origin: Origin,
    JsonBody(ConfigBody(config)): JsonBody<ConfigBody>,
) -> Answer<Response> {
    let (new, view) = herder.put_config(&name, config).await?;
    Ok(match new {
        true => created(&herder, &origin, &name, &view),
        false => Json(describe(&herder, &name, &view)).into_response(),
    })
}

async fn patch_config(
    State(herder): State<Shared>,
    Name(name): Name,
    JsonBody(ConfigBody(patch)): JsonBody<ConfigBody>,
) -> Answer<Json<Info>> {
    let view = herder.patch_config(&name, patch).await?;
    Ok(Json(describe(&herder, &name, &view)))
}

async fn delete(State(herder): State<Shared>, Name(name): Name) -> Answer<StatusCode> {
    herder.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn status(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<ConnectorState>> {
    let found = find(&herder, &name).ok().and_then(|view| state(&name, &view));
    let missing = || ApiError::new(404, format!("No status found for connector {name}"));
    found.map(Json).ok_or_else(missing)
}

/// What the JVM's workers sign and send to each other. Ours keep no session key: they don't coordinate over HTTP.
async fn internal(headers: HeaderMap) -> ApiError {
    let signed = ["X-Connect-Authorization", "X-Connect-Request-Signature-Algorithm"];
    match signed.iter().all(|name| headers.contains_key(*name)) {
        false => ApiError::new(400, "Internal request missing required signature"),
        true => ApiError::new(403, "Internal request contained invalid signature."),
    }
}

/// A task.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskInfo")]
struct Task {
    id: TaskId,
    config: Properties,
}

async fn tasks(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<Vec<Task>>> {
    let view = find(&herder, &name)?;
    let task = |(task, config): (usize, &Properties)| Task {
        id: TaskId { connector: name.clone(), task },
        config: herder.shown(config),
    };
    Ok(Json(view.tasks.iter().enumerate().map(task).collect()))
}

async fn task_status(
    State(herder): State<Shared>,
    TaskPath(name, task): TaskPath,
) -> Answer<Json<StateInfo>> {
    let view = find(&herder, &name).ok();
    let status = view.as_ref().and_then(|view| {
        let id = u32::try_from(task).ok()?;
        Some(StateInfo::new(Some(id), view.task_status.get(&id)?))
    });
    let missing = || ApiError::new(404, format!("No status found for task {name}-{task}"));
    status.map(Json).ok_or_else(missing)
}
