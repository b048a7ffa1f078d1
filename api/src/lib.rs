//! Kafka Connect's REST API over a [`Herder`], and the wiring of a worker. Only this crate knows axum and
//! Connect's JSON (invariant 5).

mod body;
pub mod cli;
mod error;
mod listen;
mod properties;
mod routes;
mod worker;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    routing::{get, post, put},
};
use connect_core_runtime::herder::Herder;

pub use properties::worker_properties;
pub use worker::{RunningWorker, WorkerOptions};

use crate::error::ApiError;

/// Most bytes of a request body.
const MAX_BODY: usize = 4 << 20;

type Shared = Arc<dyn Herder>;

/// The REST API.
pub fn router(herder: Arc<dyn Herder>) -> Router {
    use routes::{connectors, plugins, root};
    Router::new()
        .route("/", get(root::info))
        .route("/health", get(root::health))
        .route("/connectors", get(connectors::list).post(connectors::create))
        .route("/connectors/{name}", get(connectors::info).delete(connectors::delete))
        .route("/connectors/{name}/config", get(connectors::config).put(connectors::put_config))
        .route("/connectors/{name}/status", get(connectors::status))
        .route("/connectors/{name}/tasks", get(connectors::tasks))
        .route("/connectors/{name}/pause", put(connectors::pause))
        .route("/connectors/{name}/resume", put(connectors::resume))
        .route("/connectors/{name}/stop", put(connectors::stop))
        .route("/connectors/{name}/restart", post(connectors::restart))
        .route("/connector-plugins", get(plugins::list))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(herder)
}

async fn not_found(_: Method, _: Uri) -> ApiError {
    ApiError::new(404, "HTTP 404 Not Found")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(405, "HTTP 405 Method Not Allowed")
}
