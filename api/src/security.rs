//! Who may ask: basic authentication, origins of browsers, and headers on every answer.

use std::{
    collections::BTreeMap, fs::File, io::BufReader, path::Path, sync::Arc, time::SystemTime,
};

use anyhow::{Context, bail};
use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method,
        header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use regex::Regex;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer, Vary};

use crate::{error::ApiError, rest_config::RestConfig};

/// What a listener asks of requests.
#[derive(Clone, Default)]
pub(crate) struct Security {
    /// Passwords by user; none lets everybody in.
    users: Option<Arc<BTreeMap<String, String>>>,
    cors: Option<CorsLayer>,
    headers: Arc<Vec<ResponseHeader>>,
}

impl Security {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// If a key is wrong or a file cannot be read.
    pub(crate) fn open(config: &RestConfig) -> anyhow::Result<Self> {
        let mut users = None;
        for class in &config.extensions {
            match class.rsplit('.').next() {
                Some("BasicAuthSecurityRestExtension") => users = users_of(config)?,
                _ => bail!(
                    "Invalid value {class} for configuration rest.extension.classes: the only extension that is \
                     known is org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension"
                ),
            }
        }
        let headers = Arc::new(response_headers(&config.response_headers)?);
        Ok(Self { users, cors: cors(config)?, headers })
    }

    /// Adds the checks to a router.
    pub(crate) fn around(&self, mut router: Router) -> Router {
        if let Some(users) = &self.users {
            let users = Arc::clone(users);
            // Only on paths that exist: the others are 404 for everybody, as on the JVM.
            router =
                router.route_layer(middleware::from_fn(move |request: Request, next: Next| {
                    let users = Arc::clone(&users);
                    async move {
                        if internal(&request) || allowed(&users, request.headers()) {
                            return next.run(request).await;
                        }
                        let refused = ApiError::new(401, "User cannot access the resource.");
                        ([(WWW_AUTHENTICATE, "Basic realm=\"connect\"")], refused).into_response()
                    }
                }));
        }
        if let Some(cors) = &self.cors {
            router = router.layer(cors.clone());
        }
        if !self.headers.is_empty() {
            let headers = Arc::clone(&self.headers);
            router = router.layer(middleware::map_response(move |mut response: Response| {
                for header in headers.iter() {
                    header.apply(response.headers_mut());
                }
                std::future::ready(response)
            }));
        }
        router
    }
}

/// Requests that the JVM's workers sign: they are refused further in.
fn internal(request: &Request) -> bool {
    let path = request.uri().path().trim_end_matches('/');
    let of_connector = path.strip_prefix("/connectors/").and_then(|rest| rest.split_once('/'));
    matches!(
        (request.method(), of_connector),
        (&Method::POST, Some((_, "tasks"))) | (&Method::PUT, Some((_, "fence")))
    )
}

fn allowed(users: &BTreeMap<String, String>, headers: &HeaderMap) -> bool {
    let credentials = || {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        let basic = scheme.eq_ignore_ascii_case("basic");
        let decoded = basic.then(|| BASE64.decode(encoded.trim()).ok())??;
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(same(users.get(user)?.as_bytes(), password.as_bytes()))
    };
    users.is_empty() || credentials() == Some(true)
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn users_of(config: &RestConfig) -> anyhow::Result<Option<Arc<BTreeMap<String, String>>>> {
    let file = match &config.auth_file {
        Some(file) => file.clone(),
        None => jaas_file()?,
    };
    let open =
        File::open(&file).with_context(|| format!("cannot read the credentials in {file}"))?;
    let users = java_properties::read(BufReader::new(open));
    let users = users.with_context(|| format!("{file} is not a file of user=password lines"))?;
    if users.is_empty() {
        tracing::warn!(file, "no credentials: everybody may use the REST API");
    }
    Ok(Some(Arc::new(users.into_iter().collect())))
}

/// The file that `KafkaConnect { ...PropertyFileLoginModule required file="..."; };` names, in the JAAS configuration of
/// `-Djava.security.auth.login.config`, which people give in `KAFKA_OPTS`.
fn jaas_file() -> anyhow::Result<String> {
    const OPTION: &str = "-Djava.security.auth.login.config=";
    let options = std::env::var("KAFKA_OPTS").unwrap_or_default();
    let jaas = options.split_whitespace().find_map(|option| option.strip_prefix(OPTION));
    let jaas = jaas.context(
        "basic authentication needs rest.basic.auth.file, or -Djava.security.auth.login.config=FILE in KAFKA_OPTS",
    )?;
    let text = std::fs::read_to_string(Path::new(jaas))
        .with_context(|| format!("cannot read the JAAS configuration {jaas}"))?;
    let file = file_in_jaas(&text);
    file.with_context(|| format!("{jaas} has no entry KafkaConnect with a PropertyFileLoginModule"))
}

fn file_in_jaas(text: &str) -> Option<String> {
    let entry = Regex::new(
        r#"(?s)KafkaConnect\s*\{[^}]*PropertyFileLoginModule[^}]*?file\s*=\s*"([^"]+)""#,
    );
    Some(entry.ok()?.captures(text)?[1].to_owned())
}

fn cors(config: &RestConfig) -> anyhow::Result<Option<CorsLayer>> {
    if config.allow_origin.is_empty() {
        return Ok(None);
    }
    let pattern = |origin: &String| {
        let origin = if origin == "*" { ".*" } else { origin };
        Regex::new(&format!("^(?:{origin})$")).with_context(|| {
            format!("Invalid value {origin} for configuration access.control.allow.origin")
        })
    };
    let origins = config.allow_origin.iter().map(pattern).collect::<anyhow::Result<Vec<_>>>()?;
    let given = config.allow_methods.split(',').map(str::trim).filter(|m| !m.is_empty());
    let mut methods = Vec::new();
    for method in given {
        methods.push(method.parse::<Method>().with_context(|| {
            format!("Invalid value {method} for configuration access.control.allow.methods")
        })?);
    }
    if methods.is_empty() {
        methods = vec![Method::GET, Method::POST, Method::HEAD];
    }
    let allowed = move |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| origins.iter().any(|o| o.is_match(origin)))
    };
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| allowed(origin)))
        .allow_methods(methods)
        .allow_headers([CONTENT_TYPE, AUTHORIZATION])
        .max_age(Duration::from_secs(60))
        .vary(Vary::list([ORIGIN]));
    Ok(Some(layer))
}

