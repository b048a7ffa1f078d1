//! States of connectors and tasks, over restarts of the worker and between them.

use std::fs;

use serde_json::{Value as Json, json};

use crate::client::{Client, sink, source, start, with};
use connect_core_testkit::until;

async fn worker_ids(client: &Client, name: &str) -> Vec<Json> {
    let status = client.get(&format!("/connectors/{name}/status")).await;
    let tasks = status["tasks"].as_array().unwrap().iter();
    tasks.chain([&status["connector"]]).map(|s| s["worker_id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn target_states_survive_a_restart_of_the_worker() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, client) = start(dir.path(), &[("rest.advertised.port", "1234")]).await;
    for name in ["run", "pause", "stop"] {
        client.create(name, source(&dir.path().join("none"), "t")).await;
        client.until(name, "RUNNING [RUNNING]").await;
    }
    assert_eq!(client.act("PUT", "/connectors/pause/pause").await.status, 202);
    assert_eq!(client.act("PUT", "/connectors/stop/stop").await.status, 204);
    client.until("pause", "PAUSED [PAUSED]").await;
    client.until("stop", "STOPPED []").await;
    assert_eq!(worker_ids(&client, "run").await, ["127.0.0.1:1234", "127.0.0.1:1234"]);
    worker.shut_down().await;

    let (worker, client) = start(dir.path(), &[("rest.advertised.port", "5678")]).await;
    client.until("run", "RUNNING [RUNNING]").await;
    assert_eq!(client.state("pause").await, "PAUSED [PAUSED]");
    assert_eq!(client.state("stop").await, "STOPPED []");
    until("the new worker", async || {
        worker_ids(&client, "run").await == ["127.0.0.1:5678", "127.0.0.1:5678"]
    })
    .await;
    assert_eq!(client.act("PUT", "/connectors/pause/resume").await.status, 202);
    client.until("pause", "RUNNING [RUNNING]").await;
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_fails_alone_and_comes_back_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let late = dir.path().join("late");
    let (worker, client) = start(dir.path(), &[]).await;
    client.create("bad", with(sink(&late.join("out"), "t"), json!({"tasks.max": 2}))).await;
    client.create("good", source(&dir.path().join("none"), "t")).await;
    client.until("bad", "RUNNING [FAILED FAILED]").await;
    client.until("good", "RUNNING [RUNNING]").await;
    let status = client.get("/connectors/bad/tasks/1/status").await;
    let trace = status["trace"].as_str().unwrap();
    assert!(trace.contains("Couldn't find or create file") && trace.ends_with('\n'), "{trace}");

    let nothing = client.act("POST", "/connectors/bad/restart?onlyFailed=true").await;
    assert_eq!((nothing.status, &nothing.json()["connector"]["state"]), (202, &json!("RUNNING")));
    assert_eq!(client.act("POST", "/connectors/bad/restart").await.status, 204);
    client.until("bad", "RUNNING [FAILED FAILED]").await;
    fs::create_dir(&late).unwrap();
    assert_eq!(client.act("POST", "/connectors/bad/tasks/1/restart").await.status, 204);
    client.until("bad", "RUNNING [FAILED RUNNING]").await;
    let plan =
        client.act("POST", "/connectors/bad/restart?includeTasks=true&onlyFailed=true").await;
    let states = plan.json();
    let states: Vec<_> = states["tasks"].as_array().unwrap().iter().map(|t| &t["state"]).collect();
    assert_eq!((plan.status, states), (202, vec![&json!("RESTARTING"), &json!("RUNNING")]));
    client.until("bad", "RUNNING [RUNNING RUNNING]").await;
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_changes_what_it_names_and_loses_no_other_change() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, client) = start(dir.path(), &[]).await;
    client.create("c", source(&dir.path().join("none"), "t")).await;
    let patches = (0..8).map(|n| async move {
        let patch = json!({format!("x.{n}"): n, "x.gone": null});
        client.send("PATCH", "/connectors/c/config", patch).await.status
    });
    let statuses = futures_util::future::join_all(patches).await;
    assert_eq!(statuses, [200; 8]);
    let config = client.get("/connectors/c/config").await;
    for n in 0..8 {
        assert_eq!(config[format!("x.{n}")], n.to_string(), "{config}");
    }
    let unknown = client.send("PATCH", "/connectors/no/config", json!({})).await;
    assert_eq!((unknown.status, unknown.message()), (404, "Connector no not found".into()));
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_of_loggers_are_told_to_every_worker() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, client) = start(dir.path(), &[]).await;
    let level = json!({"level": "debug"});
    let cluster = client.send("PUT", "/admin/loggers/a.b?scope=CLUSTER", level.clone()).await;
    assert_eq!((cluster.status, cluster.text.as_str()), (204, ""));
    assert_eq!(client.get("/admin/loggers/a.b").await["level"], "DEBUG");
    let changed = client.send("PUT", "/admin/loggers/a", json!({"level": "ERROR"})).await;
    assert_eq!(changed.json(), json!(["a", "a.b"]));
    assert_eq!(client.send("PUT", "/admin/loggers/a", json!({"level": "x"})).await.status, 404);
    worker.shut_down().await;

    let (worker, client) = start(dir.path(), &[]).await;
    let unknown = client.act("GET", "/admin/loggers/a.b").await;
    assert_eq!(unknown.message(), "Logger a.b not found.", "a new worker starts as configured");
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_changed_only_while_stopped_and_only_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fs::write(&input, "a\nbb\nccc\n").unwrap();
    let (worker, client) = start(dir.path(), &[]).await;
    client.create("src", source(&input, "t")).await;
    client.create("snk", sink(&output, "t")).await;
    let lines = async |expected: &str| {
        until(expected, async || fs::read_to_string(&output).is_ok_and(|t| t == expected)).await;
    };
    lines("a\nbb\nccc\n").await;
    let partition = json!({"filename": input});
    let set = |offset: Json| json!({"offsets": [{"partition": partition, "offset": offset}]});
    let running =
        client.send("PATCH", "/connectors/src/offsets", set(json!({"position": 2}))).await;
    assert!(running.status == 400 && running.message().contains("STOPPED"), "{}", running.text);
    for name in ["src", "snk"] {
        assert_eq!(client.act("PUT", &format!("/connectors/{name}/stop")).await.status, 204);
    }
    assert_eq!(client.get("/connectors/src/offsets").await, set(json!({"position": 9})));
    let wrong = json!({"offsets": [
        {"partition": partition, "offset": {"position": 0}},
        {"partition": partition, "offset": {"position": "x"}},
    ]});
    let refused = client.send("PATCH", "/connectors/src/offsets", wrong).await;
    assert!(refused.status == 400 && refused.message().contains("position"), "{}", refused.text);
    assert_eq!(client.get("/connectors/src/offsets").await, set(json!({"position": 9})));
    let altered =
        client.send("PATCH", "/connectors/src/offsets", set(json!({"position": 2}))).await;
    assert_eq!(altered.message(), "The offsets for this connector have been altered successfully");
    let reset = client.act("DELETE", "/connectors/snk/offsets").await;
    assert_eq!(reset.message(), "The offsets for this connector have been reset successfully");
    assert_eq!(client.get("/connectors/snk/offsets").await, json!({"offsets": []}));
    let none = json!({"offsets": [{"partition": {"kafka_topic": "t", "kafka_partition": 7},
        "offset": {"kafka_offset": 0}}]});
    let refused = client.send("PATCH", "/connectors/snk/offsets", none).await;
    assert!(refused.status == 400 && refused.message().contains("partition 7"), "{}", refused.text);
    for name in ["src", "snk"] {
        assert_eq!(client.act("PUT", &format!("/connectors/{name}/resume")).await.status, 202);
    }
    // The source reads on after its second byte; the sink starts over, and finds what was appended.
    lines("a\nbb\nccc\na\nbb\nccc\nbb\nccc\n").await;
    worker.shut_down().await;
}
