//! Three brokers, and what happens to them and to topics in the field.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use connect_core::{
    error::{Error, ErrorKind},
    sink::{Offsets, TopicPartition},
    transport::{
        Append, Consumer, ConsumerOptions, Fetch, Message, NewTopic, Subscription, Transport,
    },
};
use connect_core_kafka::KafkaTransport;
use connect_core_testkit::until;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer},
};
use tokio::time::timeout;
use xtask_servers::{KafkaCluster, KafkaOptions};

/// Most time that anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

fn new_topic(name: &str, partitions: i32, properties: &[(&str, &str)]) -> NewTopic {
    let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: Some(3),
        compacted: false,
        properties: properties.collect(),
    }
}

fn append(topic: &str, partition: Option<i32>, text: &str) -> Append {
    let message = Message { partition, value: Some(text.to_owned().into()), ..Message::default() };
    Append { messages: vec![(topic.into(), vec![message])], offset: None }
}

async fn consumer(
    transport: &KafkaTransport,
    topic: &str,
    properties: &[(&str, &str)],
) -> Box<dyn Consumer> {
    let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    // So that a test sees within a second what takes ten otherwise.
    let seen_soon = ("metadata.max.age.ms".to_owned(), "1000".to_owned());
    let options = ConsumerOptions {
        group: format!("connect-{topic}"),
        client_id: "test".to_owned(),
        subscription: Subscription::Topics(vec![topic.to_owned()]),
        max_messages: 100,
        properties: properties.chain([seen_soon]).collect(),
    };
    transport.consumer(options).await.unwrap()
}

/// Reads as a sink does, committing, until it has seen so many texts.
async fn read(consumer: &mut dyn Consumer, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let fetched = timeout(DEADLINE, consumer.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| panic!("only {texts:?}"));
        let Fetch::Messages(fetched) = fetched.unwrap() else { continue };
        let mut offsets = Offsets::new();
        for part in fetched {
            for (offset, message) in part.messages {
                texts.push(String::from_utf8(message.value.unwrap().to_vec()).unwrap());
                offsets.insert(part.origin.clone(), offset + 1);
            }
        }
        if let Err(error) = consumer.commit(&offsets).await {
            assert!(error.is_retriable(), "{error:?}");
        }
    }
    texts
}

async fn write(transport: &KafkaTransport, appends: Vec<Append>) -> Result<(), Error> {
    let mut producer = transport.producer("test", &BTreeMap::new()).await.unwrap();
    for append in appends {
        timeout(DEADLINE, producer.append(append).await?).await.expect("an answer")?;
    }
    Ok(())
}

/// One cluster for all: starting it takes longer than most cases.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three() {
    let dir = tempfile::tempdir().unwrap();
    let options = KafkaOptions { heap_mb: 256, ..KafkaOptions::default() };
    let mut cluster = KafkaCluster::start(dir.path(), &options).unwrap();
    let transport = KafkaTransport::new(&cluster.address(), &BTreeMap::new()).unwrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.address()).create().unwrap();
    compressed_records_are_read(&transport).await;
    aborted_records_are_seen_as_the_isolation_level_says(&transport, &cluster.address()).await;
    a_record_that_is_too_large_names_its_topic(&transport).await;
    partitions_that_are_added_are_read(&transport, &admin).await;
    a_topic_that_is_made_again_is_read_from_its_beginning(&transport, &admin).await;
    a_rolling_restart_loses_nothing(&transport, &mut cluster).await;
}

async fn compressed_records_are_read(transport: &KafkaTransport) {
    transport.create_topic(&new_topic("compressed", 1, &[])).await.unwrap();
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let properties = BTreeMap::from([("compression.type".to_owned(), codec.to_owned())]);
        let mut producer = transport.producer("test", &properties).await.unwrap();
        // Long enough for a batch to be smaller when it is compressed.
        let text = codec.repeat(1000);
        producer.append(append("compressed", None, &text)).await.unwrap().await.unwrap();
    }
    let mut consumer = consumer(transport, "compressed", &[]).await;
    let read = read(&mut *consumer, 4).await;
    assert_eq!(read, ["gzip", "snappy", "lz4", "zstd"].map(|codec| codec.repeat(1000)));
    consumer.close().await.unwrap();
}

async fn aborted_records_are_seen_as_the_isolation_level_says(
    transport: &KafkaTransport,
    brokers: &str,
) {
    transport.create_topic(&new_topic("transactions", 1, &[])).await.unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", "test")
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    for (text, kept) in [("aborted", false), ("committed", true)] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to("transactions").payload(text)).unwrap();
        producer.flush(DEADLINE).unwrap();
        match kept {
            true => producer.commit_transaction(DEADLINE).unwrap(),
            false => producer.abort_transaction(DEADLINE).unwrap(),
        }
    }
    let mut all = consumer(transport, "transactions", &[]).await;
    assert_eq!(read(&mut *all, 2).await, ["aborted", "committed"]);
    all.close().await.unwrap();
    let committed = [("isolation.level", "read_committed"), ("group.id", "connect-committed")];
    let mut committed = consumer(transport, "transactions", &committed).await;
    assert_eq!(read(&mut *committed, 1).await, ["committed"]);
    committed.close().await.unwrap();
}

