//! `/connectors` and everything below one.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use connect_core::{config::Properties, plugin::PluginType};
use connect_core_runtime::herder::{ConnectorView, State as Running, Status, TargetState};
use serde::{Deserialize, Serialize};

use crate::{
    Shared,
    body::{ConfigBody, JsonBody},
    error::ApiError,
};

type Answer<T> = Result<T, ApiError>;

#[derive(Serialize)]
struct TaskId {
    connector: String,
    task: usize,
}

/// A connector, as `ConnectorInfo`.
#[derive(Serialize)]
pub(crate) struct Info {
    name: String,
    config: Properties,
    tasks: Vec<TaskId>,
    #[serde(rename = "type")]
    ty: &'static str,
}

fn ty(view: &ConnectorView) -> &'static str {
    match view.ty {
        Some(PluginType::Source) => "source",
        Some(PluginType::Sink) => "sink",
        None => "unknown",
    }
}

fn describe(name: &str, view: &ConnectorView) -> Info {
    let task = |task| TaskId { connector: name.to_owned(), task };
    Info {
        name: name.to_owned(),
        config: view.config.clone(),
        tasks: (0..view.tasks.len()).map(task).collect(),
        ty: ty(view),
    }
}

#[derive(Serialize)]
struct StateInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    state: &'static str,
    worker_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace: String,
}

impl StateInfo {
    fn new(id: Option<u32>, status: &Status) -> Self {
        Self {
            id,
            state: status.state.name(),
            worker_id: status.worker_id.clone(),
            version: status.version.clone(),
            trace: status.trace.clone(),
        }
    }
}

/// The status of a connector, as `ConnectorStateInfo`.
#[derive(Serialize)]
pub(crate) struct ConnectorState {
    name: String,
    connector: StateInfo,
    tasks: Vec<StateInfo>,
    #[serde(rename = "type")]
    ty: &'static str,
}

fn state(name: &str, view: &ConnectorView) -> Answer<ConnectorState> {
    let missing = || ApiError::new(404, format!("No status found for connector {name}"));
    let status = view.status.as_ref().ok_or_else(missing)?;
    Ok(ConnectorState {
        name: name.to_owned(),
        connector: StateInfo::new(None, status),
        tasks: view.task_status.iter().map(|(id, s)| StateInfo::new(Some(*id), s)).collect(),
        ty: ty(view),
    })
}

fn find(herder: &Shared, name: &str) -> Answer<std::sync::Arc<ConnectorView>> {
    let found = herder.connectors().get(name).map(std::sync::Arc::clone);
    found.ok_or_else(|| ApiError::new(404, format!("Connector {name} not found")))
}

/// What `expand` asks for, of one connector.
#[derive(Serialize)]
struct Expanded {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ConnectorState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
}

/// `GET /connectors`, with `expand=status` and `expand=info`.
pub(crate) async fn list(
    State(herder): State<Shared>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let connectors = herder.connectors();
    if !query.iter().any(|(key, _)| key == "expand") {
        return Json(connectors.keys().collect::<Vec<_>>()).into_response();
    }
    let asked = |what: &str| query.iter().any(|(key, value)| key == "expand" && value == what);
    let mut expanded = BTreeMap::new();
    for (name, view) in connectors.iter() {
        let status = match asked("status").then(|| state(name, view)) {
            // One that has not been started yet is left out, as the JVM does.
            Some(Err(_)) => continue,
            Some(Ok(status)) => Some(status),
            None => None,
        };
        let info = asked("info").then(|| describe(name, view));
        expanded.insert(name, Expanded { status, info });
    }
    Json(expanded).into_response()
}

/// Body of `POST /connectors`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    #[serde(default)]
    name: Option<String>,
    config: ConfigBody,
    #[serde(default)]
    initial_state: Option<String>,
}

