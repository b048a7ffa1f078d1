//! The little HTTP that commands and tests need: JSON to and from services on this machine.

use anyhow::{Context, Result};
use minreq::{Method, Request};

/// Seconds that a service may take to answer.
const TIMEOUT: u64 = 60;

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Value of `Content-Type`, when there is one.
    pub content_type: Option<String>,
    /// Value of `Retry-After`, when there is one.
    pub retry_after: Option<String>,
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
    send_within(TIMEOUT, method, url, headers, body)
}

/// Like [`send`], with so many seconds for the answer.
pub fn send_within(
    seconds: u64,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply> {
    let mut request = Request::new(Method::Custom(method.to_owned()), url).with_timeout(seconds);
    for (name, value) in headers {
        request = request.with_header(*name, *value);
    }
    if !body.is_empty() {
        request = request.with_body(body);
    }
    let response = request.send().with_context(|| format!("{method} {url}"))?;
    let status = response.status_code;
    let header = |wanted: &str| {
        let mut headers = response.headers.iter();
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone())
    };
    let (content_type, retry_after) = (header("content-type"), header("retry-after"));
    Ok(Reply { status, content_type, retry_after, body: response.as_str()?.to_owned() })
}
