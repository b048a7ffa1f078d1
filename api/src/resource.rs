//! A resource: its path, its methods, and what the description of the API says of them. The rules that hold for each
//! of them are JAX-RS's: the path is matched first, then the method, then the media types.

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCEPT, ALLOW, CONTENT_TYPE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, options},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{Shared, error::ApiError};

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What the description of the API says of a method of a resource.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) summary: &'static str,
    /// Names of query parameters with what they mean.
    pub(crate) query: Vec<(&'static str, &'static str)>,
    pub(crate) body: Option<SchemaOf>,
    /// Status and body of an answer.
    pub(crate) answers: Vec<(u16, Option<SchemaOf>)>,
}

/// An operation that can always answer with an error.
pub(crate) fn op(summary: &'static str) -> Operation {
    Operation { summary, query: Vec::new(), body: None, answers: Vec::new() }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    pub(crate) fn query(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.query.push((name, meaning));
        self
    }
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema_of::<T>);
        self
    }
    pub(crate) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers.push((status, Some(schema_of::<T>)));
        self
    }
    pub(crate) fn done(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            self.answers.push((*status, Some(schema_of::<ApiError>)));
        }
        self
    }
}

/// A path with its methods.
pub(crate) struct Resource {
    pub(crate) path: &'static str,
    router: MethodRouter<Shared>,
    pub(crate) operations: Vec<(&'static str, Operation)>,
}

macro_rules! method {
    ($name:ident, $filter:expr) => {
        pub(crate) fn $name<H: Handler<T, Shared>, T: 'static>(
            mut self,
            handler: H,
            operation: Operation,
        ) -> Self {
            self.router = self.router.on($filter, handler);
            self.operations.push((stringify!($name), operation));
            self
        }
    };
}

impl Resource {
    pub(crate) fn new(path: &'static str) -> Self {
        Self { path, router: MethodRouter::new(), operations: Vec::new() }
    }
    method!(get, MethodFilter::GET);
    method!(post, MethodFilter::POST);
    method!(put, MethodFilter::PUT);
    method!(patch, MethodFilter::PATCH);
    method!(delete, MethodFilter::DELETE);

    /// Adds the routes, with and without a slash at the end.
    pub(crate) fn mount(self, router: Router<Shared>) -> Router<Shared> {
        let mut allowed: Vec<String> =
            self.operations.iter().map(|(method, _)| method.to_ascii_uppercase()).collect();
        if allowed.iter().any(|method| method == "GET") {
            allowed.insert(0, "HEAD".to_owned());
        }
        allowed.push("OPTIONS".to_owned());
        let allowed = allowed.join(",");
        let consumes = ["/connectors", "/connector-plugins", "/admin"];
        let consumes = consumes.iter().any(|start| self.path.starts_with(start));
        let checked = self.router.route_layer(middleware::from_fn(
            move |request: Request, next: Next| async move {
                let charset = charset(request.headers());
                match media_types(&request, consumes) {
                    Ok(()) => with_charset(next.run(request).await, charset),
                    Err(refused) => refused.into_response(),
                }
            },
        ));
        let told = options(async move || {
            let headers = [(ALLOW, allowed.clone()), (CONTENT_TYPE, "text/plain".to_owned())];
            (StatusCode::OK, headers, allowed.replace(',', ", "))
        });
        let methods = checked.merge(told).fallback(method_not_allowed);
        match self.path {
            "/" => router.route("/", methods),
            path => router.route(path, methods.clone()).route(&format!("{path}/"), methods),
        }
    }
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(405, "HTTP 405 Method Not Allowed")
}

/// Whether a `Content-Type` is JSON.
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn media_types(request: &Request, consumes: bool) -> Result<(), ApiError> {
    let text = |headers: &HeaderMap, name| {
        let values: Vec<_> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let content_type = text(request.headers(), CONTENT_TYPE);
    if consumes && content_type.is_some_and(|given| !is_json(&given)) {
        return Err(ApiError::new(415, "HTTP 415 Unsupported Media Type"));
    }
    let accept = text(request.headers(), ACCEPT);
    if request.method() != Method::OPTIONS && accept.is_some_and(|accept| !accepts_json(&accept)) {
        return Err(ApiError::new(406, "HTTP 406 Not Acceptable"));
    }
    Ok(())
}

/// The character set that the client names with JSON: as JAX-RS, it is named back.
fn charset(headers: &HeaderMap) -> Option<String> {
    let ranges = headers.get(ACCEPT)?.to_str().ok()?.split(',');
    ranges.map(str::trim).filter(|range| is_json(range)).find_map(|range| {
        let mut parameters = range.split(';').skip(1).map(str::trim);
        parameters
            .find(|parameter| parameter.to_ascii_lowercase().starts_with("charset="))
            .map(str::to_owned)
    })
}

fn with_charset(mut response: Response, charset: Option<String>) -> Response {
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|ty| ty == "application/json");
    if let Some(charset) = charset.filter(|_| json)
        && let Ok(named) = HeaderValue::from_str(&format!("application/json;{charset}"))
    {
        response.headers_mut().insert(CONTENT_TYPE, named);
    }
    response
}

fn accepts_json(accept: &str) -> bool {
    // A header without a value says nothing.
    accept.trim().is_empty()
        || accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let range = parts.next().unwrap_or_default().to_ascii_lowercase();
            let refused = parts.any(|parameter| {
                let weight =
                    parameter.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
                weight == Some(0.0)
            });
            !refused && matches!(range.as_str(), "*/*" | "*" | "application/*" | "application/json")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_is_named_back() {
        let asked = |accept| {
            let value = HeaderValue::from_static(accept);
            charset(&HeaderMap::from_iter([(ACCEPT, value)]))
        };
        assert_eq!(asked("application/json;charset=utf-8").as_deref(), Some("charset=utf-8"));
        assert_eq!(asked("text/html;charset=utf-8, application/json;q=1"), None);
        let answer = with_charset(ApiError::not_found().into_response(), Some("charset=x".into()));
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json;charset=x");
    }

    #[test]
    fn accept_as_jax_rs_reads_it() {
        for good in ["*/*", "application/json; charset=utf-8", "text/html, application/*;q=0.1"] {
            assert!(accepts_json(good), "{good}");
        }
        for bad in ["text/html", "application/json;q=0", "application/vnd.kafka.json", "x"] {
            assert!(!accepts_json(bad), "{bad}");
        }
    }
}
