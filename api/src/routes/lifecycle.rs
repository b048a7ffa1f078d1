//! Pause, resume, stop and restart.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_core_runtime::herder::{Restart, TargetState};

use super::connectors::{Answer, ConnectorState, state};
use crate::{
    Shared,
    error::ApiError,
    extract::{Name, Parameters, TaskPath},
    resource::{Resource, op},
};

pub(super) fn resources() -> [Resource; 5] {
    [
        Resource::new("/connectors/{name}/pause")
            .put(pause, op("Pause it; its tasks stay").done(202).refuses(&[404])),
        Resource::new("/connectors/{name}/resume")
            .put(resume, op("Run it again").done(202).refuses(&[404])),
        Resource::new("/connectors/{name}/stop")
            .put(stop, op("Stop it; it has no tasks any more").done(204).refuses(&[404])),
        Resource::new("/connectors/{name}/restart").post(
            restart,
            op("Restart it, its tasks, or what of them has failed")
                .query("includeTasks", "`true`: the tasks too")
                .query("onlyFailed", "`true`: only what has failed")
                .answers::<ConnectorState>(202)
                .done(204)
                .refuses(&[404]),
        ),
        Resource::new("/connectors/{name}/tasks/{task}/restart")
            .post(restart_task, op("Restart a task").done(204).refuses(&[404])),
    ]
}

async fn pause(State(herder): State<Shared>, Name(name): Name) -> Answer<StatusCode> {
    herder.set_target(&name, TargetState::Paused).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn resume(State(herder): State<Shared>, Name(name): Name) -> Answer<StatusCode> {
    herder.set_target(&name, TargetState::Started).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn stop(State(herder): State<Shared>, Name(name): Name) -> Answer<StatusCode> {
    herder.set_target(&name, TargetState::Stopped).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restart(
    State(herder): State<Shared>,
    Name(name): Name,
    query: Parameters,
) -> Answer<Response> {
    let include_tasks = query.flag("includeTasks");
    let only_failed = query.flag("onlyFailed");
    let plan = herder.restart(&name, Restart { include_tasks, only_failed }).await?;
    if !include_tasks && !only_failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let missing = || ApiError::new(404, format!("Status for connector {name} not found"));
    let state = state(&name, &plan).ok_or_else(missing)?;
    Ok((StatusCode::ACCEPTED, Json(state)).into_response())
}

async fn restart_task(
    State(herder): State<Shared>,
    TaskPath(name, task): TaskPath,
) -> Answer<StatusCode> {
    match u32::try_from(task) {
        Ok(id) => herder.restart_task(&name, id).await?,
        Err(_) if herder.connectors().contains_key(&name) => {
            return Err(ApiError::new(404, format!("Unknown task: {name}-{task}")));
        }
        Err(_) => return Err(ApiError::new(404, format!("Unknown connector: {name}"))),
    }
    Ok(StatusCode::NO_CONTENT)
}
