//! Two processes: one that is killed while it appends, and one that finds the log in use.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use common::{Log, text, within};
use connect_core::transport::{Append, Fetch, NewTopic, OffsetCommit, Transport};
use connect_core_log::EmbeddedLog;

const DIR: &str = "LOG_TEST_DIR";
const PRODUCERS: usize = 3;
/// Messages of one append; its values are `producer/append/position`.
const BATCH: usize = 20;

/// Another process of this test, killed when the test ends however it ends.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn spawn(entry: &str, dir: &Path) -> Other {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([entry, "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn();
    Other(child.unwrap())
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Entry point of the child that is killed: appends for ever and says what was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn child_appends() {
    // Run by the tests of this file, as another process.
    let Ok(dir) = std::env::var(DIR) else { return };
    let log = Log::open(Path::new(&dir));
    let mut tasks = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let log = log.clone();
        tasks.spawn(async move {
            let mut next = stored_offsets(&log).await.get(&producer).map_or(0, |last| last + 1);
            let mut appends = log.producer("p", &Default::default()).await.unwrap();
            let mut durable = std::collections::VecDeque::new();
            loop {
                let value = |i| text(&format!("{producer}/{next}/{i}"));
                let offset = OffsetCommit {
                    topic: "offsets".into(),
                    key: producer.to_string().into(),
                    value: Some(next.to_string().into()),
                };
                let messages = vec![("t".into(), (0..BATCH).map(value).collect())];
                let append = Append { messages, offset: Some(offset) };
                durable.push_back((next, appends.append(append).await.unwrap()));
                next += 1;
                // Several on their way at once.
                if durable.len() > 4 {
                    let (number, done) = durable.pop_front().unwrap();
                    done.await.unwrap();
                    say(&format!("\nacknowledged {producer} {number}"));
                }
            }
        });
    }
    tasks.join_all().await;
}

/// Last append of each producer whose offset is stored.
async fn stored_offsets(log: &Log) -> BTreeMap<usize, u64> {
    let mut reader = log.reader("offsets").await.unwrap();
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
    let entries = reader.read_to_end().await.unwrap().entries.into_iter();
    entries.map(|e| (number(&e.key) as usize, number(&e.value.unwrap()))).collect()
}

/// Last append of each producer that is in the topic; all were checked: whole, in order, each once.
async fn appended(log: &Log, round: usize) -> BTreeMap<usize, u64> {
    let end = format!("end of round {round}");
    log.append("t", [text(&end)]).await;
    let mut consumer = log.consume(&format!("check-{round}"), "t", 10_000).await;
    within(consumer.fetch()).await.unwrap();
    let (mut next, mut last) = (0, BTreeMap::<usize, (u64, usize)>::new());
    loop {
        let Fetch::Messages(fetched) = within(consumer.fetch()).await.unwrap() else { panic!() };
        for (offset, message) in fetched.into_iter().flat_map(|f| f.messages) {
            assert_eq!(offset, next, "a gap");
            next += 1;
            let value = String::from_utf8(message.value.unwrap().to_vec()).unwrap();
            if value == end {
                for (producer, (append, position)) in &last {
                    assert_eq!(position + 1, BATCH, "append {producer}/{append} is torn");
                }
                return last.into_iter().map(|(p, (append, _))| (p, append)).collect();
            }
            let parts: Vec<u64> = value.split('/').filter_map(|part| part.parse().ok()).collect();
            let [producer, append, position] = parts[..] else { continue };
            let expected = match last.get(&(producer as usize)) {
                None => (0, 0),
                Some((append, position)) if position + 1 == BATCH => (append + 1, 0),
                Some((append, position)) => (*append, position + 1),
            };
            assert_eq!((append, position as usize), expected, "of producer {producer}");
            last.insert(producer as usize, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_acknowledged_and_tears_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let offsets = NewTopic {
        name: "offsets".into(),
        partitions: None,
        replication_factor: None,
        compacted: true,
        properties: Default::default(),
    };
    Log::open(dir.path()).create_topic(&offsets).await.unwrap();
    for (round, lines) in [1, 40, 300, 7, 1500, 90, 333, 5, 2500, 12].into_iter().enumerate() {
        let mut child = spawn("child_appends", dir.path());
        let mut acknowledged = BTreeMap::new();
        let mut note = |line: String| {
            if let Some((producer, append)) =
                line.strip_prefix("acknowledged ").and_then(|line| line.split_once(' '))
            {
                acknowledged.insert(producer.parse().unwrap(), append.parse::<u64>().unwrap());
            }
            line.starts_with("acknowledged")
        };
        let mut output = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < lines {
            seen += usize::from(note(output.next().expect("the child ended").unwrap()));
        }
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        // What it had said before it died counts; the last line may be cut.
        let rest: Vec<_> = output.map_while(Result::ok).collect();
        for line in rest.iter().take(rest.len().saturating_sub(1)) {
            note(line.clone());
        }

        let log = Log::open(dir.path());
        let stored = stored_offsets(&log).await;
        let found = appended(&log, round).await;
        assert_eq!(stored, found, "offsets and messages go together");
        for (producer, append) in acknowledged {
            assert!(found[&producer] >= append, "{producer}/{append} was acknowledged");
        }
    }
}

/// Entry point of the child that holds the log open until its input ends.
#[tokio::test]
async fn child_holds() {
    // Run by the tests of this file, as another process.
    let Ok(dir) = std::env::var(DIR) else { return };
    let _log = Log::open(Path::new(&dir));
    say("\nopen");
    std::future::pending().await
}

#[tokio::test]
async fn a_second_process_is_refused_by_name_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn("child_holds", dir.path());
    let mut output = BufReader::new(child.0.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap() == "open"));
    let error = EmbeddedLog::open(dir.path()).unwrap_err().to_string();
    let (dir, pid) = (dir.path(), child.0.id());
    let expected = format!(
        "The log in {} is in use by process {pid}: stop it, or choose another directory",
        dir.display()
    );
    assert_eq!(error, expected);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    EmbeddedLog::open(dir).unwrap();
}
