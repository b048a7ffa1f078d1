//! Consumers that leave their group while there is nothing to read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use connect_core::{
    sink::Offsets,
    transport::{
        Append, Consumer, ConsumerOptions, Fetch, Message, NewTopic, Producer, Subscription,
        Transport,
    },
};
use connect_core_kafka::KafkaTransport;
use connect_core_testkit::until;
use tokio::task::JoinHandle;
use xtask_servers::{Kafka, KafkaOptions};

const PARTITIONS: i32 = 2;

/// What a task has read, and what it was told.
#[derive(Default)]
struct Seen {
    texts: Vec<String>,
    assigned: usize,
    revoked: usize,
}

struct Task {
    topic: String,
    seen: Arc<Mutex<Seen>>,
    running: JoinHandle<()>,
}

/// As a sink task does: nothing is committed that was not read, and all that was read is.
async fn run(mut consumer: Box<dyn Consumer>, seen: Arc<Mutex<Seen>>) {
    loop {
        match consumer.fetch().await.unwrap() {
            Fetch::Assigned(partitions) if partitions.is_empty() => {}
            Fetch::Assigned(_) => seen.lock().unwrap().assigned += 1,
            Fetch::Revoked(_) | Fetch::Lost(_) => seen.lock().unwrap().revoked += 1,
            Fetch::Messages(fetched) => {
                let mut next = Offsets::new();
                for part in fetched {
                    for (offset, message) in part.messages {
                        let text = String::from_utf8(message.value.unwrap().to_vec()).unwrap();
                        seen.lock().unwrap().texts.push(text);
                        next.insert(part.origin.clone(), offset + 1);
                    }
                }
                consumer.commit(&next).await.unwrap();
            }
        }
    }
}

impl Task {
    fn start(transport: &Arc<KafkaTransport>, topic: &str, reset: &str) -> Self {
        let options = ConsumerOptions {
            group: format!("group-{topic}"),
            client_id: topic.to_owned(),
            subscription: Subscription::Topics(vec![topic.to_owned()]),
            max_messages: 100,
            properties: [("auto.offset.reset".to_owned(), reset.to_owned())].into(),
        };
        let (transport, seen) = (Arc::clone(transport), Arc::default());
        let (into, consumer) =
            (Arc::clone(&seen), async move { transport.consumer(options).await });
        let running = tokio::spawn(async move { run(consumer.await.unwrap(), into).await });
        Self { topic: topic.to_owned(), seen, running }
    }

    /// Whether nobody is a member of its group any longer, which has read something: then its offsets may be changed.
    async fn is_away(&self, transport: &KafkaTransport) -> bool {
        let group = format!("group-{}", self.topic);
        let committed = transport.committed(&group).await.unwrap();
        let same: BTreeMap<_, _> =
            committed.into_iter().map(|(tp, offset)| (tp, Some(offset))).collect();
        !same.is_empty() && transport.alter_committed(&group, &same).await.is_ok()
    }

    fn texts(&self) -> Vec<String> {
        self.seen.lock().unwrap().texts.clone()
    }

    fn changes(&self) -> (usize, usize) {
        let seen = self.seen.lock().unwrap();
        (seen.assigned, seen.revoked)
    }
}

async fn create(transport: &KafkaTransport, topic: &str) {
    let new = NewTopic {
        name: topic.to_owned(),
        partitions: Some(PARTITIONS),
        replication_factor: Some(1),
        compacted: false,
        properties: BTreeMap::new(),
    };
    transport.create_topic(&new).await.unwrap();
}

async fn append(producer: &mut dyn Producer, topic: &str, partition: i32, text: &str) {
    let (value, partition) = (Some(text.to_owned().into()), Some(partition));
    let message = Message { value, partition, ..Message::default() };
    let append = Append { messages: vec![(topic.into(), vec![message])], offset: None };
    producer.append(append).await.unwrap().await.unwrap();
}

async fn away(tasks: &[Task], transport: &KafkaTransport) -> usize {
    let mut away = 0;
    for task in tasks {
        away += usize::from(task.is_away(transport).await);
    }
    away
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idle_leave_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(dir.path(), KafkaOptions::default()).unwrap();
    let plain = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    let mut producer = plain.producer("test", &BTreeMap::new()).await.unwrap();

    let transport = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    let transport = Arc::new(transport.with_idle(1, Duration::from_secs(2)));
    let mut tasks = vec![Task::start(&transport, "absent", "earliest")];
    for topic in ["a", "b", "c"] {
        create(&plain, topic).await;
        let task = Task::start(&transport, topic, "earliest");
        append(&mut *producer, topic, 0, "first").await;
        until("the first record", async || task.texts() == ["first"]).await;
        tasks.push(task);
    }
    let left = async || away(&tasks[1..], &transport).await == 2;
    until("all but one have left", left).await;
    // One that has left without ever having read.
    create(&plain, "absent").await;
    append(&mut *producer, "absent", 1, "first").await;
    until("a topic that is made", async || tasks[0].texts() == ["first"]).await;
    // Of each, the partition whose offset is committed, and the one of which nothing was read.
    for (at, partition) in [1, 0, 1, 0].into_iter().enumerate() {
        append(&mut *producer, &tasks[at].topic, partition, "second").await;
        until("the second record", async || tasks[at].texts() == ["first", "second"]).await;
    }
    until("all but one have left", async || away(&tasks, &transport).await == 3).await;
    for task in &tasks {
        assert_eq!(task.texts(), ["first", "second"], "nothing twice");
        let (assigned, revoked) = task.changes();
        assert!(assigned - revoked <= 1 && assigned < 6, "{assigned} and {revoked}");
        task.running.abort();
    }

    // Where reading would begin at the end, what comes meanwhile would be lost: those stay.
    let transport = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    let transport = Arc::new(transport.with_idle(0, Duration::from_millis(500)));
    create(&plain, "late").await;
    let late = Task::start(&transport, "late", "latest");
    // The first ones may come before it has begun.
    until("a record after the beginning", async || {
        append(&mut *producer, "late", 0, "late").await;
        !late.texts().is_empty()
    })
    .await;

    // Leaves whenever there is nothing to read for a moment.
    create(&plain, "restless").await;
    let restless = Task::start(&transport, "restless", "earliest");
    let mut expected = Vec::new();
    for number in 0..30 {
        let text = number.to_string();
        append(&mut *producer, "restless", number % PARTITIONS, &text).await;
        expected.push(text);
        if number % 3 > 0 {
            until("all of it", async || restless.texts().len() == expected.len()).await;
        }
        if number % 3 > 1 {
            let left = async || restless.changes().0 == restless.changes().1;
            until("it has left", left).await;
        }
    }
    until("all of it", async || restless.texts().len() >= expected.len()).await;
    let mut texts = restless.texts();
    texts.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(texts, expected, "each once");
    let (assigned, _) = restless.changes();
    assert!(assigned > 3, "it has left {assigned} times");
    assert!(!late.is_away(&transport).await, "it would begin at the end");
}
