//! Connect's error body.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_core_runtime::herder::Refusal;
use schemars::JsonSchema;
use serde::Serialize;

/// Why a request was refused: `{"error_code":404,"message":"..."}`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorMessage")]
pub(crate) struct ApiError {
    /// The status code.
    error_code: u16,
    /// What is wrong, and where it helps, what would be right.
    message: String,
}

impl ApiError {
    pub(crate) fn new(error_code: u16, message: impl Into<String>) -> Self {
        Self { error_code, message: message.into() }
    }
    /// The answer to a path that does not exist.
    pub(crate) fn not_found() -> Self {
        Self::new(404, "HTTP 404 Not Found")
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NotFound(_) => 404,
            Refusal::Conflict(_) => 409,
            Refusal::BadRequest(_) => 400,
            Refusal::Forbidden(_) => 403,
            Refusal::Failed(error) => {
                tracing::error!(error = %error.trace().trim_end(), "request failed");
                500
            }
        };
        Self::new(code, refusal.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.error_code);
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(self)).into_response()
    }
}
