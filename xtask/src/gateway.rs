//! A stand-in for KrakenD, which the package registries don't have: as much of it as its `krakend.json` here uses, and the
//! default encoding, so that a file without `no-op` would be found out.
//!
//! What KrakenD does: an endpoint of encoding `no-op` passes status, headers and body of its backend on. Any other takes the
//! answer apart and makes a new one: 200 where the backend said 200 or 201, else 500 and no body. Headers of the client reach the
//! backend only when `input_headers` names them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::{self, Reply};

/// Longest body that is taken.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// An endpoint of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    method: String,
    path: String,
    no_op: bool,
    input_headers: Vec<String>,
    /// The backend's host and path.
    host: String,
    url_pattern: String,
    backend_no_op: bool,
}

/// The gateway, as its file describes it.
#[derive(Debug)]
pub struct Gateway {
    endpoints: Vec<Endpoint>,
    /// Where `host:port` of the file really is, for those that no name server knows.
    addresses: BTreeMap<String, String>,
}

/// Serves `file` on all addresses until the process ends.
pub fn serve(file: &str, port: u16) -> Result<()> {
    let gateway = Gateway::read(Path::new(file), BTreeMap::new())?;
    Arc::new(gateway).accept(&listen(Ipv4Addr::UNSPECIFIED, port)?)
}

impl Gateway {
    /// Reads a `krakend.json`; `addresses` says where `host:port` of its backends are to be found.
    pub fn read(file: &Path, addresses: BTreeMap<String, String>) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let config: Value = serde_json::from_str(&text)?;
        ensure!(config["version"] == 3, "{}: version is not 3", file.display());
        let endpoints = config["endpoints"].as_array().context("no endpoints")?;
        let endpoints = endpoints.iter().map(endpoint).collect::<Result<_>>()?;
        Ok(Self { endpoints, addresses })
    }

    /// Serves in the background on a port of 127.0.0.1, as long as this process lives.
    pub fn start(self, port: u16) -> Result<()> {
        let listener = listen(Ipv4Addr::LOCALHOST, port)?;
        let gateway = Arc::new(self);
        thread::spawn(move || gateway.accept(&listener));
        Ok(())
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) -> Result<()> {
        loop {
            let (connection, _) = listener.accept()?;
            let gateway = Arc::clone(self);
            thread::spawn(move || {
                if let Err(error) = gateway.answer(connection) {
                    eprintln!("gateway: {error:#}");
                }
            });
        }
    }

    fn answer(&self, connection: TcpStream) -> Result<()> {
        let request = Request::read(&mut BufReader::new(&connection))?;
        let reply = self.reply(&request);
        let kind = reply.content_type.map(|t| format!("Content-Type: {t}\r\n")).unwrap_or_default();
        write!(
            &connection,
            "HTTP/1.1 {} -\r\n{kind}Content-Length: {}\r\nConnection: close\r\n\r\n{}",
            reply.status,
            reply.body.len(),
            reply.body
        )?;
        Ok(())
    }

    fn reply(&self, request: &Request) -> Reply {
        let plain =
            |status| Reply { status, content_type: None, retry_after: None, body: String::new() };
        if request.path == "/__health" {
            return plain(200);
        }
        let matching = self.endpoints.iter().filter(|e| e.method == request.method);
        let mut routes = matching.filter_map(|e| Some((e, parameters(&e.path, &request.path)?)));
        let Some((endpoint, parameters)) = routes.next() else { return plain(404) };
        let answer = self.ask(endpoint, &parameters, request);
        match answer {
            Ok(answer) if endpoint.no_op && endpoint.backend_no_op => answer,
            Ok(answer) => encoded_again(&answer).unwrap_or_else(|| plain(500)),
            Err(error) => {
                eprintln!("gateway: {error:#}");
                plain(500)
            }
        }
    }

    fn ask(
        &self,
        endpoint: &Endpoint,
        parameters: &[(&str, &str)],
        request: &Request,
    ) -> Result<Reply> {
        let mut path = endpoint.url_pattern.clone();
        for (name, value) in parameters {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let (scheme, host) = endpoint.host.split_once("://").context("a host without scheme")?;
        let address = self.addresses.get(host).map_or(host, String::as_str);
        let is_passed =
            |name: &str| endpoint.input_headers.iter().any(|h| h.eq_ignore_ascii_case(name));
        let headers = request.headers.iter().filter(|(name, _)| is_passed(name));
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
        http::send(&request.method, &format!("{scheme}://{address}{path}"), &headers, &request.body)
    }
}

