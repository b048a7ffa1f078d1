//! What happens to records on their way: transformations, topics, and those that fail.

use std::fs;

use serde_json::json;

use crate::client::{sink, source, start, with};
use connect_core_testkit::until;

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

#[tokio::test(flavor = "multi_thread")]
async fn a_source_too_has_a_dead_letter_queue() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output, dead) =
        (dir.path().join("in"), dir.path().join("out"), dir.path().join("dead"));
    fs::write(&input, "1\nx\n3\n").unwrap();
    let (worker, client) = start(dir.path(), &[]).await;
    let cast = json!({
        "transforms": "cast",
        "transforms.cast.type": "org.apache.kafka.connect.transforms.Cast$Value",
        "transforms.cast.spec": "int32",
        "errors.tolerance": "all",
        "errors.deadletterqueue.topic.name": "dead",
        "errors.deadletterqueue.context.headers.enable": true,
        "value.converter": JSON,
        "value.converter.schemas.enable": false,
    });
    client.create("src", with(source(&input, "t"), cast)).await;
    client.create("snk", sink(&output, "t")).await;
    let header = json!({
        "transforms": "stage",
        "transforms.stage.type": "org.apache.kafka.connect.transforms.HoistField$Value",
        "transforms.stage.field": "dead",
    });
    client.create("dead", with(sink(&dead, "dead"), header)).await;
    let is = |path: &std::path::Path, text: &str| fs::read_to_string(path).is_ok_and(|t| t == text);
    until("the good ones", async || is(&output, "1\n3\n")).await;
    until("the bad one", async || is(&dead, "Struct{dead=\"x\"}\n")).await;
    // Records don't wait until it is noted where they went.
    let used = json!({"src": {"topics": ["t"]}});
    until("its topic", async || client.get("/connectors/src/topics").await == used).await;
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_as_the_groups_say_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fs::write(&input, "a\n").unwrap();
    let (worker, client) = start(dir.path(), &[]).await;
    let groups = json!({
        "topic.creation.groups": "wide",
        "topic.creation.default.partitions": 1,
        "topic.creation.default.replication.factor": 1,
        "topic.creation.wide.include": "w.*",
        "topic.creation.wide.partitions": 3,
    });
    client.create("src", with(source(&input, "wide"), groups)).await;
    until("the topic", async || {
        client.get("/connectors/src/topics").await["src"]["topics"] == json!(["wide"])
    })
    .await;
    client.create("snk", sink(&output, "wide")).await;
    until("the line", async || fs::read_to_string(&output).is_ok_and(|t| t == "a\n")).await;
    // The line doesn't wait until it is noted where it came from.
    until("the sink's topic", async || {
        client.get("/connectors/snk/topics").await["snk"]["topics"] == json!(["wide"])
    })
    .await;
    assert_eq!(client.act("PUT", "/connectors/snk/stop").await.status, 204);
    // Partition 2 is there, so that its offset can be set.
    let set = json!({"offsets": [{"partition": {"kafka_topic": "wide", "kafka_partition": 2},
        "offset": {"kafka_offset": 0}}]});
    assert_eq!(client.send("PATCH", "/connectors/snk/offsets", set).await.status, 200);
    assert_eq!(client.act("PUT", "/connectors/src/topics/reset").await.status, 202);
    assert_eq!(client.get("/connectors/src/topics").await, json!({"src": {"topics": []}}));
    fs::write(&input, "a\nb\n").unwrap();
    until("the topic again", async || {
        client.get("/connectors/src/topics").await["src"]["topics"] == json!(["wide"])
    })
    .await;
    worker.shut_down().await;

    let off = [("topic.tracking.enable", "false")];
    let (worker, client) = start(dir.path(), &off).await;
    let forbidden = client.act("GET", "/connectors/src/topics").await;
    assert_eq!(
        (forbidden.status, forbidden.message()),
        (403, "Topic tracking is disabled.".into())
    );
    worker.shut_down().await;
}
