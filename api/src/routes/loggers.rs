//! `/admin/loggers`.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_core_runtime::loggers::{Level, LoggerLevel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connectors::Answer;
use crate::{
    Shared,
    error::ApiError,
    extract::{JsonBody, Name, Parameters, Scalar},
    resource::{Resource, op},
};

pub(super) fn resources() -> [Resource; 2] {
    [
        Resource::new("/admin/loggers")
            .get(list, op("The loggers").answers::<BTreeMap<String, Logger>>(200)),
        Resource::new("/admin/loggers/{logger}")
            .get(get, op("A logger").answers::<Logger>(200).refuses(&[404]))
            .put(
                set,
                op("Set the level of a logger and of those whose names begin with its name")
                    .query("scope", "`worker` or `cluster`")
                    .takes::<SetLevel>()
                    .answers::<Vec<String>>(200)
                    .done(204)
                    .refuses(&[400, 404, 415]),
            ),
    ]
}

/// A logger.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LoggerLevel")]
struct Logger {
    /// `OFF`, `FATAL`, `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` or `ALL`.
    level: &'static str,
    /// When it was set, in milliseconds since the epoch.
    last_modified: Option<i64>,
}

impl From<LoggerLevel> for Logger {
    fn from(logger: LoggerLevel) -> Self {
        Self { level: logger.level.name(), last_modified: logger.last_modified }
    }
}

async fn list(State(herder): State<Shared>) -> Json<BTreeMap<String, Logger>> {
    Json(herder.loggers().all().into_iter().map(|(name, l)| (name, l.into())).collect())
}

async fn get(State(herder): State<Shared>, Name(name): Name) -> Answer<Json<Logger>> {
    let found = herder.loggers().get(&name);
    let missing = || ApiError::new(404, format!("Logger {name} not found."));
    found.map(|logger| Json(logger.into())).ok_or_else(missing)
}

/// A level to set; other fields are ignored.
#[derive(Deserialize, JsonSchema)]
struct SetLevel {
    #[serde(default)]
    level: Option<Scalar>,
}

async fn set(
    State(herder): State<Shared>,
    Name(name): Name,
    query: Parameters,
    JsonBody(body): JsonBody<SetLevel>,
) -> Answer<Response> {
    let missing = "Desired 'level' parameter was not specified in request.";
    let Scalar(level) = body.level.ok_or_else(|| ApiError::new(400, missing))?;
    let level = Level::parse(level.trim())
        .ok_or_else(|| ApiError::new(404, format!("invalid log level '{level}'.")))?;
    if query.get("scope").is_some_and(|scope| scope.eq_ignore_ascii_case("cluster")) {
        herder.set_cluster_level(&name, level).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Json(herder.loggers().set(&name, level)).into_response())
}
