//! Tokens for OAUTHBEARER (KIP-255, KIP-768). One thread per login gets them and gives each to all clients that log in
//! so: librdkafka would ask for them on a queue that an admin client never looks at.

use std::{
    ffi::{CString, c_char},
    fmt, fs,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use connect_core::error::{Error, Result};
use rdkafka::{
    ClientContext,
    admin::AdminClient,
    bindings,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    producer::{Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafka,
};
use serde_json::{Map, Value};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::context::Trouble;

/// The most that a token endpoint may answer with.
const MOST_ANSWER: u64 = 1 << 20;
/// How long a token that doesn't say is taken to live.
const LIFETIME: i64 = 300_000;
/// First and longest pause between attempts where the endpoint isn't asked: a file that cannot be read.
const PAUSES: (u64, u64) = (1000, 10_000);

/// Where tokens are from. Not printable: it holds secrets.
#[derive(Clone, PartialEq)]
pub(crate) enum Login {
    /// Claims that nobody signs (`OAuthBearerUnsecuredLoginCallbackHandler`).
    Unsecured {
        claims: Map<String, Value>,
        principal: String,
        lifetime_ms: i64,
        extensions: Vec<(String, String)>,
    },
    /// A file that something else keeps fresh (`FileJwtRetriever`).
    File { path: String, principal: String, extensions: Vec<(String, String)> },
    /// The client credentials grant (`ClientCredentialsJwtRetriever`).
    Endpoint(Box<Endpoint>),
}

/// A token endpoint with what it wants to know.
#[derive(Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) scope: Option<String>,
    /// Whether id and secret are URL-encoded (RFC 6749, section 2.3.1; most servers want them as they are).
    pub(crate) encode: bool,
    pub(crate) principal: String,
    pub(crate) extensions: Vec<(String, String)>,
    /// Certificates in PEM; none: Mozilla's.
    pub(crate) trust: Option<String>,
    pub(crate) connect_ms: u64,
    pub(crate) read_ms: u64,
    pub(crate) backoff_ms: u64,
    pub(crate) longest_backoff_ms: u64,
}

struct Token {
    value: CString,
    principal: CString,
    /// Milliseconds since the epoch.
    expires: i64,
    extensions: Vec<CString>,
}

/// Why there is no token. Refused ones are not worth another try.
#[derive(Debug)]
struct Failure {
    refused: bool,
    message: String,
}

impl Failure {
    fn of(message: impl fmt::Display) -> Self {
        Self { refused: false, message: message.to_string() }
    }
}

/// A client that librdkafka knows by a pointer.
pub(crate) trait Native: Send + Sync {
    fn native(&self) -> *mut RDKafka;
}
impl<C: ConsumerContext> Native for BaseConsumer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}
impl<C: ProducerContext> Native for ThreadedProducer<C> {
    fn native(&self) -> *mut RDKafka {
        self.client().native_ptr()
    }
}
impl<C: ClientContext> Native for AdminClient<C> {
    fn native(&self) -> *mut RDKafka {
        self.inner().native_ptr()
    }
}

type Member = (Weak<dyn Native>, Trouble);

/// The logins of a worker: clients that log in alike share their tokens.
#[derive(Default)]
pub(crate) struct Logins(Mutex<Vec<Weak<Tokens>>>);

impl Logins {
    /// What a client that logs in so is supplied by.
    pub(crate) fn supply(&self, login: Option<Login>) -> Result<Supply> {
        let Some(login) = login else { return Ok(Supply(None)) };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|tokens| tokens.strong_count() > 0);
        let known = all.iter().filter_map(Weak::upgrade).find(|tokens| tokens.login == login);
        let tokens = match known {
            Some(tokens) => tokens,
            None => {
                let new = Arc::new(Tokens::start(login)?);
                all.push(Arc::downgrade(&new));
                new
            }
        };
        Ok(Supply(Some(tokens)))
    }
}

/// Tokens for a client for as long as it holds this; none for one that needs none.
#[derive(Clone)]
pub(crate) struct Supply(Option<Arc<Tokens>>);

