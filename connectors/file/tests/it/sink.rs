use std::{fs, path::PathBuf, sync::Arc};

use connect_core::{
    config::Properties,
    data::{Decimal, Field, Schema, Text, Type, Value},
    prelude::async_trait,
    record::Record,
    registry::Registry,
    sink::{Delivered, SinkBatch, SinkRecord, TopicPartition},
};
use connect_core_testkit::{SinkHarness, sink_suite};

use crate::{SINK, properties, registry, sink_task};

struct Harness(tempfile::TempDir);

impl Harness {
    fn path(&self) -> PathBuf {
        self.0.path().join("out.txt")
    }
}

#[async_trait]
impl SinkHarness for Harness {
    fn registry(&self) -> Registry {
        registry()
    }
    fn properties(&self) -> Properties {
        properties(&[
            ("connector.class", SINK),
            ("topics", "t"),
            ("file", self.path().to_str().unwrap()),
        ])
    }
    fn record(&self, number: i64) -> Record {
        Record { value: Value::Int64(number), ..Record::default() }
    }
    fn bad_record(&self) -> Option<Record> {
        None
    }
    async fn numbers(&self) -> Vec<i64> {
        fs::read_to_string(self.path()).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    }
    fn idempotent(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn suite() {
    sink_suite(&Harness(tempfile::tempdir().unwrap())).await;
}

fn batch(values: Vec<(Option<Schema>, Value)>) -> SinkBatch {
    let origin = Arc::new(TopicPartition { topic: "t".into(), partition: 0 });
    let record = |(at, (schema, value)): (usize, (Option<Schema>, Value))| SinkRecord {
        record: Record {
            topic: Some("t".into()),
            value_schema: schema.map(Arc::new),
            value,
            ..Record::default()
        },
        origin: Arc::clone(&origin),
        offset: at as i64,
    };
    SinkBatch { records: values.into_iter().enumerate().map(record).collect() }
}

#[tokio::test]
async fn lines_are_as_java_prints_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.txt");
    fs::write(&path, "before\n").unwrap();
    let text = |text: &'static str| Value::String(Text::from_static(text));
    let field =
        |name: &'static str, schema: Schema| Field { name: name.into(), schema: Arc::new(schema) };
    let schema = Schema::new(Type::Struct(vec![
        field("a", Schema::new(Type::Int32)),
        field("none", Schema::new(Type::String).optional(true)),
        field("d", Schema::decimal(2)),
        field("day", Schema::date()),
    ]));
    let decimal: Decimal = "1.50".parse().unwrap();
    let row =
        Value::Struct(vec![Value::Int32(1), Value::Null, decimal.into(), Value::Date(18_262)]);
    let map = Value::Map(vec![
        (text("a"), Value::Int64(1)),
        (text("b"), Value::Array(vec![text("x"), Value::Null])),
    ]);
    let mut task = sink_task(&path).await.unwrap();
    let values = vec![
        (None, text("é")),
        (None, map),
        (Some(schema), row),
        (None, Value::Null),
        (None, Value::Float64(1e10)),
        (None, Value::Boolean(true)),
    ];
    assert!(matches!(task.put(&batch(values)).await, Ok(Delivered::All)));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "before\né\n{a=1, b=[x, null]}\nStruct{a=1,d=1.50,day=Wed Jan 01 00:00:00 UTC 2020}\nnull\n\
         1.0E10\ntrue\n"
    );
}

#[tokio::test]
async fn a_missing_directory_fails_the_task_in_the_words_of_the_jvm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no/out.txt");
    let Err(error) = sink_task(&path).await else { panic!("the task opened") };
    let message =
        format!("Couldn't find or create file '{}' for FileStreamSinkTask", path.display());
    assert!(error.to_string().contains(&message), "{error}");
    assert!(!error.is_retriable());
}

#[tokio::test]
async fn what_cannot_be_written_is_an_error() {
    // Refuses every write, and is a device: nothing can be undone, so nothing may be tried again.
    let mut task = sink_task(std::path::Path::new("/dev/full")).await.unwrap();
    let error = task.put(&batch(vec![(None, Value::Int64(1))])).await.unwrap_err();
    assert!(!error.is_retriable(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_share_a_file_without_mixing_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.txt");
    let line = "x".repeat(3000);
    let write = |number: i64| {
        let (path, line) = (path.clone(), line.clone());
        async move {
            let mut task = sink_task(&path).await.unwrap();
            for _ in 0..20 {
                let value = Value::String(format!("{number}{line}").into());
                let values = vec![(None, value); 10];
                assert!(matches!(task.put(&batch(values)).await, Ok(Delivered::All)));
            }
        }
    };
    tokio::join!(write(1), write(2));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 400);
    assert!(text.lines().all(|found| found.len() == 3001 && found.ends_with(&line)));
}
