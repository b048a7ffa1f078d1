//! `/` and `/health`.

use axum::{Json, extract::State};
use connect_core::CONNECT_VERSION;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Shared,
    resource::{Resource, op},
};

pub(super) fn resources() -> [Resource; 2] {
    [
        Resource::new("/")
            .get(info, op("Version and cluster of the worker").answers::<ServerInfo>(200)),
        Resource::new("/health")
            .get(health, op("Whether the worker is ready").answers::<Health>(200)),
    ]
}

/// The worker.
#[derive(Serialize, JsonSchema)]
struct ServerInfo {
    /// Version of Apache Kafka Connect whose API is spoken: tools decide by it.
    version: &'static str,
    /// Who speaks it.
    commit: &'static str,
    /// Identity of the Kafka cluster, or of the embedded log.
    kafka_cluster_id: String,
}

async fn info(State(herder): State<Shared>) -> Json<ServerInfo> {
    Json(ServerInfo {
        version: CONNECT_VERSION,
        commit: concat!("ferrovia-", env!("CARGO_PKG_VERSION")),
        kafka_cluster_id: herder.cluster_id().to_owned(),
    })
}

/// Whether the worker is ready.
#[derive(Serialize, JsonSchema)]
struct Health {
    status: &'static str,
    message: &'static str,
}

/// The API answers only when the worker has started.
async fn health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        message: "Worker has completed startup and is ready to handle requests.",
    })
}
