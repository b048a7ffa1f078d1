use std::{
    fs::{self, OpenOptions},
    io::Write,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use connect_core::{
    config::Properties,
    data::{Schema, Type},
    prelude::async_trait,
    record::Record,
    registry::Registry,
    source::Polled,
};
use connect_core_testkit::{SourceHarness, source_suite};
use serde_json::{Value as Json, json};

use crate::{SOURCE, batches, lines, properties, registry, source, source_task};

fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}

struct Harness(tempfile::TempDir);

#[async_trait]
impl SourceHarness for Harness {
    fn registry(&self) -> Registry {
        registry()
    }
    fn properties(&self) -> Properties {
        let file = self.0.path().join("in.txt");
        properties(&[
            ("connector.class", SOURCE),
            ("file", file.to_str().unwrap()),
            ("topic", "lines"),
            ("batch.size", "10"),
        ])
    }
    async fn add(&self, numbers: Range<i64>) {
        let text: String = numbers.map(|n| format!("line é {n}\r\n")).collect();
        append(&self.0.path().join("in.txt"), text);
    }
    fn number(&self, record: &Record) -> i64 {
        record.value.as_str().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suite() {
    source_suite(&Harness(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn a_record_is_as_the_jvm_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.txt");
    append(&path, "ééé\nabc\nunfinished");
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let source = source(&path, "1").await;
    let partition = json!({"filename": path.to_str().unwrap()});
    assert_eq!(source.partitions().await.unwrap(), std::slice::from_ref(&partition));
    let mut task = source.task(vec![(partition.clone(), None)]).await.unwrap();
    let read = batches(&mut *task).await;
    assert_eq!(lines(&read), ["ééé", "abc"]);
    let positions: Vec<_> = read.iter().map(|batch| batch.offset.clone().unwrap()).collect();
    // In bytes, where the JVM counts characters and then tears the line.
    assert_eq!(positions, [json!({"position": 7}), json!({"position": 11})]);
    let (batch, record) = (&read[0], &read[0].records[0]);
    assert_eq!((&batch.partition, &*batch.topic), (&partition, "t"));
    assert_eq!(record.value_schema, Some(Arc::new(Schema::new(Type::String))));
    assert!(record.key.is_null() && record.key_schema.is_none() && record.headers.is_empty());
    assert!(record.timestamp.unwrap() >= before);
    append(&path, "\n");
    let mut again = source_task(&path, Some(positions[0].clone())).await;
    assert_eq!(lines(&batches(&mut *again).await), ["abc", "unfinished"]);
    assert_eq!(lines(&batches(&mut *task).await), ["unfinished"]);
}

#[tokio::test]
async fn a_missing_file_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later.txt");
    let mut task = source_task(&path, None).await;
    for _ in 0..3 {
        let polled = task.poll().await.unwrap();
        assert!(matches!(polled, Polled::Idle(wait) if wait.as_millis() == 1000));
    }
    append(&path, "here\r\n");
    assert_eq!(lines(&batches(&mut *task).await), ["here"]);
}

#[tokio::test]
async fn long_lines_and_many_of_them_come_in_batches_of_bounded_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.txt");
    let long: Vec<String> =
        (0..30).map(|n| n.to_string().repeat(700_000 / n.to_string().len())).collect();
    append(&path, long.join("\n") + "\n");
    let mut task = source_task(&path, None).await;
    let read = batches(&mut *task).await;
    assert!(lines(&read) == long, "each line whole");
    assert!(read.len() > 3);
    for batch in &read {
        let size: usize = batch.records.iter().map(|r| r.value.as_str().unwrap().len()).sum();
        assert!(size < 6_000_000, "{size}");
    }
}

#[tokio::test]
async fn what_is_not_utf8_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latin1.txt");
    append(&path, b"caf\xe9!\n\xe2\x82\n");
    let mut task = source_task(&path, None).await;
    assert_eq!(lines(&batches(&mut *task).await), ["caf\u{fffd}!", "\u{fffd}"]);
}

#[tokio::test]
async fn a_file_that_is_cut_or_replaced_is_read_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.txt");
    append(&path, "one\ntwo\nrest");
    let mut task = source_task(&path, None).await;
    assert_eq!(lines(&batches(&mut *task).await), ["one", "two"]);

