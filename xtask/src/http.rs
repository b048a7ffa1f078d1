//! The little HTTP that commands and tests need: JSON to and from services on this machine.

use std::time::Duration;

use anyhow::{Context, Result};
use ureq::Agent;
use ureq::http::Request;

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Value of `Content-Type`, when there is one.
    pub content_type: Option<String>,
    /// Body, as text.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// GET; any status is a reply, not an error.
pub fn get(url: &str) -> Result<Reply> {
    send("GET", url, &[], "")
}

/// POST of a JSON text as it is; any status is a reply, not an error.
pub fn post(url: &str, body: &str) -> Result<Reply> {
    send("POST", url, &[("Content-Type", "application/json")], body)
}

/// Any request; any status is a reply, not an error.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Result<Reply> {
    // A proxy of the environment is not for services on this machine.
    let config = Agent::config_builder().proxy(None).http_status_as_error(false);
    let config =
        config.timeout_global(Some(Duration::from_secs(60))).allow_non_standard_methods(true);
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let agent = Agent::from(config.build());
    let call = || -> Result<Reply> {
        let mut response = if body.is_empty() {
            agent.run(request.body(())?)?
        } else {
            agent.run(request.body(body)?)?
        };
        let content_type = response.headers().get("content-type");
        let content_type = content_type.and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = response.body_mut().read_to_string()?;
        Ok(Reply { status: response.status().as_u16(), content_type, body })
    };
    call().with_context(|| format!("{method} {url}"))
}
