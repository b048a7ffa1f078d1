//! Requests that change nothing are answered as the real Kafka Connect 4.3.1 answers them, but for the differences that
//! are written down beside its answers. `tests/golden/record.py` has recorded them.

use std::fs;

use serde_json::{Map, Value as Json, json};

use crate::client::{Answer, start};

/// Parts of the names whose definitions only an answer to validate shows.
const ENRICHED: [&str; 4] = ["transforms.", "predicates.", ".override.", ".converter."];

/// As `normal` of record.py.
fn normal(json: Json) -> Json {
    match json {
        Json::Array(items) => {
            let apache =
                |item: &Json| item["class"].as_str().is_none_or(|c| c.starts_with("org.apache."));
            let items: Vec<Json> = items.into_iter().filter(apache).collect();
            let items = match items.iter().all(|item| item.get("order_in_group").is_some()) {
                true => without_queue(items, |item| &item["name"]),
                false => items,
            };
            items.into_iter().map(normal).collect()
        }
        Json::Object(fields) => {
            let fields = fields.into_iter().filter(|(key, _)| key != "documentation");
            let mut fields: Map<String, Json> = fields.map(|(k, v)| (k, normal(v))).collect();
            for list in ["recommended_values", "groups"] {
                if let Some(Json::Array(items)) = fields.get_mut(list) {
                    items.sort_by_key(|item| item.as_str().map(str::to_owned));
                }
            }
            if let Some(Json::Array(configs)) = fields.get_mut("configs") {
                let kept = without_queue(std::mem::take(configs), |c| &c["value"]["name"]);
                *configs = kept.into_iter().map(slim).collect();
                configs.sort_by_key(|c| {
                    (c["value"]["name"].as_str().map(str::to_owned), !c["definition"].is_null())
                });
            }
            Json::Object(fields)
        }
        other => other,
    }
}

fn slim(mut config: Json) -> Json {
    let name = config["value"]["name"].as_str().unwrap_or_default();
    if !config["definition"].is_null() && !ENRICHED.iter().any(|part| name.contains(part)) {
        config["definition"] = true.into();
        let recommended = config["value"]["recommended_values"].as_array().map_or(0, Vec::len);
        config["value"]["recommended_values"] = recommended.into();
    }
    config
}

/// The dead letter queue of sources is ours alone.
fn without_queue(items: Vec<Json>, name: impl Fn(&Json) -> &Json) -> Vec<Json> {
    let source = items.iter().any(|item| name(item) == "topic.creation.groups");
    let queue = |item: &Json| {
        name(item).as_str().is_some_and(|name| name.starts_with("errors.deadletterqueue."))
    };
    items.into_iter().filter(|item| !(source && queue(item))).collect()
}

fn shown(answer: &Answer) -> Json {
    let body = match serde_json::from_str(&answer.text) {
        Ok(parsed) => normal(parsed),
        Err(_) if answer.text.is_empty() => Json::Null,
        Err(_) => {
            let mut words: Vec<&str> = answer.text.split(", ").collect();
            words.sort_unstable();
            json!(words)
        }
    };
    json!({"status": answer.status, "body": body})
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_real_one() {
    const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
    let dir = tempfile::tempdir().unwrap();
    let more =
        [("group.id", "kafka-connect-group"), ("key.converter", JSON), ("value.converter", JSON)];
    let (worker, client) = start(dir.path(), &more).await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/answers.json");
    let entries: Vec<Json> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert!(entries.len() > 500);
    let mut wrong = Vec::new();
    for entry in &entries {
        let request = &entry["request"];
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        let headers = request["headers"].as_object().unwrap();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = request["body"].as_str().map(str::as_bytes);
        let answer = client.raw(text("method"), text("path"), &headers, body).await;
        let expected = entry.get("ours").unwrap_or(&entry["jvm"]);
        let found = shown(&answer);
        if found != *expected {
            let short = |json: &Json| json.to_string().chars().take(600).collect::<String>();
            wrong.push(format!("{request}\n  now {}\n  not {}", short(&found), short(expected)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), entries.len(), wrong.join("\n"));
    worker.shut_down().await;
}
