//! `/connectors`, and how a connector is shown.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use connect_core::{
    config::{Properties, java_trim},
    plugin::PluginType,
};
use connect_core_runtime::herder::{ConnectorView, Status, TargetState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Shared,
    error::ApiError,
    extract::{ConfigBody, JsonBody, Origin, Parameters, Scalar},
    resource::{Resource, op},
};

pub(super) type Answer<T> = Result<T, ApiError>;

pub(super) fn resources() -> [Resource; 1] {
    [Resource::new("/connectors")
        .get(
            list,
            op("Names of the connectors; with expand, what is known of each")
                .query("expand", "`status` or `info`; may be given twice")
                .answers::<Listed>(200),
        )
        .post(
            create,
            op("Create a connector")
                .takes::<Create>()
                .answers::<Info>(201)
                .refuses(&[400, 409, 415]),
        )]
}

/// A task's identity.
#[derive(Serialize, JsonSchema)]
pub(super) struct TaskId {
    pub(super) connector: String,
    pub(super) task: usize,
}

/// A connector.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectorInfo")]
pub(super) struct Info {
    name: String,
    config: Properties,
    tasks: Vec<TaskId>,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    ty: &'static str,
}

fn ty(view: &ConnectorView) -> &'static str {
    view.ty.map_or("unknown", PluginType::name)
}

/// Describes a connector.
pub(super) fn describe(herder: &Shared, name: &str, view: &ConnectorView) -> Info {
    let task = |task| TaskId { connector: name.to_owned(), task };
    Info {
        name: name.to_owned(),
        config: herder.shown(&view.config),
        tasks: (0..view.tasks.len()).map(task).collect(),
        ty: ty(view),
    }
}

/// State of a connector or task.
#[derive(Serialize, JsonSchema)]
pub(super) struct StateInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    /// `UNASSIGNED`, `RUNNING`, `PAUSED`, `STOPPED`, `FAILED` or `RESTARTING`.
    state: &'static str,
    /// `host:port` of the worker.
    worker_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    /// Why it has failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    trace: String,
}

impl StateInfo {
    pub(super) fn new(id: Option<u32>, status: &Status) -> Self {
        Self {
            id,
            state: status.state.name(),
            worker_id: status.worker_id.clone(),
            version: status.version.clone(),
            trace: status.trace.clone(),
        }
    }
}

/// Status of a connector and its tasks.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectorStateInfo")]
pub(super) struct ConnectorState {
    name: String,
    connector: StateInfo,
    tasks: Vec<StateInfo>,
    /// `source`, `sink` or `unknown`.
    #[serde(rename = "type")]
    ty: &'static str,
}

/// The status of a connector, if it was started.
pub(super) fn state(name: &str, view: &ConnectorView) -> Option<ConnectorState> {
    let status = view.status.as_ref()?;
    Some(ConnectorState {
        name: name.to_owned(),
        connector: StateInfo::new(None, status),
        tasks: view.task_status.iter().map(|(id, s)| StateInfo::new(Some(*id), s)).collect(),
        ty: ty(view),
    })
}

/// What `expand` asks for, of one connector.
#[derive(Serialize, JsonSchema)]
struct Expanded {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ConnectorState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Info>,
}

/// Names, or with `expand` an object of them.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Listed {
    Names(Vec<String>),
    Expanded(BTreeMap<String, Expanded>),
}

async fn list(State(herder): State<Shared>, query: Parameters) -> Json<Listed> {
    let connectors = herder.connectors();
    if query.get("expand").is_none() {
        return Json(Listed::Names(connectors.keys().cloned().collect()));
    }
    let asked = |what: &str| query.all("expand").any(|value| value == what);
    let mut expanded = BTreeMap::new();
    for (name, view) in connectors.iter() {
        let status = match asked("status").then(|| state(name, view)) {
            // One that has not been started yet is left out, as the JVM does.
            Some(None) => continue,
            Some(Some(status)) => Some(status),
            None => None,
        };
        let info = asked("info").then(|| describe(&herder, name, view));
        expanded.insert(name.clone(), Expanded { status, info });
    }
    Json(Listed::Expanded(expanded))
}

/// A connector to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CreateConnectorRequest")]
struct Create {
    #[serde(default)]
    name: Option<Scalar>,
    config: ConfigBody,
    /// `RUNNING`, `PAUSED` or `STOPPED`, in any case.
    #[serde(default)]
    initial_state: Option<String>,
}

async fn create(
    State(herder): State<Shared>,
    origin: Origin,
    JsonBody(body): JsonBody<Create>,
) -> Answer<Response> {
    let name = body.name.map(|Scalar(name)| name).unwrap_or_default();
    let name = java_trim(&name).to_owned();
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
    Ok(created(&herder, &origin, &name, &view))
}

/// The answer to a connector that was made.
pub(super) fn created(
    herder: &Shared,
    Origin(origin): &Origin,
    name: &str,
    view: &ConnectorView,
) -> Response {
    let location = format!("{origin}/connectors/{}", percent_encoded(name));
    // As the JVM's: the tasks of a new connector are not known yet.
    let info = Info { tasks: Vec::new(), ..describe(herder, name, view) };
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(info)).into_response()
}

fn percent_encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        // As JAX-RS: what a segment of a path may hold (RFC 3986).
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
