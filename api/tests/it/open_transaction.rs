//! A transaction that nobody ends, in the offsets topic of a worker on Kafka.

use std::{collections::BTreeMap, fs};

use connect_core::transport::{Append, Message, NewTopic, Transport};
use connect_core_kafka::KafkaTransport;
use connect_core_testkit::until;
use xtask_servers::{Kafka, KafkaOptions};

use crate::client::{sink, source, start};

/// The worker and every other connector run; the one whose offsets it holds back starts when it is over.
#[tokio::test(flavor = "multi_thread")]
async fn it_holds_up_only_the_connector_whose_offsets_it_hides() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::default()).unwrap();
    let transport = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    let offsets = "connect-offsets";
    let topic = NewTopic {
        name: offsets.into(),
        partitions: Some(1),
        replication_factor: Some(1),
        compacted: true,
        properties: BTreeMap::new(),
    };
    transport.create_topic(&topic).await.unwrap();
    let [held, free, out] = ["held", "free", "out"].map(|name| dir.path().join(name));
    fs::write(&held, "held\n").unwrap();
    fs::write(&free, "free\n").unwrap();

    let key = format!(r#"["held",{{"filename":"{}"}}]"#, held.display());
    let message =
        Message { key: Some(key.into()), value: Some("null".into()), ..Message::default() };
    let append = Append { messages: vec![(offsets.into(), vec![message])], offset: None };
    let lasting = [("transaction.timeout.ms".to_owned(), "600000".to_owned())].into();
    let mut open = transport.transactional("lost", "lost", &lasting).await.unwrap();
    let holding = open.hold(append).await.unwrap();
    let mut reader = transport.reader(offsets).await.unwrap();
    until("the open transaction", async || {
        !reader.read_to_end().await.unwrap().undecided.is_empty()
    })
    .await;

    let address = kafka.address();
    let properties = [
        ("bootstrap.servers", &*address),
        ("group.id", "open"),
        ("config.storage.replication.factor", "1"),
        ("status.storage.replication.factor", "1"),
        ("status.storage.partitions", "1"),
    ];
    let (worker, client) = start(dir.path(), &properties).await;
    client.create("held", source(&held, "t")).await;
    client.create("free", source(&free, "t")).await;
    client.create("sink", sink(&out, "t")).await;
    client.until("free", "RUNNING [RUNNING]").await;
    until("what is not held back", async || {
        fs::read_to_string(&out).is_ok_and(|text| text == "free\n")
    })
    .await;
    assert_ne!(client.state("held").await, "RUNNING [RUNNING]");

    drop((holding, open));
    client.until("held", "RUNNING [RUNNING]").await;
    until("everything", async || fs::read_to_string(&out).is_ok_and(|text| text == "free\nheld\n"))
        .await;
    worker.shut_down().await;
}
