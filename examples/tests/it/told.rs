//! A source that says itself when there is something, instead of being polled.

use std::{fs, sync::LazyLock, time::Duration};

use connect_core::{prelude::*, registry::Registry};
use connect_core_testkit::until;
use serde_json::json;
use tokio::sync::watch;

use crate::worker::start_with;

/// How many records there are.
static THERE: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::channel(0).0);

struct Told;

struct ToldTask(usize, watch::Receiver<usize>);

#[derive(Deserialize, JsonSchema)]
struct Config {}

#[async_trait]
impl SourceConnector for Told {
    const NAME: &'static str = "ToldSource";
    type Config = Config;
    type Task = ToldTask;

    async fn connect(_: Config) -> Result<Self> {
        Ok(Self)
    }
    async fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["all".to_owned()])
    }
    async fn task(&self, _: Vec<Assigned<ToldTask>>) -> Result<ToldTask> {
        Ok(ToldTask(0, THERE.subscribe()))
    }
}

#[async_trait]
impl SourceTask for ToldTask {
    type Partition = String;
    type Offset = usize;

    async fn poll(&mut self) -> Result<Polled<SourceBatch<Self>>> {
        let there = *self.1.borrow();
        if self.0 == there {
            return Ok(Polled::Idle(Duration::from_secs(3600)));
        }
        let record = Record::text(self.0.to_string());
        self.0 += 1;
        Ok(Polled::Batch(SourceBatch::new(&"all".to_owned(), self.0, "told", vec![record])))
    }
    async fn woken(&mut self) {
        if self.1.changed().await.is_ok() {
            self.1.mark_changed();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_told_is_polled_before_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let registry = Registry::default().source::<Told>();
    let (worker, client) = start_with(dir.path(), None, registry).await;
    for config in [
        json!({"name": "told", "config": {"connector.class": "ToldSource"}}),
        json!({"name": "append", "config":
            {"connector.class": "AppendSink", "file": output, "topics": "told", "prefix": ""}}),
    ] {
        assert_eq!(client.send("POST", "/connectors", Some(&config)).await.0, 201);
    }
    let lines = || fs::read_to_string(&output).unwrap_or_default().lines().count();
    for count in 1..=5 {
        THERE.send_replace(count);
        until(&format!("record {count}"), async || lines() == count).await;
    }
    worker.shut_down().await;
}
