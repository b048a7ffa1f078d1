//! What the transport promises, on one process's log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{Log, fetched, text, within};
use connect_core::{
    sink::{Offsets, TopicPartition},
    transport::{Append, Entry, Fetch, Message, NewTopic, OffsetCommit, Subscription, Transport},
};
use connect_core_log::EmbeddedLog;

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn compacted(name: &str) -> NewTopic {
    let (partitions, replication_factor) = (Some(1), None);
    NewTopic {
        name: name.into(),
        partitions,
        replication_factor,
        compacted: true,
        properties: Default::default(),
    }
}

fn partitioned(name: &str, partitions: i32) -> NewTopic {
    NewTopic { partitions: Some(partitions), compacted: false, ..compacted(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_back_whole_and_in_order_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Message {
        partition: None,
        key: Some("k".into()),
        value: None,
        headers: vec![("a".into(), Some("1".into())), ("a".into(), None)],
        timestamp: Some(-5),
    };
    let cluster_id = {
        let log = Log::open(dir.path());
        log.append("t", [whole.clone()]).await;
        for i in 0..100 {
            log.append("t", (0..10).map(|j| text(&format!("{}", i * 10 + j)))).await;
        }
        log.cluster_id().await.unwrap()
    };
    assert_eq!(cluster_id.len(), 22);
    let log = Log::open(dir.path());
    assert_eq!(log.cluster_id().await.unwrap(), cluster_id);
    let mut consumer = log.consume("g", "t", 7).await;
    assert_eq!(within(consumer.fetch()).await.unwrap(), Fetch::Assigned(vec![tp("t", 0)]));
    let messages = fetched(&mut consumer, 1001).await;
    assert_eq!(messages[0], (0, whole));
    for (i, (offset, message)) in messages.iter().enumerate().skip(1) {
        assert_eq!(*offset, i as i64);
        assert_eq!(message.value, Some(format!("{}", i - 1).into()));
        assert!(message.timestamp.unwrap() > 1_700_000_000_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_holds_at_most_max_messages_and_waits_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    log.append("t", (0..25).map(|i| text(&i.to_string()))).await;
    let mut consumer = log.consume("g", "t", 10).await;
    within(consumer.fetch()).await.unwrap();
    for expected in [10, 10, 5] {
        let Fetch::Messages(messages) = within(consumer.fetch()).await.unwrap() else { panic!() };
        assert_eq!(messages[0].messages.len(), expected);
    }
    // Cancelled while it waits, then woken by an append.
    assert!(tokio::time::timeout(Duration::from_millis(20), consumer.fetch()).await.is_err());
    let (next, ()) = tokio::join!(within(consumer.fetch()), log.append("t", [text("new")]));
    let Fetch::Messages(messages) = next.unwrap() else { panic!() };
    assert_eq!(messages[0].messages[0].0, 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_on_where_it_committed_and_seeks_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    {
        let log = Log::open(dir.path());
        log.append("t", (0..10).map(|i| text(&i.to_string()))).await;
        let mut consumer = log.consume("g", "t", 100).await;
        within(consumer.fetch()).await.unwrap();
        fetched(&mut consumer, 10).await;
        consumer.commit(&Offsets::from([(tp("t", 0), 4)])).await.unwrap();
        let foreign = consumer.commit(&Offsets::from([(tp("u", 0), 4)])).await.unwrap_err();
        assert!(foreign.to_string().contains("topic=u"), "{foreign}");
    }
    let log = Log::open(dir.path());
    assert_eq!(log.committed("g").await.unwrap(), Offsets::from([(tp("t", 0), 4)]));
    assert_eq!(log.committed("other").await.unwrap(), Offsets::new());
    let mut consumer = log.consume("g", "t", 100).await;
    within(consumer.fetch()).await.unwrap();
    assert_eq!(fetched(&mut consumer, 6).await[0].0, 4);
    consumer.seek(&Offsets::from([(tp("t", 0), 8)])).await.unwrap();
    let offsets: Vec<_> = fetched(&mut consumer, 2).await.into_iter().map(|m| m.0).collect();
    assert_eq!(offsets, [8, 9]);
    let mut other = log.consume("other", "t", 3).await;
    within(other.fetch()).await.unwrap();
    assert_eq!(fetched(&mut other, 3).await[0].0, 0);
    other.seek(&Offsets::from([(tp("t", 0), 9)])).await.unwrap();
    assert_eq!(fetched(&mut other, 1).await[0].0, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_choose_partitions_as_kafka_does() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    assert!(log.create_topic(&partitioned("t", 10)).await.unwrap());
    assert!(!log.create_topic(&partitioned("t", 3)).await.unwrap());
    assert_eq!(log.topic("t").await.unwrap().unwrap().partitions, 10);
    let key = |key: &str| Message { key: Some(key.to_owned().into()), ..text("") };
    log.append("t", [key("21"), Message { partition: Some(9), ..text("") }]).await;
    let mut consumer = log.consume("g", "t", 100).await;
    within(consumer.fetch()).await.unwrap();
    let Fetch::Messages(messages) = within(consumer.fetch()).await.unwrap() else { panic!() };
    let partitions: BTreeSet<_> = messages.iter().map(|f| f.origin.partition).collect();
    // toPositive(murmur2("21")) = 1173551340
    assert_eq!(partitions, BTreeSet::from([0, 9]));
    let mut producer = log.producer("p", &Default::default()).await.unwrap();
    let wrong = Message { partition: Some(10), ..text("") };
    let append = Append { messages: vec![("t".into(), vec![wrong])], offset: None };
    let error = producer.append(append).await.err().unwrap().to_string();
    assert!(error.contains("Invalid partition 10 for topic t: it has the partitions 0 to 9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_share_the_partitions_and_hand_them_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    log.create_topic(&partitioned("t", 2)).await.unwrap();
    let to = |partition, value: &str| Message { partition: Some(partition), ..text(value) };
    log.append("t", [to(0, "a"), to(1, "b"), to(1, "c")]).await;
    let mut first = log.consume("g", "t", 100).await;
    assert_eq!(within(first.fetch()).await.unwrap(), Fetch::Assigned(vec![tp("t", 0), tp("t", 1)]));
    fetched(&mut first, 3).await;
    let mut second = log.consume("g", "t", 100).await;
    let waiting = tokio::spawn(async move { (second.fetch().await, second) });
    let Fetch::Revoked(gone) = within(first.fetch()).await.unwrap() else { panic!() };
    assert_eq!(gone, [tp("t", 1)]);
    // Still the first one's: what it has done can be committed, and the second waits.
    first.commit(&Offsets::from([(tp("t", 0), 1), (tp("t", 1), 1)])).await.unwrap();
    assert!(!waiting.is_finished());
    let waiting_first = tokio::spawn(async move { (first.fetch().await, first) });
    let (assigned, mut second) = within(waiting).await.unwrap();
    assert_eq!(assigned.unwrap(), Fetch::Assigned(vec![tp("t", 1)]));
    let Fetch::Messages(messages) = within(second.fetch()).await.unwrap() else { panic!() };
    assert_eq!(messages[0].messages[0].1.value, Some("c".into()));
    assert!(second.commit(&Offsets::from([(tp("t", 0), 1)])).await.is_err());
    second.close().await.unwrap();
    let (assigned, _first) = within(waiting_first).await.unwrap();
    assert_eq!(assigned.unwrap(), Fetch::Assigned(vec![tp("t", 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_picks_up_topics_that_are_made_later() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    let mut consumer = log.subscribe("g", Subscription::Pattern("db-.*".into()), 100).await;
    let waiting = tokio::spawn(async move { (consumer.fetch().await, consumer) });
    log.append("not-db-1", [text("no")]).await;
    log.append("db-1", [text("yes")]).await;
    let (assigned, mut consumer) = within(waiting).await.unwrap();
    assert_eq!(assigned.unwrap(), Fetch::Assigned(vec![tp("db-1", 0)]));
    assert_eq!(fetched(&mut consumer, 1).await[0].1.value, Some("yes".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_their_offset_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    log.create_topic(&compacted("offsets")).await.unwrap();
    let mut producer = log.producer("p", &Default::default()).await.unwrap();
    let commit = |value: &'static str| OffsetCommit {
        topic: "offsets".into(),
        key: "[\"c\",{}]".into(),
        value: Some(value.into()),
    };
    let append = |topic: &str, value| Append {
        messages: vec![(topic.into(), vec![text(value)])],
        offset: Some(commit(value)),
    };
    // Not waited for one by one: durable in the order of the calls.
    let mut durable = Vec::new();
    for value in ["1", "2", "3"] {
        durable.push(producer.append(append("t", value)).await.unwrap());
    }
    for durable in durable {
        within(durable).await.unwrap();
    }
    // Refused as a whole: the offset isn't stored either.
    assert!(producer.append(append("no such name", "4")).await.is_err());
    let mut reader = log.reader("offsets").await.unwrap();
    let entries = reader.read_to_end().await.unwrap().entries;
    assert_eq!(entries.last().unwrap().value, Some("3".into()));
    let mut consumer = log.consume("g", "t", 10).await;
    within(consumer.fetch()).await.unwrap();
    let values: Vec<_> =
        fetched(&mut consumer, 3).await.into_iter().map(|m| m.1.value.unwrap()).collect();
    assert_eq!(values, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_last_value_of_each_key_and_loses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let entry =
        |key: String, value: Option<String>| Message { key: Some(key.into()), ..opt(value) };
    fn opt(value: Option<String>) -> Message {
        Message { value: value.map(Into::into), ..Message::default() }
    }
    let mut before = 0;
    {
        let log = Log::open(dir.path());
        log.create_topic(&compacted("state")).await.unwrap();
        let mut reader = log.reader("state").await.unwrap();
        assert_eq!(reader.read_to_end().await.unwrap().entries, []);
        for round in 0..50 {
            let value = |key| (round < 49 || key % 2 == 0).then(|| format!("{key}-{round}"));
            log.append("state", (0..100).map(|key| entry(key.to_string(), value(key)))).await;
            before += within(reader.next()).await.unwrap().len();
        }
        let null_key = Append { messages: vec![("state".into(), vec![text("x")])], offset: None };
        let mut producer = log.producer("p", &Default::default()).await.unwrap();
        assert!(producer.append(null_key).await.is_err());
    }
    // A reader that follows sees every change.
    assert_eq!(before, 5000);
    for _ in 0..2 {
        let log = Log::open(dir.path());
        let mut reader = log.reader("state").await.unwrap();
        let entries = reader.read_to_end().await.unwrap().entries;
        assert!(entries.len() < 2200, "{} entries for 100 keys", entries.len());
        let mut last = std::collections::BTreeMap::new();
        for Entry { key, value } in entries {
            last.insert(key, value);
        }
        assert_eq!(last.len(), 100);
        assert_eq!(last[&b"42"[..]], Some("42-49".into()));
        assert_eq!(last[&b"43"[..]], None);
        // Offsets go on from where they were, and nothing else is read again.
        log.append("state", [entry("42".into(), Some("42-49".into()))]).await;
        assert_eq!(within(reader.next()).await.unwrap().len(), 1);
    }
    let log = Log::open(dir.path());
    let mut consumer = log.consume("g", "state", 10_000).await;
    within(consumer.fetch()).await.unwrap();
    let Fetch::Messages(messages) = within(consumer.fetch()).await.unwrap() else { panic!() };
    assert_eq!(messages[0].messages.last().unwrap().0, 5001);
    // More garbage than ever lay there: all of the above has been rewritten at least once.
    for round in 0..3000 {
        log.append("state", [entry("busy".into(), Some(round.to_string()))]).await;
    }
    let entries = log.reader("state").await.unwrap().read_to_end().await.unwrap().entries;
    assert!(entries.len() <= 101 + 1001, "{}", entries.len());
    let last: std::collections::BTreeMap<_, _> =
        entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(last.len(), 101);
    assert_eq!(last[&b"42"[..]], Some("42-49".into()));
    assert_eq!(last[&b"43"[..]], None);
    assert_eq!(last[&b"busy"[..]], Some("2999".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_tombstones_go_and_their_offsets_are_never_given_again() {
    let old = |key: i32| Message {
        key: Some(key.to_string().into()),
        timestamp: Some(1),
        ..Message::default()
    };
    let live = |key| Message { value: Some("v".into()), ..old(key) };
    // Without and with something that stays before them.
    for kept in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        {
            let log = Log::open(dir.path());
            log.create_topic(&compacted("state")).await.unwrap();
            log.append("state", (0..kept).map(|_| live(-1))).await;
            log.append("state", (0..2000).map(old)).await;
        }
        // Opened twice: the first opening compacts, the second one reads where the topic ends.
        drop(Log::open(dir.path()));
        let log = Log::open(dir.path());
        let mut reader = log.reader("state").await.unwrap();
        assert_eq!(reader.read_to_end().await.unwrap().entries.len(), kept);
        log.append("state", [live(7)]).await;
        assert_eq!(within(reader.next()).await.unwrap().len(), 1);
        let mut consumer = log.consume("g", "state", 10).await;
        within(consumer.fetch()).await.unwrap();
        let messages = fetched(&mut consumer, kept + 1).await;
        assert_eq!(messages[kept].0, 2000 + kept as i64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_makes_appends_wait_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    let big = "x".repeat(1 << 20);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let (log, big) = (log.clone(), big.clone());
        tasks.spawn(async move {
            let mut producer = log.producer("p", &Default::default()).await.unwrap();
            let mut durable = Vec::new();
            for _ in 0..30 {
                let messages = vec![(format!("t{task}").into(), vec![text(&big)])];
                durable.push(producer.append(Append { messages, offset: None }).await.unwrap());
            }
            for durable in durable {
                durable.await.unwrap();
            }
        });
    }
    within(tasks.join_all()).await;
    for task in 0..4 {
        let mut consumer = log.consume("g", &format!("t{task}"), 100).await;
        within(consumer.fetch()).await.unwrap();
        assert_eq!(fetched(&mut consumer, 30).await.last().unwrap().0, 29);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _log = Log::open(dir.path());
    let error = EmbeddedLog::open(dir.path()).unwrap_err().to_string();
    let expected = format!("The log in {} is in use by this process", dir.path().display());
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path());
    assert_eq!(log.topic("nowhere").await.unwrap(), None);
    let error = log.reader("nowhere").await.err().unwrap().to_string();
    assert_eq!(error, "Topic nowhere does not exist: create it first");
    let error = log.create_topic(&compacted("a b")).await.unwrap_err().to_string();
    assert!(error.contains("Topic name \"a b\" is illegal"), "{error}");
    assert!(log.create_topic(&partitioned("t", 0)).await.is_err());
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(EmbeddedLog::open(dir.path().join("file")).is_err());
}
