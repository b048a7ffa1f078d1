//! A worker on the embedded log, over REST.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{RunningWorker, WorkerOptions};
use connect_core::{config::Properties, registry::Registry, transport::Transport};
use connect_core_log::EmbeddedLog;
use connect_core_testkit::{Faulty, until};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Client(SocketAddr);

impl Client {
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Json>) -> (u16, Json) {
        let text = body.map(Json::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        let mut socket = TcpStream::connect(self.0).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Json::Null))
    }

    async fn get(&self, path: &str) -> (u16, Json) {
        self.send("GET", path, None).await
    }

    /// Waits until a connector and its tasks are as said, such as `RUNNING [RUNNING]`.
    async fn until(&self, name: &str, state: &str) {
        let found = async || {
            let (_, status) = self.get(&format!("/connectors/{name}/status")).await;
            let tasks = status["tasks"].as_array().into_iter().flatten();
            let tasks: Vec<_> = tasks.filter_map(|task| task["state"].as_str()).collect();
            format!(
                "{} [{}]",
                status["connector"]["state"].as_str().unwrap_or("-"),
                tasks.join(" ")
            )
        };
        until(&format!("{name} to be {state}"), async || found().await == state).await;
    }
}

async fn start(dir: &Path, transport: Option<Arc<dyn Transport>>) -> (RunningWorker, Client) {
    start_with(dir, transport, Registry::default()).await
}

pub(crate) async fn start_with(
    dir: &Path,
    transport: Option<Arc<dyn Transport>>,
    more: Registry,
) -> (RunningWorker, Client) {
    let properties = Properties::from([
        ("listeners".into(), "http://127.0.0.1:0".into()),
        ("log.dir".into(), dir.join("log").display().to_string()),
        ("key.converter".into(), "org.apache.kafka.connect.storage.StringConverter".into()),
        ("value.converter".into(), "org.apache.kafka.connect.storage.StringConverter".into()),
    ]);
    let registry = connectors::registry().merge(examples::registry()).merge(more);
    let worker = RunningWorker::start(WorkerOptions {
        properties,
        registry,
        transport,
        loggers: Arc::default(),
    })
    .await
    .unwrap();
    let client = Client(worker.addresses()[0]);
    (worker, client)
}