/// KrakenD's default: the backend's JSON object is read and written again under a status of its own.
fn encoded_again(answer: &Reply) -> Option<Reply> {
    let object: serde_json::Map<_, _> = serde_json::from_str(&answer.body).ok()?;
    let content_type = Some("application/json; charset=utf-8".to_owned());
    let body = Value::Object(object).to_string();
    matches!(answer.status, 200 | 201).then_some(Reply {
        status: 200,
        content_type,
        retry_after: None,
        body,
    })
}

fn endpoint(config: &Value) -> Result<Endpoint> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let path = text(&config["endpoint"]).context("an endpoint without a path")?;
    let no_op = config["output_encoding"] == "no-op";
    let [backend] = config["backend"].as_array().map_or(&[][..], Vec::as_slice) else {
        bail!("{path}: this stand-in knows endpoints of exactly one backend");
    };
    let headers = config["input_headers"].as_array().into_iter().flatten();
    Ok(Endpoint {
        method: text(&config["method"]).unwrap_or_else(|| "GET".into()),
        no_op,
        input_headers: headers.filter_map(text).collect(),
        host: text(&backend["host"][0])
            .with_context(|| format!("{path}: a backend without host"))?,
        url_pattern: text(&backend["url_pattern"]).unwrap_or_default(),
        backend_no_op: backend["encoding"] == "no-op",
        path,
    })
}

/// The values of `{name}`s when `path` is one of `pattern`.
fn parameters<'a>(pattern: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let (wanted, given): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let mut parameters = Vec::new();
    for (wanted, given) in wanted.iter().zip(&given) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => parameters.push((name, *given)),
            None if wanted == given => {}
            None => return None,
        }
    }
    (wanted.len() == given.len()).then_some(parameters)
}

fn listen(ip: Ipv4Addr, port: u16) -> Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((ip, port)))
        .with_context(|| format!("the gateway cannot listen on {ip}:{port}"))
}

/// A request of HTTP/1.
struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn read(input: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = words.next().zip(words.next()).context("not a request")?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.as_str())
        };
        ensure!(header("Transfer-Encoding").is_none(), "this stand-in takes no chunked bodies");
        let length = header("Content-Length").map_or(Ok(0), str::parse)?;
        ensure!(length <= MOST_BYTES, "a body of {length} bytes");
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        Ok(Self { method, path, headers, body: String::from_utf8(body)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, content_type: None, retry_after: None, body: body.to_owned() }
    }

    #[test]
    fn the_default_encoding_loses_status_and_body() {
        assert_eq!(encoded_again(&reply(201, r#"{ "a": 1 }"#)).unwrap().status, 200);
        assert_eq!(encoded_again(&reply(201, r#"{ "a": 1 }"#)).unwrap().body, r#"{"a":1}"#);
        assert_eq!(encoded_again(&reply(409, r#"{"error_code":409}"#)), None);
        assert_eq!(encoded_again(&reply(200, "[]")), None);
    }

    #[test]
    fn paths_with_names_match_part_by_part() {
        let pattern = "/connectors/{name}/status";
        assert_eq!(parameters(pattern, "/connectors/a/status"), Some(vec![("name", "a")]));
        assert_eq!(parameters(pattern, "/connectors/a"), None);
        assert_eq!(parameters("/carga", "/connectors"), None);
    }

    #[test]
    fn headers_are_read_whatever_their_case() {
        let text = "POST /carga HTTP/1.1\r\ncontent-length: 2\r\nX: y\r\n\r\n{}";
        let request = Request::read(&mut text.as_bytes()).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/carga"));
        assert_eq!((request.headers.len(), request.body.as_str()), (2, "{}"));
    }

    #[test]
    fn every_endpoint_of_our_file_passes_answers_on() {
        let file = crate::root().join("examples/krakend.json");
        let gateway = Gateway::read(&file, BTreeMap::new()).unwrap();
        assert_eq!(gateway.endpoints.len(), 3);
        assert!(gateway.endpoints.iter().all(|e| e.no_op && e.backend_no_op));
    }
}
