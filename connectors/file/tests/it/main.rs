//! The file connectors on real files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod sink;
mod source;

use std::path::Path;

use connect_core::{
    config::Properties,
    plugin::{Connected, DynSourceConnector, DynSourceTask, ErasedBatch},
    registry::Registry,
    sink::SinkTask,
    source::Polled,
};
use connect_core_testkit::config_suite;
use connectors_file::{FileStreamSink, FileStreamSource};
use serde_json::Value as Json;

pub(crate) const SOURCE: &str = "org.apache.kafka.connect.file.FileStreamSourceConnector";
pub(crate) const SINK: &str = "org.apache.kafka.connect.file.FileStreamSinkConnector";

pub(crate) fn registry() -> Registry {
    Registry::default().source::<FileStreamSource>().sink::<FileStreamSink>()
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(crate) async fn source(path: &Path, batch_size: &str) -> Box<dyn DynSourceConnector> {
    let file = path.to_str().unwrap();
    let properties = properties(&[("file", file), ("topic", "t"), ("batch.size", batch_size)]);
    let plugin = registry().find(SOURCE, &properties).unwrap();
    let Connected::Source(source) = plugin.connect(&properties).await.unwrap() else { panic!() };
    source
}

pub(crate) async fn source_task(path: &Path, offset: Option<Json>) -> Box<dyn DynSourceTask> {
    let source = source(path, "2000").await;
    let partition = source.partitions().await.unwrap().remove(0);
    source.task(vec![(partition, offset)]).await.unwrap()
}

/// The batches up to the next idle poll.
pub(crate) async fn batches(task: &mut dyn DynSourceTask) -> Vec<ErasedBatch> {
    let mut batches = Vec::new();
    while let Polled::Batch(batch) = task.poll().await.unwrap() {
        batches.push(batch);
    }
    batches
}

pub(crate) fn lines(batches: &[ErasedBatch]) -> Vec<String> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    records.map(|record| record.value.as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn sink_task(path: &Path) -> connect_core::error::Result<Box<dyn SinkTask>> {
    let properties = properties(&[("file", path.to_str().unwrap()), ("topics", "t")]);
    let plugin = registry().find("FileStreamSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    sink.task().await
}

#[tokio::test]
async fn configuration() {
    config_suite(&registry(), SOURCE).await;
    config_suite(&registry(), SINK).await;
    let plugin = registry().find(SOURCE, &Properties::new()).unwrap();
    let shown: Vec<_> = plugin
        .config_def()
        .into_iter()
        .map(|key| {
            let layout = (key.group, key.order, key.width);
            assert_eq!(layout, (None, -1, "NONE".to_owned()), "{}", key.name);
            (key.name, key.ty.name(), key.required, key.default, key.importance)
        })
        .collect();
    let key = |name: &str, ty, required, default: Option<&str>, importance: &str| {
        (name.to_owned(), ty, required, default.map(str::to_owned), importance.to_owned())
    };
    assert_eq!(
        shown,
        [
            key("file", "STRING", false, None, "HIGH"),
            key("topic", "STRING", true, None, "HIGH"),
            key("batch.size", "INT", false, Some("2000"), "LOW"),
        ]
    );
    let invalid = plugin.validate(&properties(&[("topic", "")])).await;
    assert_eq!(
        invalid[0].message(),
        "Invalid value  for configuration topic: String must be non-empty"
    );
    let keys = registry().find(SINK, &Properties::new()).unwrap().config_def();
    assert_eq!((keys.len(), keys[0].default.as_deref()), (1, None));
    assert_eq!(plugin.version(), connect_core::CONNECT_VERSION);
}
