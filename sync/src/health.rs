//! `GET /health`.

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// What does not work now; none if all does.
pub(crate) type Trouble = Option<String>;

/// Answers until stopped.
pub(crate) async fn serve(
    listener: TcpListener,
    trouble: watch::Receiver<Trouble>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new().route("/health", get(health)).with_state(trouble);
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn health(State(trouble): State<watch::Receiver<Trouble>>) -> impl IntoResponse {
    let trouble = trouble.borrow().clone();
    match trouble {
        None => (StatusCode::OK, Json(json!({"status": "healthy"}))),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "unhealthy", "detail": why})))
        }
    }
}
