//! Connect's error body.

use axum::{
    Json,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use connect_core_runtime::herder::Refusal;
use schemars::JsonSchema;
use serde::Serialize;

/// When a request may be tried again that found no leader.
const RETRY_SECONDS: &str = "1";

/// Why a request was refused: `{"error_code":404,"message":"..."}`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorMessage")]
pub(crate) struct ApiError {
    /// The status code.
    error_code: u16,
    /// What is wrong, and where it helps, what would be right.
    message: String,
    /// Whether the same request may succeed soon.
    #[serde(skip)]
    soon: bool,
}

impl ApiError {
    pub(crate) fn new(error_code: u16, message: impl Into<String>) -> Self {
        Self { error_code, message: message.into(), soon: false }
    }
    /// The answer to a path that does not exist.
    pub(crate) fn not_found() -> Self {
        Self::new(404, "HTTP 404 Not Found")
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let soon = matches!(refusal, Refusal::Unavailable(_));
        let code = match &refusal {
            Refusal::NotFound(_) => 404,
            Refusal::Conflict(_) | Refusal::Unavailable(_) => 409,
            Refusal::BadRequest(_) => 400,
            Refusal::Forbidden(_) => 403,
            Refusal::Failed(error) => {
                tracing::error!(error = %error.trace().trim_end(), "request failed");
                500
            }
        };
        Self { soon, ..Self::new(code, refusal.to_string()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.error_code);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self.soon {
            true => (status, [(RETRY_AFTER, RETRY_SECONDS)], Json(self)).into_response(),
            false => (status, Json(self)).into_response(),
        }
    }
}
