//! The transport on a real Kafka.

use std::collections::BTreeMap;

use connect_core::error::ErrorKind;
use connect_core_kafka::KafkaTransport;
use connect_core_testkit::transport_suite;
use xtask_servers::{Kafka, KafkaOptions};

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_promises() {
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(dir.path(), KafkaOptions::default()).unwrap();
    let transport = KafkaTransport::new(&kafka.address(), &BTreeMap::new()).unwrap();
    transport_suite(&transport).await;
}

#[tokio::test]
async fn a_setting_that_librdkafka_does_not_know_is_named() {
    let properties = BTreeMap::from([("no.such.setting".to_owned(), "1".to_owned())]);
    let error = KafkaTransport::new("127.0.0.1:1", &properties).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(format!("{error:?}").contains("no.such.setting"), "{error:?}");
}
