//! Passwords come from elsewhere and go nowhere else.

use serde_json::json;

use crate::client::{sink, source, start, with};
use connect_core_testkit::until;

/// A sink that has a PASSWORD key, and reaches nobody.
fn jdbc(password: &str) -> serde_json::Value {
    json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "connection.url": "jdbc:mysql://127.0.0.1:1/db",
        "connection.user": "u",
        "connection.password": password,
        "topics": "t",
        "table.name.format": "p-${topic}",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_mask_a_password_is_never_shown_and_hidden_means_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, client) = start(dir.path(), &[("rest.secrets.mask", "true")]).await;
    client.create("c", jdbc("s3cret")).await;
    for path in ["/connectors/c", "/connectors/c/config", "/connectors?expand=info"] {
        let text = client.get(path).await.to_string();
        assert!(text.contains("[hidden]") && !text.contains("s3cret"), "{text}");
    }
    // As a tool does: read, change, put back.
    let mut config = client.get("/connectors/c/config").await;
    config["table.name.format"] = "q-${topic}".into();
    let put = client.send("PUT", "/connectors/c/config", config).await;
    assert_eq!(
        (put.status, &put.json()["config"]["connection.password"]),
        (200, &json!("[hidden]"))
    );
    let patch = json!({"connection.password": "[hidden]", "tasks.max": 2});
    assert_eq!(client.send("PATCH", "/connectors/c/config", patch).await.status, 200);
    worker.shut_down().await;

    let (worker, client) = start(dir.path(), &[]).await;
    let config = client.get("/connectors/c/config").await;
    assert_eq!(config["connection.password"], "s3cret", "what is stored is what was set");
    assert_eq!(
        (&config["table.name.format"], &config["tasks.max"]),
        (&json!("q-${topic}"), &json!("2"))
    );
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_is_resolved_where_it_is_used_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    std::fs::write(&input, "a\n").unwrap();
    let secrets = dir.path().join("secrets.properties");
    std::fs::write(&secrets, format!("topic=t0p-s3cret\nbad=x9x\nin={}\n", input.display()))
        .unwrap();
    let providers = [
        ("config.providers", "file"),
        (
            "config.providers.file.class",
            "org.apache.kafka.common.config.provider.FileConfigProvider",
        ),
    ];
    let (worker, client) = start(dir.path(), &providers).await;
    let variable = |key: &str| format!("${{file:{}:{key}}}", secrets.display());
    let config = json!({
        "connector.class": "FileStreamSource", "file": variable("in"), "topic": variable("topic"),
    });
    client.create("src", config.clone()).await;
    client.create("snk", sink(&output, &variable("topic"))).await;
    until("the line", async || std::fs::read_to_string(&output).is_ok_and(|t| t == "a\n")).await;
    for path in
        ["/connectors/src", "/connectors/src/tasks", "/connectors?expand=info&expand=status"]
    {
        let text = client.get(path).await.to_string();
        assert!(!text.contains("t0p-s3cret") && text.contains("${file:"), "{path}: {text}");
    }
    let validate = "/connector-plugins/FileStreamSource/config/validate";
    let wrong = with(config, json!({"name": "x", "batch.size": variable("bad")}));
    let infos = client.send("PUT", validate, wrong).await;
    let error = format!("Invalid value {} for configuration batch.size", variable("bad"));
    assert!(infos.text.contains(&error) && !infos.text.contains("x9x"));
    assert!(!infos.text.contains("t0p-s3cret"));
    let missing = with(source(&input, "t"), json!({"name": "x", "topic": variable("nope")}));
    let infos = client.send("PUT", validate, missing).await;
    assert_eq!(infos.json()["error_count"], 1);
    worker.shut_down().await;
    // Nor does the log hold it: the configuration and the tasks are there as they were sent.
    let stored = std::fs::read_dir(dir.path().join("log")).unwrap();
    let stored: Vec<u8> =
        stored.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    let holds = |needle: &str| stored.windows(needle.len()).any(|bytes| bytes == needle.as_bytes());
    assert!(holds("connector-src") && !holds("\"topic\":\"t0p-s3cret\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_repeat_what_may_be_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let (worker, client) = start(dir.path(), &[]).await;
    let body = json!({"name": "c", "config": {"connection.password": "s3cret"}});
    let refused = client.send("POST", "/connectors", body).await;
    assert_eq!(refused.status, 400);
    let message =
        "Connector config {connection.password=[hidden], name=c} contains no connector type";
    assert_eq!(refused.message(), message);
    worker.shut_down().await;
}
