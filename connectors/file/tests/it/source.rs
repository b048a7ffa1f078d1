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
    plugin::ErasedBatch,
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

/// How far a batch was read; the rest of its offset tells the file from others.
fn position(batch: &ErasedBatch) -> u64 {
    batch.offset.as_ref().unwrap()["position"].as_u64().unwrap()
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
    // In bytes, where the JVM counts characters and then tears the line.
    assert_eq!(read.iter().map(position).collect::<Vec<_>>(), [7, 11]);
    let (batch, record) = (&read[0], &read[0].records[0]);
    assert_eq!((&batch.partition, &*batch.topic), (&partition, "t"));
    assert_eq!(record.value_schema, Some(Arc::new(Schema::new(Type::String))));
    assert!(record.key.is_null() && record.key_schema.is_none() && record.headers.is_empty());
    assert!(record.timestamp.unwrap() >= before);
    append(&path, "\n");
    let mut again = source_task(&path, read[0].offset.clone()).await;
    assert_eq!(lines(&batches(&mut *again).await), ["abc", "unfinished"]);
    // An offset of the JVM's connector.
    let mut again = source_task(&path, Some(json!({"position": 7}))).await;
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
    assert_eq!(position(&read[0]), 4);

    // As logrotate does it: what was still written to the old file is not lost.
    append(&path, "last of the old\nunfinished");
    fs::rename(&path, dir.path().join("in.txt.1")).unwrap();
    assert_eq!(lines(&batches(&mut *task).await), ["last of the old"]);
    append(&path, "first of the new\n");
    let read = batches(&mut *task).await;
    assert_eq!(lines(&read), ["unfinished", "first of the new"]);
    assert_eq!(position(read.last().unwrap()), 17);

    // Stored before the file became shorter.
    let mut task = source_task(&path, Some(json!({"position": 1000}))).await;
    let read = batches(&mut *task).await;
    assert_eq!(lines(&read), ["first of the new"]);
    assert_eq!(position(&read[0]), 17);
}

#[tokio::test]
async fn a_file_that_was_replaced_while_nobody_read_is_read_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.txt");
    let long: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    for (old, new) in [
        ("old1\nold2\n", "new1\nnew2\nnew3\n"),
        // As long as it was.
        ("old1\nold2\n", "new1\nnew2\n"),
        // Of the same content, as far as it was read.
        ("a\nb\n", "a\nb\nc\n"),
        (long.as_str(), &long.replace("line 1\n", "line X\n")),
        (long.as_str(), &long.replace("line 2999\n", "line XXXX\nmore\n")),
    ] {
        for replaced in [true, false] {
            if !replaced && new.starts_with(old) {
                continue;
            }
            fs::write(&path, old).unwrap();
            let read = batches(&mut *source_task(&path, None).await).await;
            if replaced {
                fs::rename(&path, dir.path().join("in.txt.1")).unwrap();
            }
            fs::write(&path, new).unwrap();
            let offset = read.last().unwrap().offset.clone();
            let found = lines(&batches(&mut *source_task(&path, offset).await).await);
            assert_eq!(found, new.lines().collect::<Vec<_>>(), "{replaced}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_cut_and_filled_again_at_once_is_read_from_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.txt");
    append(&path, "old1\nold2\n");
    let mut task = source_task(&path, None).await;
    assert_eq!(lines(&batches(&mut *task).await), ["old1", "old2"]);
    for (new, expected) in [
        ("new1\nnew2\nnew3\n", vec!["new1", "new2", "new3"]),
        ("own1\nown2\nown3\n", vec!["own1", "own2", "own3"]),
    ] {
        // A clock of the file system may stand still for some milliseconds.
        let changed = || fs::metadata(&path).unwrap().modified().unwrap();
        let before = changed();
        while changed() == before {
            fs::write(&path, new).unwrap();
        }
        assert_eq!(lines(&batches(&mut *task).await), expected);
    }
    append(&path, "more\n");
    assert_eq!(lines(&batches(&mut *task).await), ["more"], "one that only grows is read on");
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
