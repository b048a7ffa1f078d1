//! Request bodies: configurations are maps of strings, and a number or boolean counts as its own text.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::header::CONTENT_TYPE,
};
use connect_core::config::Properties;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;

use crate::error::ApiError;

/// A JSON body. Where the JVM answers a client's mistake with 500 and a Java exception, this is 400 with what is
/// wrong.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str());
        let json = content_type.is_some_and(|value| {
            let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/json")
        });
        if !json {
            return Err(ApiError::new(415, "HTTP 415 Unsupported Media Type"));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|e: BytesRejection| ApiError::new(e.status().as_u16(), e.body_text()))?;
        // A list would be taken for the fields in their order.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(ApiError::new(400, "a JSON object is expected, not a list"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|e| ApiError::new(400, e.to_string()))
    }
}

/// A configuration in a body.
#[derive(Debug)]
pub(crate) struct ConfigBody(pub(crate) Properties);

impl<'de> Deserialize<'de> for ConfigBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::collections::BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let mut properties = Properties::new();
        for (key, value) in raw {
            let text = value.get();
            let text = match text.as_bytes().first() {
                Some(b'"') => serde_json::from_str(text).map_err(D::Error::custom)?,
                Some(b'{' | b'[') => {
                    let message = format!("the value of {key} must be a string, not {text}");
                    return Err(D::Error::custom(message));
                }
                _ if text == "null" => {
                    let message = format!(
                        "Invalid value null for configuration {key}: Null value can not be supplied as the \
                         configuration value."
                    );
                    return Err(D::Error::custom(message));
                }
                _ => text.to_owned(),
            };
            properties.insert(key, text);
        }
        Ok(Self(properties))
    }
}
