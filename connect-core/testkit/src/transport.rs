//! What every transport promises: the documentation of [`connect_core::transport`], line by line.

use std::{collections::BTreeMap, time::Duration};

use connect_core::{
    sink::{Offsets, TopicPartition},
    transport::{
        Append, Consumer, ConsumerOptions, Fetch, Message, NewTopic, OffsetCommit, Subscription,
        Transport,
    },
};
use tokio::time::timeout;

/// Most time that anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Checks a transport, in topics whose names start with `suite-`.
pub async fn transport_suite(transport: &dyn Transport) {
    assert!(!transport.cluster_id().await.expect("has an identity").is_empty());
    topics_are_created_once_and_described(transport).await;
    appends_are_fetched_in_order_and_resumed(transport).await;
    keys_keep_their_partition(transport).await;
    compacted_topics_are_read_from_end_to_end(transport).await;
    offsets_are_stored_with_their_messages(transport).await;
    a_start_offset_is_honoured(transport).await;
    asking_about_a_topic_does_not_make_it(transport).await;
    offsets_of_a_group_without_members_can_be_changed(transport).await;
    a_pattern_sees_topics_that_come_later(transport).await;
    a_group_shares_the_partitions(transport).await;
}

fn new_topic(name: &str, partitions: i32, compacted: bool) -> NewTopic {
    let replication_factor = Some(1);
    let (name, partitions) = (name.to_owned(), Some(partitions));
    NewTopic { name, partitions, replication_factor, compacted, properties: BTreeMap::new() }
}

fn message(key: Option<&str>, value: impl Into<String>) -> Message {
    let key = key.map(|key| key.to_owned().into());
    Message { key, value: Some(value.into().into()), ..Message::default() }
}

async fn append(transport: &dyn Transport, topic: &str, messages: Vec<Message>) {
    let mut producer = transport.producer("suite", &BTreeMap::new()).await.expect("a producer");
    let append = Append { messages: vec![(topic.into(), messages)], offset: None };
    producer.append(append).await.expect("appends").await.expect("becomes durable");
}

async fn consumer(transport: &dyn Transport, group: &str, topics: &[&str]) -> Box<dyn Consumer> {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    subscribe(transport, group, Subscription::Topics(topics)).await
}

async fn subscribe(
    transport: &dyn Transport,
    group: &str,
    subscription: Subscription,
) -> Box<dyn Consumer> {
    let options = ConsumerOptions {
        group: group.to_owned(),
        client_id: "suite".into(),
        subscription,
        max_messages: 100,
        properties: BTreeMap::new(),
    };
    transport.consumer(options).await.expect("a consumer")
}

async fn fetch(consumer: &mut dyn Consumer) -> Fetch {
    timeout(DEADLINE, consumer.fetch()).await.expect("something to fetch").expect("fetches")
}

/// Values with partition and offset, until there are so many.
async fn values(consumer: &mut dyn Consumer, count: usize) -> Vec<(i32, i64, String)> {
    let mut found = Vec::new();
    while found.len() < count {
        let Fetch::Messages(parts) = fetch(consumer).await else { continue };
        for part in parts {
            for (offset, message) in part.messages {
                let value = String::from_utf8(message.value.unwrap_or_default().to_vec());
                found.push((part.origin.partition, offset, value.expect("text")));
            }
        }
    }
    found
}

async fn topics_are_created_once_and_described(transport: &dyn Transport) {
    let topic = new_topic("suite-described", 3, true);
    assert!(transport.create_topic(&topic).await.expect("creates"), "a new topic is new");
    assert!(!transport.create_topic(&topic).await.expect("is asked again"), "it was there");
    let described = transport.topic("suite-described").await.expect("describes").expect("is there");
    assert_eq!((described.partitions, described.compacted), (3, Some(true)));
    assert_eq!(transport.topic("suite-no-such").await.expect("asks"), None);
}

