//! Transactions that are fenced, held and given up, and members of a group of workers.

use std::{collections::BTreeMap, time::Duration};

use connect_core::error::ErrorKind;
use connect_core::transport::{
    Append, Entry, Membership, MembershipOptions, Message, NewTopic, OffsetCommit, Producer,
    Reader, Role, ToEnd, Transport,
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

/// What is there when every transaction has ended: the brokers end one in their own time after they were told to.
async fn texts(reader: &mut dyn Reader) -> Vec<String> {
    let text = |entry: Entry| String::from_utf8(entry.value.unwrap().to_vec()).unwrap();
    let mut texts = Vec::new();
    let read = async {
        loop {
            let ToEnd { entries, undecided } = reader.read_to_end().await.unwrap();
            texts.extend(entries.into_iter().map(text));
            if undecided.is_empty() {
                return;
            }
        }
    };
    timeout(DEADLINE, read).await.expect("an end");
    texts
}

/// Reads until a transaction holds so many entries back: what was read, and where they are.
async fn held(reader: &mut dyn Reader, wanted: usize) -> (Vec<Entry>, Vec<i64>) {
    let mut read = Vec::new();
    let held = async {
        loop {
            let ToEnd { entries, undecided } = reader.read_to_end().await.unwrap();
            read.extend(entries);
            assert!(undecided.iter().all(|entry| entry.partition == 0 && &entry.key[..] == b"key"));
            if undecided.len() == wanted {
                return undecided.iter().map(|entry| entry.offset).collect();
            }
        }
    };
    let held = timeout(DEADLINE, held).await.expect("an open transaction");
    (read, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_members() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(dir.path(), KafkaOptions::default()).unwrap();
    let transport = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    for name in ["records", "offsets", "configs", "held"] {
        transport.create_topic(&topic(name)).await.unwrap();
    }
    transactions(&transport).await;
    open_transactions(&transport).await;
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

/// What an open transaction holds back, its own and what others wrote behind it, is told, and not waited for.
async fn open_transactions(transport: &KafkaTransport) {
    let mut reader = transport.reader("held").await.unwrap();
    let append = |text: &str| {
        let Append { mut messages, .. } = append(text);
        messages[0].0 = "held".into();
        Append { messages, offset: None }
    };
    let mut plain = transport.producer("plain", &BTreeMap::new()).await.unwrap();
    plain.append(append("1")).await.unwrap().await.unwrap();
    let mut open = producer(transport).await;
    let holding = open.hold(append("2")).await.unwrap();
    let (read, first) = held(&mut *reader, 1).await;
    assert_eq!(read.len(), 1, "what came before");
    plain.append(append("3")).await.unwrap().await.unwrap();
    let (read, both) = held(&mut *reader, 2).await;
    assert!(
        read.is_empty() && both[0] == first[0] && both[1] == first[0] + 1,
        "{first:?} {both:?}"
    );
    // One that begins to read now learns the same.
    let mut late = transport.reader("held").await.unwrap();
    assert_eq!(held(&mut *late, 2).await.1, both);
    // It is given up: only what is behind it counts.
    drop((holding, open));
    drop(producer(transport).await);
    assert_eq!(texts(&mut *reader).await, ["3"]);
    assert_eq!(texts(&mut *late).await, ["3"], "and the first was read before");
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
    c.leave().await.unwrap();

    // On return it has left, whatever was on its way: nobody has to wait for its session to end.
    for _ in 0..20 {
        let mut leaving = join(transport, "leaving").await;
        becomes(&mut *leaving, Role::Leader).await;
        let question = leaving.members();
        leaving.leave().await.unwrap();
        assert_eq!(transport.group_members("workers").await.unwrap(), 0, "{:?}", question.await);
    }
}