async fn a_record_that_is_too_large_names_its_topic(transport: &KafkaTransport) {
    transport.create_topic(&new_topic("small", 1, &[("max.message.bytes", "2000")])).await.unwrap();
    // The broker refuses the one, the client the other.
    for size in [10_000, 2 << 20] {
        let error =
            write(transport, vec![append("small", None, &"x".repeat(size))]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let text = format!("{error:?}");
        assert!(text.contains("small") && text.contains("max.request.size"), "{text}");
    }
    let big = BTreeMap::from([("max.request.size".to_owned(), "3000000".to_owned())]);
    transport
        .create_topic(&new_topic("large", 1, &[("max.message.bytes", "3000000")]))
        .await
        .unwrap();
    let mut producer = transport.producer("test", &big).await.unwrap();
    let large = append("large", None, &"x".repeat(2 << 20));
    producer.append(large).await.unwrap().await.unwrap();
    let mut consumer = consumer(transport, "large", &[]).await;
    assert_eq!(read(&mut *consumer, 1).await[0].len(), 2 << 20);
    consumer.close().await.unwrap();
}

async fn partitions_that_are_added_are_read(
    transport: &KafkaTransport,
    admin: &AdminClient<DefaultClientContext>,
) {
    transport.create_topic(&new_topic("growing", 1, &[])).await.unwrap();
    let mut consumer = consumer(transport, "growing", &[]).await;
    write(transport, vec![append("growing", Some(0), "old")]).await.unwrap();
    assert_eq!(read(&mut *consumer, 1).await, ["old"]);
    let grown = NewPartitions::new("growing", 3);
    admin.create_partitions([&grown], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    wait_until_partitions(transport, "growing", Some(3)).await;
    // Written before the consumer knows of the partition.
    write(transport, vec![append("growing", Some(2), "new")]).await.unwrap();
    assert_eq!(read(&mut *consumer, 1).await, ["new"]);
    consumer.close().await.unwrap();
}

async fn wait_until_partitions(transport: &KafkaTransport, topic: &str, partitions: Option<i32>) {
    until(&format!("{topic} to have partitions: {partitions:?}"), async || {
        transport.topic(topic).await.unwrap().map(|topic| topic.partitions) == partitions
    })
    .await;
}

async fn a_topic_that_is_made_again_is_read_from_its_beginning(
    transport: &KafkaTransport,
    admin: &AdminClient<DefaultClientContext>,
) {
    let make = new_topic("again", 1, &[]);
    transport.create_topic(&make).await.unwrap();
    let texts = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{prefix}-{n}")).collect()
    };
    let appends = |texts: &[String]| texts.iter().map(|t| append("again", None, t)).collect();
    let (old, new) = (texts("old", 10), texts("new", 3));
    write(transport, appends(&old)).await.unwrap();
    // As sinks of a worker whose brokers make no topics by themselves: else this consumer would make it again.
    let mut consumer = consumer(transport, "again", &[("allow.auto.create.topics", "false")]).await;
    assert_eq!(read(&mut *consumer, 10).await, old);
    admin.delete_topics(&["again"], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    wait_until_partitions(transport, "again", None).await;
    // What was delivered of a topic that is gone need not be known any more.
    let tp = TopicPartition { topic: "again".into(), partition: 0 };
    consumer.commit(&Offsets::from([(tp, 10)])).await.unwrap();
    transport.create_topic(&make).await.unwrap();
    write(transport, appends(&new)).await.unwrap();
    assert_eq!(read(&mut *consumer, 3).await, new);
    consumer.close().await.unwrap();
}

async fn a_rolling_restart_loses_nothing(transport: &KafkaTransport, cluster: &mut KafkaCluster) {
    transport
        .create_topic(&new_topic("rolling", 3, &[("min.insync.replicas", "2")]))
        .await
        .unwrap();
    transport
        .create_topic(&new_topic("all-copies", 1, &[("min.insync.replicas", "3")]))
        .await
        .unwrap();
    let mut consumer = consumer(transport, "rolling", &[]).await;
    let mut producer = transport.producer("test", &BTreeMap::new()).await.unwrap();
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let writing = tokio::spawn(async move {
        let mut written = 0;
        let mut durable = Vec::new();
        while !*stopped.borrow() {
            let text = written.to_string();
            durable.push(producer.append(append("rolling", None, &text)).await.unwrap());
            written += 1;
            // A load, not a wait.
            let _ = timeout(Duration::from_millis(10), stopped.changed()).await;
        }
        for durable in durable {
            timeout(DEADLINE, durable).await.expect("an answer").unwrap();
        }
        written
    });
    let reading = tokio::spawn(async move {
        let (mut seen, mut ends) = (BTreeSet::new(), 0);
        while ends < 3 {
            let fetched = timeout(DEADLINE, consumer.fetch()).await.expect("more to come");
            if let Fetch::Messages(fetched) = fetched.unwrap() {
                for (_, message) in fetched.into_iter().flat_map(|part| part.messages) {
                    let text = String::from_utf8(message.value.unwrap().to_vec()).unwrap();
                    ends += usize::from(text == "end");
                    seen.insert(text);
                }
            }
        }
        consumer.close().await.unwrap();
        seen
    });
    for node in 0..3 {
        tokio::task::block_in_place(|| cluster.nodes()[node].stop()).unwrap();
        let mut producer = transport.producer("test", &BTreeMap::new()).await.unwrap();
        let mut durable = producer.append(append("all-copies", None, "x")).await.unwrap();
        let early = timeout(Duration::from_secs(1), &mut durable).await;
        assert!(early.is_err(), "acknowledged with too few copies: {early:?}");
        tokio::task::block_in_place(|| cluster.nodes()[node].restart()).unwrap();
        timeout(DEADLINE, durable).await.expect("goes on when the copy is back").unwrap();
    }
    stop.send_replace(true);
    let written: usize = writing.await.unwrap();
    // To each partition: what comes before it has been read then.
    let ends = (0..3).map(|partition| append("rolling", Some(partition), "end")).collect();
    write(transport, ends).await.unwrap();
    let mut seen = reading.await.unwrap();
    seen.remove("end");
    assert!(written > 500, "{written}");
    assert_eq!(seen.len(), written);
}