    fs::write(&path, "cut\n").unwrap();
    let read = batches(&mut *task).await;
    assert_eq!(lines(&read), ["cut"]);
    assert_eq!(read[0].offset, Some(json!({"position": 4})));

    // As logrotate does it: what was still written to the old file is not lost.
    append(&path, "last of the old\nunfinished");
    fs::rename(&path, dir.path().join("in.txt.1")).unwrap();
    assert_eq!(lines(&batches(&mut *task).await), ["last of the old"]);
    append(&path, "first of the new\n");
    let read = batches(&mut *task).await;
    assert_eq!(lines(&read), ["unfinished", "first of the new"]);
    assert_eq!(read.last().unwrap().offset, Some(json!({"position": 17})));

    // Stored before the file became shorter.
    let mut task = source_task(&path, Some(json!({"position": 1000}))).await;
    let read = batches(&mut *task).await;
    assert_eq!(lines(&read), ["first of the new"]);
    assert_eq!(read[0].offset, Some(json!({"position": 17})));
}

#[tokio::test]
async fn a_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut task = source_task(dir.path(), None).await;
    let Err(error) = task.poll().await else { panic!("a directory was read") };
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    assert!(!error.is_retriable());
}

#[tokio::test]
async fn a_pipe_is_read_without_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let mut task = source_task(&path, None).await;
    assert!(matches!(task.poll().await.unwrap(), Polled::Idle(_)), "no writer, and no waiting");
    append(&path, "one\ntwo\n");
    let reading = async {
        loop {
            match task.poll().await.unwrap() {
                Polled::Batch(batch) => return batch,
                Polled::Idle(_) => tokio::task::yield_now().await,
            }
        }
    };
    let batch =
        tokio::time::timeout(std::time::Duration::from_secs(30), reading).await.expect("it comes");
    assert_eq!(lines(std::slice::from_ref(&batch)), ["one", "two"]);
    assert_eq!(batch.offset, None);
}

async fn alter(file: &str, partition: Json, offset: Option<Json>) -> Result<bool, String> {
    let properties = properties(&[("file", file), ("topic", "t")]);
    let plugin = registry().find(SOURCE, &properties).unwrap();
    let altered = plugin.alter_offsets(&properties, &[(partition, offset)]).await;
    altered.map_err(|e| e.to_string())
}

#[tokio::test]
async fn offsets_are_checked_before_they_are_altered() {
    let partition = json!({"filename": "/f"});
    let at = |position: Json| Some(json!({ "position": position }));
    assert_eq!(alter("/f", partition.clone(), at(json!(30))).await, Ok(true));
    assert_eq!(alter("/f", Json::Null, None).await, Ok(true));
    assert_eq!(alter("/f", json!({"x": 1}), Some(Json::Null)).await, Ok(true));
    let not_long = "The value for the 'position' key in the offset is expected to be a Long value";
    let missing = "Offset objects should either be null or contain the key 'position'";
    for (partition, offset, message) in [
        (&partition, Some(json!({"x": 1})), missing),
        (&partition, at(json!("3")), not_long),
        (&partition, at(json!(1.5)), not_long),
        (
            &partition,
            at(json!(-1)),
            "The value for the 'position' key in the offset should be a non-negative value",
        ),
        (&Json::Null, at(json!(1)), "Partition objects cannot be null"),
        (&json!({"x": 1}), at(json!(1)), "Partition objects should contain the key 'filename'"),
    ] {
        assert_eq!(alter("/f", partition.clone(), offset).await, Err(message.to_owned()));
    }
    let stdin = alter("", partition, at(json!(1))).await.unwrap_err();
    assert!(stdin.starts_with("Offsets cannot be modified if the 'file' configuration"), "{stdin}");
}