async fn appends_are_fetched_in_order_and_resumed(transport: &dyn Transport) {
    let topic = "suite-order";
    transport.create_topic(&new_topic(topic, 1, false)).await.expect("creates");
    let mut producer = transport.producer("suite", &BTreeMap::new()).await.expect("a producer");
    let mut durable = Vec::new();
    // Several are on their way at once.
    for batch in 0..10 {
        let messages = (0..50).map(|n| message(None, (batch * 50 + n).to_string())).collect();
        let append = Append { messages: vec![(topic.into(), messages)], offset: None };
        durable.push(producer.append(append).await.expect("appends"));
    }
    for durable in durable {
        durable.await.expect("becomes durable");
    }
    let mut first = consumer(transport, "suite-order", &[topic]).await;
    let read = values(&mut *first, 250).await;
    let texts: Vec<String> = read.iter().map(|(.., value)| value.clone()).collect();
    assert_eq!(texts, (0..read.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    let tp = TopicPartition { topic: topic.into(), partition: 0 };
    let next = read.last().expect("read something").1 + 1;
    first.commit(&Offsets::from([(tp.clone(), next)])).await.expect("commits");
    first.close().await.expect("closes");
    let committed = transport.committed("suite-order").await.expect("tells offsets");
    assert_eq!(committed.get(&tp), Some(&next));
    let mut second = consumer(transport, "suite-order", &[topic]).await;
    let rest = values(&mut *second, 500 - read.len()).await;
    assert_eq!(
        rest.first().map(|(_, offset, _)| *offset),
        Some(next),
        "reads on where it was committed"
    );
    second.close().await.expect("closes");
}

async fn keys_keep_their_partition(transport: &dyn Transport) {
    let topic = "suite-keys";
    transport.create_topic(&new_topic(topic, 4, false)).await.expect("creates");
    let keys = ["1", "1237", "a", "é", "longer than a word"];
    let messages = (0..50).map(|n| message(Some(keys[n % 5]), keys[n % 5])).collect();
    append(transport, topic, messages).await;
    let mut consumer = consumer(transport, "suite-keys", &[topic]).await;
    let mut partitions = BTreeMap::new();
    for (partition, _, key) in values(&mut *consumer, 50).await {
        assert_eq!(*partitions.entry(key.clone()).or_insert(partition), partition, "{key}");
    }
    // Where Kafka's own partitioner, murmur2, puts them.
    assert_eq!((partitions["1"], partitions["1237"]), (3, 2), "{partitions:?}");
    consumer.close().await.expect("closes");
}

async fn compacted_topics_are_read_from_end_to_end(transport: &dyn Transport) {
    let topic = "suite-compacted";
    transport.create_topic(&new_topic(topic, 3, true)).await.expect("creates");
    let mut reader = transport.reader(topic).await.expect("a reader");
    assert!(reader.read_to_end().await.expect("reads").entries.is_empty());
    let messages: Vec<_> =
        (0..20).map(|n| message(Some(&(n % 5).to_string()), n.to_string())).collect();
    append(transport, topic, messages).await;
    append(transport, topic, vec![Message { value: None, ..message(Some("4"), "") }]).await;
    for mut reader in [reader, transport.reader(topic).await.expect("another reader")] {
        let mut state = BTreeMap::new();
        // The second reader sees what the first was told of, too.
        let entries = reader.read_to_end().await.expect("reads what was appended").entries;
        for entry in entries.into_iter().filter(|entry| &entry.key[..] != b"n") {
            match entry.value {
                Some(value) => drop(state.insert(entry.key, value)),
                None => drop(state.remove(&entry.key)),
            }
        }
        let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).expect("text");
        let state: Vec<_> = state.iter().map(|(k, v)| format!("{}={}", text(k), text(v))).collect();
        assert_eq!(state, ["0=15", "1=16", "2=17", "3=18"]);
        assert!(
            reader.read_to_end().await.expect("reads").entries.is_empty(),
            "nothing is read twice"
        );
        append(transport, topic, vec![message(Some("n"), "next")]).await;
        let next = timeout(DEADLINE, reader.next()).await.expect("is told").expect("reads");
        assert_eq!(next.last().and_then(|entry| entry.value.as_deref()), Some(&b"next"[..]));
    }
}

async fn offsets_are_stored_with_their_messages(transport: &dyn Transport) {
    let (topic, offsets) = ("suite-source", "suite-offsets");
    transport.create_topic(&new_topic(topic, 1, false)).await.expect("creates");
    transport.create_topic(&new_topic(offsets, 2, true)).await.expect("creates");
    let mut producer = transport.producer("suite", &BTreeMap::new()).await.expect("a producer");
    let mut durable = Vec::new();
    for n in 0..20 {
        let value = Some(n.to_string().into());
        let offset = OffsetCommit { topic: offsets.into(), key: "k".into(), value };
        let messages = vec![(topic.into(), vec![message(None, n.to_string())])];
        durable.push(
            producer.append(Append { messages, offset: Some(offset) }).await.expect("appends"),
        );
    }
    for durable in durable {
        durable.await.expect("becomes durable");
    }
    let mut reader = transport.reader(offsets).await.expect("a reader");
    let last =
        reader.read_to_end().await.expect("reads").entries.pop().and_then(|entry| entry.value);
    assert_eq!(
        last.as_deref(),
        Some(&b"19"[..]),
        "the last offset is there when its append is durable"
    );
}

async fn a_start_offset_is_honoured(transport: &dyn Transport) {
    let topic = "suite-seek";
    transport.create_topic(&new_topic(topic, 1, false)).await.expect("creates");
    append(transport, topic, (0..10).map(|n| message(None, n.to_string())).collect()).await;
    let mut consumer = consumer(transport, "suite-seek", &[topic]).await;
    let Fetch::Assigned(partitions) = fetch(&mut *consumer).await else {
        panic!("the assignment comes first")
    };
    assert_eq!(partitions.len(), 1);
    consumer.seek(&Offsets::from([(partitions[0].clone(), 7)])).await.expect("seeks");
    let read = values(&mut *consumer, 3).await;
    assert_eq!(read.iter().map(|(_, offset, _)| *offset).collect::<Vec<_>>(), [7, 8, 9]);
    consumer.close().await.expect("closes");
}

async fn asking_about_a_topic_does_not_make_it(transport: &dyn Transport) {
    for _ in 0..3 {
        assert_eq!(transport.topic("suite-none").await.expect("answers"), None);
    }
}

async fn offsets_of_a_group_without_members_can_be_changed(transport: &dyn Transport) {
    let (topic, group) = ("suite-alter", "suite-alter");
    transport.create_topic(&new_topic(topic, 3, false)).await.expect("creates");
    let tp = |partition| TopicPartition { topic: topic.into(), partition };
    let alter = async |changes: &[(i32, Option<i64>)]| {
        let changes = changes.iter().map(|(partition, next)| (tp(*partition), *next)).collect();
        transport.alter_committed(group, &changes).await
    };
    let committed = async || transport.committed(group).await.expect("tells offsets");
    alter(&[(0, Some(3)), (1, Some(4)), (2, Some(5))]).await.expect("alters");
    alter(&[(0, Some(1)), (1, None)]).await.expect("alters");
    assert_eq!(committed().await, Offsets::from([(tp(0), 1), (tp(2), 5)]));
    let mut consumer = consumer(transport, group, &[topic]).await;
    assert!(matches!(fetch(&mut *consumer).await, Fetch::Assigned(_)));
    alter(&[(0, Some(2))]).await.expect_err("the group has a member");
    consumer.close().await.expect("closes");
    drop(consumer);
    alter(&[(0, None), (2, None)]).await.expect("forgets");
    alter(&[(0, None)]).await.expect("forgets what is not there");
    assert_eq!(committed().await, Offsets::new());
}

async fn a_pattern_sees_topics_that_come_later(transport: &dyn Transport) {
    append(transport, "suite-pattern-a", vec![message(None, "a")]).await;
    append(transport, "not-suite-pattern-x", vec![message(None, "x")]).await;
    let pattern = Subscription::Pattern("suite-pattern-.*".into());
    let mut consumer = subscribe(transport, "suite-pattern", pattern).await;
    assert_eq!(values(&mut *consumer, 1).await[0].2, "a");
    append(transport, "suite-pattern-b", vec![message(None, "b")]).await;
    // With another assignment what was not committed may come again.
    while values(&mut *consumer, 1).await.pop().map(|(.., value)| value) != Some("b".into()) {}
    consumer.close().await.expect("closes");
}

async fn a_group_shares_the_partitions(transport: &dyn Transport) {
    let topic = "suite-group";
    transport.create_topic(&new_topic(topic, 4, false)).await.expect("creates");
    let mut first = consumer(transport, "suite-group", &[topic]).await;
    assert!(matches!(fetch(&mut *first).await, Fetch::Assigned(all) if all.len() == 4));
    let mut second = consumer(transport, "suite-group", &[topic]).await;
    let (mut of_first, mut of_second) = (4, 0);
    while (of_first, of_second) != (2, 2) {
        let (owned, event) = tokio::select! {
            event = fetch(&mut *first) => (&mut of_first, event),
            event = fetch(&mut *second) => (&mut of_second, event),
        };
        match event {
            Fetch::Assigned(partitions) => *owned += partitions.len(),
            Fetch::Revoked(partitions) | Fetch::Lost(partitions) => *owned -= partitions.len(),
            Fetch::Messages(_) => panic!("nothing was appended yet"),
        }
    }
    // What one has when it leaves, the other gets.
    first.close().await.expect("closes");
    drop(first);
    let messages = (0..4).map(|n| Message { partition: Some(n), ..message(None, n.to_string()) });
    append(transport, topic, messages.collect()).await;
    // With another assignment what was not committed may come again.
    let mut read = std::collections::BTreeSet::new();
    while read.len() < 4 {
        read.extend(values(&mut *second, 1).await.into_iter().map(|(partition, ..)| partition));
    }
    second.close().await.expect("closes");
}
