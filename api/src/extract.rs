//! What handlers take from a request: segments of the path, flags of the query, and JSON bodies.

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request,
        rejection::BytesRejection,
    },
    http::{
        header::{CONTENT_TYPE, HOST},
        request::Parts,
    },
};
use connect_core_runtime::herder::Submitted;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;

use crate::error::ApiError;

async fn segments(parts: &mut Parts) -> Result<Vec<(String, String)>, ApiError> {
    // What Jetty refuses before Connect sees it: such a path names nothing.
    let raw = parts.uri.path();
    if raw.contains("//") {
        return Err(ApiError::new(400, "Ambiguous URI empty segment"));
    }
    let escapes = raw.split('%').skip(1);
    let mut escapes = escapes.map(|rest| rest.as_bytes().get(..2).unwrap_or_default());
    if !escapes.all(|digits| digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)) {
        return Err(ApiError::new(400, "Bad URI encoding"));
    }
    let Path(segments) = Path::<Vec<(String, String)>>::from_request_parts(parts, &())
        .await
        .map_err(|e| ApiError::new(400, e.body_text()))?;
    if segments.iter().any(|(_, text)| text.chars().any(|c| c.is_ascii_control())) {
        return Err(ApiError::new(400, "Illegal character in the path"));
    }
    Ok(segments)
}

/// The first segment of the path that varies, decoded.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let first = segments(parts).await?.into_iter().next();
        first.map(|(_, name)| Self(name)).ok_or_else(ApiError::not_found)
    }
}

/// A connector and the number of a task, which may be negative.
pub(crate) struct TaskPath(pub(crate) String, pub(crate) i32);

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let segments = segments(parts).await?;
        let [(_, name), (_, task)] = &segments[..] else { return Err(ApiError::not_found()) };
        let task = task.parse().map_err(|_| ApiError::not_found())?;
        Ok(Self(name.clone(), task))
    }
}

/// Set on requests that came over TLS.
#[derive(Clone, Copy)]
pub(crate) struct Tls;

/// Where the client found this worker, such as `http://host:8083`.
pub(crate) struct Origin(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let scheme = if parts.extensions.get::<Tls>().is_some() { "https" } else { "http" };
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Ok(Self(format!("{scheme}://{host}")))
    }
}

/// The parameters of the query, in order.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// The first value of a parameter.
    pub(crate) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }
    /// As Java reads a boolean: `true` in any case, everything else is false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        query.map(|Query(all)| Self(all)).map_err(|e| ApiError::new(400, e.body_text()))
    }
}

/// A JSON body. Where the JVM answers a client's mistake with 500 and a Java exception, this is 400 with what is
/// wrong.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// What is wrong with a body that is missing.
const NO_BODY: &str = "The request has no body; a JSON object is expected";

async fn body(request: Request) -> Result<Bytes, ApiError> {
    let typed = request.headers().contains_key(CONTENT_TYPE);
    let bytes = Bytes::from_request(request, &())
        .await
        .map_err(|e: BytesRejection| ApiError::new(e.status().as_u16(), e.body_text()))?;
    if !typed && !bytes.is_empty() {
        return Err(ApiError::new(415, "HTTP 415 Unsupported Media Type"));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Some editors on Windows put a byte order mark before everything.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(ApiError::new(400, NO_BODY)),
        // A list would be taken for the fields in their order.
        Some(b'[') => return Err(ApiError::new(400, "a JSON object is expected, not a list")),
        Some(_) => {}
    }
    serde_json::from_slice(bytes).map_err(|e| ApiError::new(400, e.to_string()))
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        parse(&body(request).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, ApiError> {
        let bytes = body(request).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        parse(&bytes).map(|body| Some(Self(body)))
    }
}

/// A string in a body, for which a number or boolean counts as its own text.
#[derive(Debug)]
pub(crate) struct Scalar(pub(crate) String);

/// The text of a JSON scalar; none for null.
fn scalar<E: serde::de::Error>(value: &RawValue) -> Result<Option<String>, E> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map(Some).map_err(E::custom),
        Some(b'{' | b'[') => Err(E::custom(format!("a string is expected, not {text}"))),
        _ if text == "null" => Ok(None),
        _ => Ok(Some(text.to_owned())),
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(scalar(&raw)?.unwrap_or_default()))
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// A configuration in a body: a map of strings, in which a number or boolean counts as its own text.
#[derive(Debug)]
pub(crate) struct ConfigBody(pub(crate) Submitted);

impl<'de> Deserialize<'de> for ConfigBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::collections::BTreeMap::<String, Box<RawValue>>::deserialize(deserializer)?;
        let mut properties = Submitted::new();
        for (key, value) in raw {
            let text = scalar::<D::Error>(&value);
            let named = |e| D::Error::custom(format!("the value of {key} must be a string: {e}"));
            let text = text.map_err(named)?;
            properties.insert(key, text);
        }
        Ok(Self(properties))
    }
}

impl JsonSchema for ConfigBody {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Config".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A flat configuration. Numbers and booleans count as their text.",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        })
    }
}