impl Supply {
    /// Supplies a client from now on.
    pub(crate) fn join(&self, client: &Arc<impl Native + 'static>, trouble: &Trouble) {
        let Some(tokens) = &self.0 else { return };
        let weak: Weak<dyn Native> = Arc::downgrade(client) as _;
        // The thread ends only with this sender.
        let _ = tokens.members.send((weak, trouble.clone()));
    }
}

/// Keeps clients supplied with tokens, until it is dropped.
struct Tokens {
    login: Login,
    members: Sender<Member>,
}

impl Tokens {
    fn start(login: Login) -> Result<Self> {
        let (members, joining) = channel();
        let supply = login.clone();
        std::thread::Builder::new()
            .name("oauth-tokens".into())
            .spawn(move || serve(&supply, &joining))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        Ok(Self { login, members })
    }
}

fn serve(login: &Login, joining: &Receiver<Member>) {
    let mut members: Vec<Member> = Vec::new();
    let mut token: Option<Token> = None;
    let mut next = Instant::now();
    let (first, longest) = match login {
        Login::Endpoint(endpoint) => {
            (endpoint.backoff_ms.max(1), endpoint.longest_backoff_ms.max(1))
        }
        _ => PAUSES,
    };
    let mut pause = first;
    loop {
        match joining.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(member) => {
                if let Some(token) = &token {
                    give(token, &member);
                }
                members.push(member);
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                members.retain(|(client, _)| client.strong_count() > 0);
                match get(login) {
                    Ok(fresh) => {
                        members.iter().for_each(|member| give(&fresh, member));
                        let left = u64::try_from(fresh.expires - now()).unwrap_or_default();
                        // librdkafka asks for the next one at four fifths, too.
                        next = Instant::now() + Duration::from_millis((left / 5 * 4).max(first));
                        (token, pause) = (Some(fresh), first);
                    }
                    Err(failure) => {
                        tracing::warn!(
                            error = failure.message,
                            "no token for OAUTHBEARER; trying again"
                        );
                        members.iter().for_each(|member| fail(&failure, member));
                        next = Instant::now() + Duration::from_millis(pause);
                        pause = pause.saturating_mul(2).min(longest);
                    }
                }
            }
        }
    }
}

#[allow(unsafe_code, reason = "rdkafka has no call for it")]
fn give(token: &Token, (client, trouble): &Member) {
    let Some(client) = client.upgrade() else { return };
    let mut extensions: Vec<*const c_char> = token.extensions.iter().map(|e| e.as_ptr()).collect();
    let mut why = [0u8; 512];
    // SAFETY: the client lives as long as its Arc; all texts end with a zero and live until after the call, which
    // copies them; the buffer's length is passed along.
    let code = unsafe {
        bindings::rd_kafka_oauthbearer_set_token(
            client.native(),
            token.value.as_ptr(),
            token.expires,
            token.principal.as_ptr(),
            extensions.as_mut_ptr(),
            extensions.len(),
            why.as_mut_ptr().cast(),
            why.len(),
        )
    };
    if code != bindings::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        let why = String::from_utf8_lossy(&why);
        let message = format!("librdkafka refuses the token: {}", why.trim_end_matches('\0'));
        trouble.denied(&message);
    }
}

#[allow(unsafe_code, reason = "rdkafka has no call for it")]
fn fail(failure: &Failure, (client, trouble): &Member) {
    let Some(client) = client.upgrade() else { return };
    match failure.refused {
        true => trouble.denied(&failure.message),
        false => trouble.seen(&failure.message),
    }
    let Ok(why) = CString::new(failure.message.replace('\0', " ")) else { return };
    // SAFETY: the client lives as long as its Arc; the text ends with a zero and is copied.
    unsafe { bindings::rd_kafka_oauthbearer_set_token_failure(client.native(), why.as_ptr()) };
}

