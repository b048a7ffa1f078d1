//! A worker in a directory of its own, and a client that sends what it is told to.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use api::{RunningWorker, WorkerOptions};
use connect_core::config::Properties;
use connect_core_testkit::until;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or(Json::Null)
    }
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends one request over a connection and reads the answer to its end.
pub(crate) async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Answer {
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: worker:1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.map_or(0, <[u8]>::len);
    request.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(body.unwrap_or_default()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    };
    Answer {
        status: head[9..12].parse().unwrap(),
        headers: head.lines().skip(1).filter_map(header).collect(),
        text: text.to_owned(),
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);

impl Client {
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        exchange(TcpStream::connect(self.0).await.unwrap(), method, path, headers, body).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Json) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.raw(method, path, &headers, Some(body.to_string().as_bytes())).await
    }

    pub(crate) async fn act(&self, method: &str, path: &str) -> Answer {
        self.raw(method, path, &[], None).await
    }

    pub(crate) async fn get(&self, path: &str) -> Json {
        let answer = self.act("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    pub(crate) async fn create(&self, name: &str, config: Json) {
        let answer =
            self.send("POST", "/connectors", json!({"name": name, "config": config})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// State of a connector and its tasks, such as `RUNNING [RUNNING]`.
    pub(crate) async fn state(&self, name: &str) -> String {
        let status = self.act("GET", &format!("/connectors/{name}/status")).await.json();
        let tasks = status["tasks"].as_array().into_iter().flatten();
        let tasks: Vec<_> = tasks.filter_map(|task| task["state"].as_str()).collect();
        let connector = status["connector"]["state"].as_str().unwrap_or("-");
        format!("{connector} [{}]", tasks.join(" "))
    }

    pub(crate) async fn until(&self, name: &str, state: &str) {
        until(&format!("{name} to be {state}"), async || self.state(name).await == state).await;
    }
}

/// Starts a worker on the embedded log in `dir`, with further properties.
pub(crate) async fn start(dir: &Path, more: &[(&str, &str)]) -> (RunningWorker, Client) {
    const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";
    let log = dir.join("log").display().to_string();
    let mut properties = Properties::from([
        ("listeners".into(), "http://127.0.0.1:0".into()),
        ("log.dir".into(), log),
        ("key.converter".into(), STRING.into()),
        ("value.converter".into(), STRING.into()),
    ]);
    properties.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let (transport, loggers) = (None, Arc::default());
    let registry = connectors::registry();
    let options = WorkerOptions { properties, registry, transport, loggers };
    let worker = RunningWorker::start(options).await.unwrap();
    let client = Client(worker.addresses()[0]);
    (worker, client)
}

/// Configuration of a file source.
pub(crate) fn source(file: &Path, topic: &str) -> Json {
    json!({"connector.class": "FileStreamSource", "file": file, "topic": topic})
}

/// Configuration of a file sink.
pub(crate) fn sink(file: &Path, topics: &str) -> Json {
    json!({"connector.class": "FileStreamSink", "file": file, "topics": topics})
}

/// A configuration with further keys.
pub(crate) fn with(mut config: Json, more: Json) -> Json {
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}
