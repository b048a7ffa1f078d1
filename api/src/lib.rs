//! Kafka Connect's REST API over a [`Herder`], and the wiring of a worker. Only this crate knows axum and
//! Connect's JSON (invariant 5).

pub mod cli;
mod doctor;
mod error;
mod extract;
mod listen;
mod logging;
mod memory;
mod properties;
mod resource;
mod rest_config;
mod routes;
mod schema;
mod security;
mod tls;
mod worker;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, http::Uri};
use connect_core_runtime::herder::Herder;

pub use properties::worker_properties;
pub use routes::{Part, openapi};
pub use schema::reference;
pub use worker::{RunningWorker, WorkerOptions};

use crate::error::ApiError;

/// Most bytes of a request body.
const MAX_BODY: usize = 4 << 20;

type Shared = Arc<dyn Herder>;

/// The REST API, or a part of it.
pub fn router(herder: Arc<dyn Herder>, part: Part) -> Router {
    routes::routes(part).fallback(unknown).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(herder)
}

async fn unknown(uri: Uri) -> ApiError {
    match uri.path().contains("//") {
        true => ApiError::new(400, "Ambiguous URI empty segment"),
        false => ApiError::not_found(),
    }
}