/// A header for every answer.
struct ResponseHeader {
    name: HeaderName,
    value: Content,
    /// In place of one that is there; else besides it.
    replace: bool,
}

enum Content {
    Text(HeaderValue),
    /// So many milliseconds from now, as a date.
    Date(i64),
}

impl ResponseHeader {
    fn apply(&self, headers: &mut HeaderMap) {
        let value = match &self.value {
            Content::Text(value) => Some(value.clone()),
            Content::Date(from_now) => {
                let offset = Duration::from_millis(from_now.unsigned_abs());
                let now = SystemTime::now();
                let at = if *from_now < 0 { now - offset } else { now + offset };
                HeaderValue::from_str(&httpdate::fmt_http_date(at)).ok()
            }
        };
        match (value, self.replace) {
            (Some(value), true) => drop(headers.insert(&self.name, value)),
            (Some(value), false) => drop(headers.append(&self.name, value)),
            (None, _) => {}
        }
    }
}

/// Reads `action name: value` items, separated by commas; an item with commas stands in double quotes.
fn response_headers(text: &str) -> anyhow::Result<Vec<ResponseHeader>> {
    let mut items = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(String::new()),
            c => items.last_mut().into_iter().for_each(|item| item.push(c)),
        }
    }
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    items.map(response_header).collect()
}

fn response_header(item: &str) -> anyhow::Result<ResponseHeader> {
    let wrong = || {
        format!(
            "Invalid value {item} for configuration response.http.headers.config: expected an action (set, add, \
             setDate, addDate), a name, a colon and a value, such as add X-Frame-Options: DENY"
        )
    };
    let (action, header) = item.split_once(char::is_whitespace).with_context(wrong)?;
    let (name, value) = header.split_once(':').with_context(wrong)?;
    let name = name.trim().parse().with_context(wrong)?;
    let value = value.trim();
    let text = || HeaderValue::from_str(value).with_context(wrong).map(Content::Text);
    let date = || value.parse().with_context(wrong).map(Content::Date);
    let (value, replace) = match action.to_ascii_lowercase().as_str() {
        "set" => (text()?, true),
        "add" => (text()?, false),
        "setdate" => (date()?, true),
        "adddate" => (date()?, false),
        _ => bail!(wrong()),
    };
    Ok(ResponseHeader { name, value, replace })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_jetty_reads_them() {
        let mut headers = HeaderMap::new();
        headers.insert("a", HeaderValue::from_static("0"));
        let all = "add a: 1, set b: x:y, \"add c: 1, 2\", setDate expires: 0";
        for header in response_headers(all).unwrap() {
            header.apply(&mut headers);
        }
        let values =
            |name| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(values("a"), ["0", "1"]);
        assert_eq!((values("b"), values("c")), (vec!["x:y"], vec!["1, 2"]));
        assert!(values("expires")[0].ends_with("GMT"));
        for bad in ["a: 1", "put a: 1", "set a", "setDate a: soon", "set a b: 1"] {
            let error = response_headers(bad).err().unwrap().to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    #[test]
    fn credentials_are_compared_as_a_whole() {
        let users = BTreeMap::from([("ann".to_owned(), "s3cret".to_owned())]);
        let asks = |value: String| {
            let value = HeaderValue::from_str(&value).unwrap();
            allowed(&users, &HeaderMap::from_iter([(AUTHORIZATION, value)]))
        };
        let basic = |text: &str| format!("bAsIc {}", BASE64.encode(text));
        assert!(asks(basic("ann:s3cret")));
        for bad in ["ann:s3cre", "ann:", "bob:s3cret", "ann"] {
            assert!(!asks(basic(bad)), "{bad}");
        }
        assert!(!asks("basic !".into()) && !asks("bearer x".into()));
        assert!(!allowed(&users, &HeaderMap::new()));
        assert!(allowed(&BTreeMap::new(), &HeaderMap::new()), "an empty file lets everybody in");
    }

    #[test]
    fn the_file_stands_in_the_jaas_configuration() {
        let text = "Other { x required file=\"/no\"; };\nKafkaConnect {\n  \
                    org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required\n  \
                    file=\"/etc/connect.password\";\n};";
        assert_eq!(file_in_jaas(text).as_deref(), Some("/etc/connect.password"));
        assert_eq!(file_in_jaas("KafkaClient { };"), None);
    }
}
