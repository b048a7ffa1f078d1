//! `/` and `/health`.

use axum::{Json, extract::State};
use connect_core::CONNECT_VERSION;
use serde::Serialize;

use crate::Shared;

#[derive(Serialize)]
pub(crate) struct ServerInfo {
    version: &'static str,
    commit: &'static str,
    kafka_cluster_id: String,
}

/// The version is that of the API which is spoken: tools decide by it. The commit says who speaks it.
pub(crate) async fn info(State(herder): State<Shared>) -> Json<ServerInfo> {
    Json(ServerInfo {
        version: CONNECT_VERSION,
        commit: concat!("ferrovia-", env!("CARGO_PKG_VERSION")),
        kafka_cluster_id: herder.cluster_id().to_owned(),
    })
}

#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
    message: &'static str,
}

/// The API answers only when the worker has started.
pub(crate) async fn health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        message: "Worker has completed startup and is ready to handle requests.",
    })
}
