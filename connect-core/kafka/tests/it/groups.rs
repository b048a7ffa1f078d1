//! Transactions that are fenced, held and given up, and members of a group of workers.

use std::{collections::BTreeMap, time::Duration};

use connect_core::error::ErrorKind;
use connect_core::transport::{
    Append, Entry, Membership, MembershipOptions, Message, NewTopic, OffsetCommit, Producer,
    Reader, Role, Transport,
};
use connect_core_kafka::KafkaTransport;
use tokio::time::timeout;
use xtask_servers::{Kafka, KafkaOptions};

const DEADLINE: Duration = Duration::from_secs(60);

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: Some(1),
        replication_factor: Some(1),
        compacted: true,
        properties: BTreeMap::new(),
    }
}

/// A record with the offset that covers it, both in compacted topics.
fn append(text: &str) -> Append {
    let (key, value) = (Some("key".into()), Some(text.to_owned().into()));
    let message = Message { key, value, ..Message::default() };
    let offset = OffsetCommit {
        topic: "offsets".into(),
        key: "key".into(),
        value: Some(text.to_owned().into()),
    };
    Append { messages: vec![("records".into(), vec![message])], offset: Some(offset) }
}

async fn producer(transport: &KafkaTransport) -> Box<dyn Producer> {
    transport.transactional("test-0", "test", &BTreeMap::new()).await.unwrap()
}

async fn texts(reader: &mut dyn Reader) -> Vec<String> {
    let entries = timeout(DEADLINE, reader.read_to_end()).await.expect("an end").unwrap();
    let text = |entry: Entry| String::from_utf8(entry.value.unwrap().to_vec()).unwrap();
    entries.into_iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_members() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(dir.path(), KafkaOptions::default()).unwrap();
    let transport = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    for name in ["records", "offsets", "configs"] {
        transport.create_topic(&topic(name)).await.unwrap();
    }
    transactions(&transport).await;
    members(&transport).await;
    let mut alone = join(&transport, "alone").await;
    becomes(&mut *alone, Role::Leader).await;
    let mut kafka = kafka;
    kafka.kill9().unwrap();
    // Asked again and again, as a leader does.
    for _ in 0..3 {
        assert!(alone.members().await.unwrap_err().is_retriable());
    }
    kafka.restart().unwrap();
    are_members(&*alone, &["alone"]).await;
}

async fn transactions(transport: &KafkaTransport) {
    let mut records = transport.reader("records").await.unwrap();
    let mut offsets = transport.reader("offsets").await.unwrap();

    // Held: durable with the one that ends the transaction, not before.
    let mut first = producer(transport).await;
    let held = first.hold(append("1")).await.unwrap();
    let ended = first.append(append("2")).await.unwrap();
    held.await.unwrap();
    ended.await.unwrap();
    assert_eq!(texts(&mut *records).await, ["1", "2"]);
    assert_eq!(texts(&mut *offsets).await, ["1", "2"]);

    // Given up: never seen, and nobody waits for it to time out.
    drop(first.hold(append("3")).await.unwrap());
    drop(first);
    let mut second = producer(transport).await;
    second.append(append("4")).await.unwrap().await.unwrap();
    assert_eq!(texts(&mut *records).await, ["4"]);
    assert_eq!(texts(&mut *offsets).await, ["4"], "the end is behind markers");
    assert!(texts(&mut *offsets).await.is_empty());

    // Fenced: by another of its id, or without one in its place.
    let mut third = producer(transport).await;
    let fenced = match second.append(append("5")).await {
        Ok(durable) => durable.await,
        Err(error) => Err(error),
    };
    assert!(fenced.is_err());
    third.append(append("6")).await.unwrap().await.unwrap();
    transport.fence(&["test-0".to_owned()]).await.unwrap();
    let fenced = match third.append(append("7")).await {
        Ok(durable) => durable.await,
        Err(error) => Err(error),
    };
    assert!(fenced.is_err());
    assert_eq!(texts(&mut *records).await, ["6"]);

    // Refused by the broker: for good, and for a reason that is told.
    let small = [("max.message.bytes".to_owned(), "2000".to_owned())];
    let small = NewTopic { properties: small.into(), compacted: false, ..topic("small") };
    transport.create_topic(&small).await.unwrap();
    let mut producer = producer(transport).await;
    let mut large = append(&"x".repeat(10_000));
    large.messages[0].0 = "small".into();
    let error = producer.append(large).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(format!("{error:?}").contains("small"), "{error:?}");
}

async fn join(transport: &KafkaTransport, member: &str) -> Box<dyn Membership> {
    let options = MembershipOptions {
        group: "workers".into(),
        member: member.to_owned(),
        topic: "configs".into(),
        session_timeout: Duration::from_secs(6),
        heartbeat_interval: Duration::from_secs(1),
        rebalance_timeout: Duration::from_secs(60),
        properties: BTreeMap::new(),
    };
    transport.join(options).await.unwrap()
}

async fn becomes(member: &mut dyn Membership, wanted: Role) {
    let changed = async { while member.changed().await.unwrap() != wanted {} };
    timeout(DEADLINE, changed).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
}

async fn are_members(member: &dyn Membership, wanted: &[&str]) {
    let told = async {
        loop {
            let mut found = member.members().await.unwrap_or_default();
            found.sort();
            if found == wanted {
                return;
            }
        }
    };
    timeout(DEADLINE, told).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
}

async fn members(transport: &KafkaTransport) {
    let mut a = join(transport, "a").await;
    assert!(a.renew().await.is_err(), "before the group has answered");
    becomes(&mut *a, Role::Leader).await;
    assert_eq!(a.renew().await.unwrap(), Duration::from_secs(6));
    let mut b = join(transport, "b").await;
    becomes(&mut *b, Role::Follower).await;
    b.renew().await.unwrap();
    are_members(&*a, &["a", "b"]).await;

    // One that owns nothing leaves at once, and so does the one that leads.
    b.leave().await.unwrap();
    are_members(&*a, &["a"]).await;
    assert!(b.renew().await.is_err());
    let mut c = join(transport, "c").await;
    becomes(&mut *c, Role::Follower).await;
    a.leave().await.unwrap();
    becomes(&mut *c, Role::Leader).await;
}