/// `POST /connectors`.
pub(crate) async fn create(
    State(herder): State<Shared>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Create>,
) -> Answer<Response> {
    let name = body.name.unwrap_or_default().trim().to_owned();
    let initial = match body.initial_state.map(|state| state.to_ascii_uppercase()).as_deref() {
        None | Some("RUNNING") => TargetState::Started,
        Some("PAUSED") => TargetState::Paused,
        Some("STOPPED") => TargetState::Stopped,
        Some(other) => {
            let message = format!("initial_state {other} must be one of RUNNING, PAUSED, STOPPED");
            return Err(ApiError::new(400, message));
        }
    };
    let view = herder.create(&name, body.config.0, initial).await?;
    Ok(created(&headers, &name, &view))
}

fn created(headers: &HeaderMap, name: &str, view: &ConnectorView) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let location = format!("http://{host}/connectors/{}", percent_encoded(name));
    // As the JVM's: the tasks of a new connector are not known yet.
    let info = Info { tasks: Vec::new(), ..describe(name, view) };
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(info)).into_response()
}

fn percent_encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `GET /connectors/{name}`.
pub(crate) async fn info(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<Info>> {
    Ok(Json(describe(&name, &*find(&herder, &name)?)))
}

/// `GET /connectors/{name}/config`.
pub(crate) async fn config(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<Properties>> {
    Ok(Json(find(&herder, &name)?.config.clone()))
}

/// `PUT /connectors/{name}/config`.
pub(crate) async fn put_config(
    State(herder): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(ConfigBody(config)): JsonBody<ConfigBody>,
) -> Answer<Response> {
    let (new, view) = herder.put_config(&name, config).await?;
    Ok(if new {
        created(&headers, &name, &view)
    } else {
        Json(describe(&name, &view)).into_response()
    })
}

/// `DELETE /connectors/{name}`.
pub(crate) async fn delete(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    herder.delete(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /connectors/{name}/status`.
pub(crate) async fn status(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<ConnectorState>> {
    let missing = || ApiError::new(404, format!("No status found for connector {name}"));
    let view = find(&herder, &name).map_err(|_| missing())?;
    state(&name, &view).map(Json)
}

/// A task, as `TaskInfo`.
#[derive(Serialize)]
pub(crate) struct Task {
    id: TaskId,
    config: Properties,
}

/// `GET /connectors/{name}/tasks`.
pub(crate) async fn tasks(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<Json<Vec<Task>>> {
    let view = find(&herder, &name)?;
    let task = |(task, config): (usize, &Properties)| Task {
        id: TaskId { connector: name.clone(), task },
        config: config.clone(),
    };
    Ok(Json(view.tasks.iter().enumerate().map(task).collect()))
}

/// `PUT /connectors/{name}/pause`.
pub(crate) async fn pause(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    herder.set_target(&name, TargetState::Paused).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `PUT /connectors/{name}/resume`.
pub(crate) async fn resume(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    herder.set_target(&name, TargetState::Started).await?;
    Ok(StatusCode::ACCEPTED)
}

/// `PUT /connectors/{name}/stop`.
pub(crate) async fn stop(
    State(herder): State<Shared>,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    herder.set_target(&name, TargetState::Stopped).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /connectors/{name}/restart`, with `includeTasks` and `onlyFailed`.
pub(crate) async fn restart(
    State(herder): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Answer<Response> {
    let flag = |name: &str| {
        query.iter().any(|(key, value)| key == name && value.eq_ignore_ascii_case("true"))
    };
    let (tasks, failed) = (flag("includeTasks"), flag("onlyFailed"));
    herder.restart(&name, tasks, failed).await?;
    if !tasks && !failed {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let view = find(&herder, &name)?;
    let mut answer = state(&name, &view)?;
    let restarted = |info: &StateInfo| !failed || info.state == Running::Failed.name();
    for info in answer.tasks.iter_mut().filter(|info| tasks && restarted(info)) {
        info.state = Running::Restarting.name();
    }
    if restarted(&answer.connector) {
        answer.connector.state = Running::Restarting.name();
    }
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