struct Files {
    dir: tempfile::TempDir,
    input: PathBuf,
    output: PathBuf,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("in"), dir.path().join("out"));
        fs::write(&input, "").unwrap();
        Self { dir, input, output }
    }
    fn add(&self, numbers: std::ops::Range<usize>) {
        let mut text = fs::read_to_string(&self.input).unwrap();
        text.extend(numbers.map(|n| format!("{n}\n")));
        fs::write(&self.input, text).unwrap();
    }
    fn source(&self) -> Json {
        json!({"name": "lines", "config": {"connector.class": "LinesSource", "file": self.input, "topic": "t"}})
    }
    fn sink(&self) -> Json {
        json!({"name": "append", "config":
            {"connector.class": "AppendSink", "file": self.output, "topics": "t", "prefix": "> "}})
    }
    async fn arrived(&self, count: usize) {
        let expected: String = (0..count).map(|n| format!("> {n}\n")).collect();
        let read = async || fs::read_to_string(&self.output).unwrap_or_default();
        // A reader may see a write half done: a line counts with its end.
        until(&format!("{count} lines"), async || read().await.matches('\n').count() >= count)
            .await;
        assert_eq!(read().await, expected, "every line, once, in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_plugins_work_through_rest_and_resume_where_they_were() {
    let files = Files::new();
    files.add(0..2500);
    let (worker, client) = start(files.dir.path(), None).await;
    for (config, name) in [(files.source(), "lines"), (files.sink(), "append")] {
        let (status, info) = client.send("POST", "/connectors", Some(&config)).await;
        assert_eq!((status, info["name"].as_str(), &info["tasks"]), (201, Some(name), &json!([])));
    }
    files.arrived(2500).await;
    client.until("lines", "RUNNING [RUNNING]").await;
    let (status, answer) = client.send("POST", "/connectors", Some(&files.sink())).await;
    let conflict = json!({"error_code": 409, "message": "Connector append already exists"});
    assert_eq!((status, answer), (409, conflict));
    worker.shut_down().await;

    files.add(2500..2600);
    let (worker, client) = start(files.dir.path(), None).await;
    files.arrived(2600).await;
    client.until("append", "RUNNING [RUNNING]").await;
    let (_, tasks) = client.get("/connectors/lines/tasks").await;
    assert_eq!(tasks[0]["id"], json!({"connector": "lines", "task": 0}));
    let (_, all) = client.get("/connectors?expand=status&expand=info").await;
    assert_eq!(all["append"]["info"]["type"], "sink");
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_resume_stop_restart_and_delete() {
    let files = Files::new();
    files.add(0..10);
    let (worker, client) = start(files.dir.path(), None).await;
    for config in [files.source(), files.sink()] {
        client.send("POST", "/connectors", Some(&config)).await;
    }
    files.arrived(10).await;
    assert_eq!(client.send("PUT", "/connectors/lines/pause", None).await.0, 202);
    client.until("lines", "PAUSED [PAUSED]").await;
    assert_eq!(client.send("PUT", "/connectors/append/stop", None).await.0, 204);
    client.until("append", "STOPPED []").await;
    files.add(10..20);
    worker.shut_down().await;

    // The states survive a restart of the worker.
    let (worker, client) = start(files.dir.path(), None).await;
    client.until("lines", "PAUSED [PAUSED]").await;
    client.until("append", "STOPPED []").await;
    for name in ["lines", "append"] {
        assert_eq!(client.send("PUT", &format!("/connectors/{name}/resume"), None).await.0, 202);
    }
    files.arrived(20).await;
    assert_eq!(
        client.send("POST", "/connectors/lines/restart?includeTasks=true", None).await.0,
        202
    );
    client.until("lines", "RUNNING [RUNNING]").await;
    let changed = json!({"connector.class": "LinesSource", "file": files.input, "topic": "t2"});
    assert_eq!(client.send("PUT", "/connectors/lines/config", Some(&changed)).await.0, 200);
    let (_, config) = client.get("/connectors/lines/config").await;
    assert_eq!((&config["topic"], &config["name"]), (&json!("t2"), &json!("lines")));
    assert_eq!(client.send("DELETE", "/connectors/lines", None).await.0, 204);
    assert_eq!(client.get("/connectors").await.1, json!(["append"]));
    let (status, answer) = client.get("/connectors/lines/status").await;
    assert_eq!((status, &answer["message"]), (404, &json!("No status found for connector lines")));
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_wrong_is_said() {
    let files = Files::new();
    let (worker, client) = start(files.dir.path(), None).await;
    for (config, status, message) in [
        (
            json!({"name": "x", "config": {"connector.class": "LinesSource", "topic": "t"}}),
            400,
            "Missing required configuration \"file\" which has no default value.",
        ),
        (
            json!({"name": "x", "config": {"connector.class": "no.Such"}}),
            400,
            "Failed to find any class that implements Connector and which name matches no.Such",
        ),
        (json!({"name": "x", "config": {"topic": "t"}}), 400, "contains no connector type"),
        (
            json!({"name": "x", "config": {"connector.class": "AppendSink", "file": "f"}}),
            400,
            "Must configure one of topics or topics.regex",
        ),
        (
            json!({"name": "x", "config": {"connector.class": "LinesSource", "tasks.max": "0", "file": "f", "topic": "t"}}),
            400,
            "Invalid value 0 for configuration tasks.max: Value must be at least 1",
        ),
        (
            json!({"name": "x", "config": {"name": "y", "connector.class": "LinesSource", "file": "f", "topic": "t"}}),
            400,
            "Connector name configuration (y) doesn't match connector name in the URL (x)",
        ),
        (json!({"name": "x", "config": {"a": {"b": 1}}}), 400, "must be a string"),
        (
            json!({"name": "x", "config": {"connector.class": "LinesSource", "file": "f", "topic": "t", "a": null}}),
            400,
            "Null value can not be supplied",
        ),
        (json!([1]), 400, "object"),
    ] {
        let (found, answer) = client.send("POST", "/connectors", Some(&config)).await;
        let text = answer["message"].as_str().unwrap_or_default().to_owned();
        assert!(found == status && text.contains(message), "{config}: {found} {text}");
        assert_eq!(answer["error_code"], status);
    }
    for (method, path, status) in [
        ("GET", "/connectors/x", 404),
        ("GET", "/nothing", 404),
        ("PATCH", "/connectors", 405),
        ("DELETE", "/connectors/x", 404),
        ("PUT", "/connectors/x/pause", 404),
        ("POST", "/connectors/x/restart", 404),
    ] {
        let (found, answer) = client.send(method, path, None).await;
        assert_eq!((found, &answer["error_code"]), (status, &json!(status)), "{method} {path}");
    }
    assert_eq!(client.get("/connectors").await.1, json!([]));
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_append_fails_the_task_and_loses_nothing() {
    let files = Files::new();
    files.add(0..5000);
    let log: Arc<dyn Transport> =
        Arc::new(EmbeddedLog::open(files.dir.path().join("log")).unwrap());
    // Batches are of 1000: two get through.
    let faulty = Arc::new(Faulty::new(log, "connector-producer", 2));
    let (worker, client) = start(files.dir.path(), Some(Arc::clone(&faulty) as _)).await;
    for config in [files.source(), files.sink()] {
        client.send("POST", "/connectors", Some(&config)).await;
    }
    client.until("lines", "RUNNING [FAILED]").await;
    let (_, status) = client.get("/connectors/lines/status").await;
    assert!(
        status["tasks"][0]["trace"].as_str().unwrap().contains("broken on purpose"),
        "{status}"
    );
    files.arrived(2000).await;
    faulty.allow(1000);
    client.send("POST", "/connectors/lines/restart?includeTasks=true&onlyFailed=true", None).await;
    files.arrived(5000).await;
    client.until("lines", "RUNNING [RUNNING]").await;
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_fails_the_task_or_goes_to_the_dead_letter_queue() {
    let files = Files::new();
    files.add(0..10);
    let (worker, client) = start(files.dir.path(), None).await;
    client.send("POST", "/connectors", Some(&files.source())).await;
    // Text such as `7` is JSON: a number, which the sink refuses.
    let json_sink = |name: &str, tolerance: &str, output: &Path| {
        json!({"name": name, "config": {
            "connector.class": "AppendSink", "topics": "t", "file": output,
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": false,
            "errors.tolerance": tolerance,
            "errors.deadletterqueue.topic.name": format!("{name}.dlq"),
            "errors.deadletterqueue.context.headers.enable": true,
        }})
    };
    client.send("POST", "/connectors", Some(&json_sink("strict", "none", &files.output))).await;
    client.until("strict", "RUNNING [FAILED]").await;
    let (_, status) = client.get("/connectors/strict/status").await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    assert!(
        trace.contains("Tolerance exceeded in error handler") && trace.contains("offset=0"),
        "{trace}"
    );

    let unused = files.dir.path().join("unused");
    client.send("POST", "/connectors", Some(&json_sink("lenient", "all", &unused))).await;
    let letters = json!({"name": "letters", "config":
        {"connector.class": "AppendSink", "topics": "lenient.dlq", "file": files.output, "prefix": "> "}});
    client.send("POST", "/connectors", Some(&letters)).await;
    files.arrived(10).await;
    client.until("lenient", "RUNNING [RUNNING]").await;
    worker.shut_down().await;
}
