//! The transport on a real Kafka.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod cluster;
mod groups;
mod idle;
mod security;

use std::{collections::BTreeMap, fs, path::Path};

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
async fn a_bad_setting_is_named() {
    let properties = BTreeMap::from([("request.timeout.ms".to_owned(), "soon".to_owned())]);
    let error = KafkaTransport::new("127.0.0.1:1", &properties).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(format!("{error:?}").contains("request.timeout.ms"), "{error:?}");
}

#[test]
fn the_reference_of_keys_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/kafka-clients.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, connect_core_kafka::reference()).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, connect_core_kafka::reference(), "run `cargo xtask docs`");
}