fn get(login: &Login) -> Result<Token, Failure> {
    match login {
        Login::Unsecured { claims, principal, lifetime_ms, extensions } => {
            let mut claims = claims.clone();
            let seconds = now() as f64 / 1000.0;
            claims.entry("iat").or_insert_with(|| seconds.into());
            claims.entry("exp").or_insert_with(|| (seconds + *lifetime_ms as f64 / 1000.0).into());
            let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
            let header = part(&serde_json::json!({"alg": "none"}));
            let value = format!("{header}.{}.", part(&Value::Object(claims)));
            token(&value, principal, None, now() + lifetime_ms, extensions)
        }
        Login::File { path, principal, extensions } => {
            let value = fs::read_to_string(path).map_err(|e| {
                Failure::of(format!("the token file {path} (sasl.oauthbearer.token.endpoint.url) cannot be read: {e}"))
            })?;
            token(value.trim(), principal, None, now() + LIFETIME, extensions)
        }
        Login::Endpoint(endpoint) => endpoint.token(),
    }
}

impl Endpoint {
    fn token(&self) -> Result<Token, Failure> {
        let failed = |why: &dyn fmt::Display| {
            Failure::of(format!(
                "the token endpoint {} (sasl.oauthbearer.token.endpoint.url) cannot be asked: {why}",
                self.url
            ))
        };
        let roots = match &self.trust {
            None => RootCerts::WebPki,
            Some(pem) => {
                let all = ureq::tls::parse_pem(pem.as_bytes()).filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                });
                RootCerts::Specific(Arc::new(all.collect::<Vec<Certificate<'static>>>()))
            }
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_millis(self.connect_ms)))
            .timeout_global(Some(Duration::from_millis(self.connect_ms + self.read_ms)))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build()
            .new_agent();
        let text = |text: &str| if self.encode { encoded(text) } else { text.to_owned() };
        let credentials = format!("{}:{}", text(&self.client_id), text(&self.client_secret));
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.scope {
            body.push_str(&format!("&scope={}", encoded(scope)));
        }
        let mut response = agent
            .post(&self.url)
            .header("Authorization", format!("Basic {}", STANDARD.encode(credentials)))
            .header("Accept", "application/json")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .send(body)
            .map_err(|e| failed(&e))?;
        let status = response.status();
        let answer = response.body_mut().with_config().limit(MOST_ANSWER).read_to_string();
        let answer = answer.map_err(|e| failed(&e))?;
        let json: Value = serde_json::from_str(&answer).unwrap_or_default();
        if !status.is_success() {
            // What RFC 6749 has in an error; the rest of the answer may be anything.
            let said =
                ["error", "error_description"].map(|key| json[key].as_str().unwrap_or_default());
            let message = format!(
                "the token endpoint {} (sasl.oauthbearer.token.endpoint.url) refuses client {}: {status} {}",
                self.url,
                self.client_id,
                said.join(" ").trim()
            );
            return Err(Failure { refused: status.is_client_error(), message });
        }
        let value = json["access_token"].as_str().or(json["id_token"].as_str());
        let value = value.ok_or_else(|| failed(&"its answer has no access_token"))?;
        let life =
            json["expires_in"].as_i64().map_or(LIFETIME, |seconds| seconds.saturating_mul(1000));
        let fallback = Some(self.client_id.as_str());
        token(value, &self.principal, fallback, now().saturating_add(life), &self.extensions)
    }
}

/// What a token says of itself, where it is a JWT that says something.
fn token(
    value: &str,
    principal: &str,
    fallback: Option<&str>,
    expires: i64,
    extensions: &[(String, String)],
) -> Result<Token, Failure> {
    let claims = value.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value =
        claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let named = claims[principal].as_str().or(fallback);
    let named = named.ok_or_else(|| {
        Failure::of(format!(
            "the token has no claim {principal}, which sasl.oauthbearer.sub.claim.name asks for"
        ))
    })?;
    let exp = claims["exp"].as_f64().map(|seconds| (seconds * 1000.0) as i64);
    let text = |text: &str| {
        CString::new(text)
            .map_err(|_| Failure::of("there is a zero byte in the token or its extensions"))
    };
    let pairs = extensions.iter().flat_map(|(key, value)| [key, value]);
    Ok(Token {
        value: text(value)?,
        principal: text(named)?,
        expires: exp.unwrap_or(expires),
        extensions: pairs.map(|part| text(part)).collect::<Result<_, _>>()?,
    })
}

/// Milliseconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// As `application/x-www-form-urlencoded`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
