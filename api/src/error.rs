//! Connect's error body.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use connect_core_runtime::herder::Refusal;
use serde::Serialize;

/// `{"error_code":404,"message":"..."}`.
#[derive(Debug, Serialize)]
pub(crate) struct ApiError {
    error_code: u16,
    message: String,
}

impl ApiError {
    pub(crate) fn new(error_code: u16, message: impl Into<String>) -> Self {
        Self { error_code, message: message.into() }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NotFound(_) => 404,
            Refusal::Conflict(_) => 409,
            Refusal::BadRequest(_) => 400,
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
