use std::{fs, ops::Range, path::PathBuf};

use connect_core::{
    config::Properties, data::Value, prelude::async_trait, record::Record, registry::Registry,
};
use connect_core_testkit::{SinkHarness, SourceHarness, config_suite, sink_suite, source_suite};

struct Lines(PathBuf);

#[async_trait]
impl SourceHarness for Lines {
    fn registry(&self) -> Registry {
        examples::registry()
    }
    fn properties(&self) -> Properties {
        Properties::from([
            ("connector.class".into(), "LinesSource".into()),
            ("file".into(), self.0.display().to_string()),
            ("topic".into(), "lines".into()),
        ])
    }
    async fn add(&self, numbers: Range<i64>) {
        let mut text = fs::read_to_string(&self.0).unwrap_or_default();
        text.extend(numbers.map(|n| format!("{n}\n")));
        fs::write(&self.0, text).unwrap();
    }
    fn number(&self, record: &Record) -> i64 {
        record.value.as_str().unwrap().parse().unwrap()
    }
}

struct Append(PathBuf);

#[async_trait]
impl SinkHarness for Append {
    fn registry(&self) -> Registry {
        examples::registry()
    }
    fn properties(&self) -> Properties {
        Properties::from([
            ("connector.class".into(), "AppendSink".into()),
            ("file".into(), self.0.display().to_string()),
        ])
    }
    fn record(&self, number: i64) -> Record {
        Record::text(number.to_string())
    }
    fn bad_record(&self) -> Option<Record> {
        Some(Record { value: Value::Int64(1), ..Record::text("") })
    }
    async fn numbers(&self) -> Vec<i64> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
    fn idempotent(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_source_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    source_suite(&Lines(dir.path().join("lines"))).await;
    config_suite(&examples::registry(), "LinesSource").await;
}

#[tokio::test]
async fn the_sink_keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    sink_suite(&Append(dir.path().join("out"))).await;
    config_suite(&examples::registry(), "AppendSink").await;
}
