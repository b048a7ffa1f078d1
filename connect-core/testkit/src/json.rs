//! Batches for sinks, from the JSON that stands in topics.

use std::sync::Arc;

use bytes::Bytes;
use connect_core::{
    config::{Properties, parse},
    converter::{Converter, ConverterClass, JsonConverter},
    record::Record,
    sink::{SinkBatch, SinkRecord, TopicPartition},
};

/// A message: its key and its value.
pub type Message<'m> = (Option<&'m str>, Option<&'m str>);

/// The batch that a sink gets of JSON messages in partition 3 of a topic, with schemas in the JSON or without; the first
/// has this offset.
pub fn json_batch(topic: &str, schemas: bool, first: i64, messages: &[Message<'_>]) -> SinkBatch {
    let config = [("schemas.enable", schemas.to_string()), ("converter.type", "value".to_owned())];
    let config: Properties = config.map(|(key, value)| (key.to_owned(), value)).into();
    let config = parse(&config).expect("the converter's keys are right");
    let mut json = JsonConverter::new(config).expect("the converter opens");
    let topic: connect_core::data::Text = topic.into();
    let origin = Arc::new(TopicPartition { topic: topic.clone(), partition: 3 });
    let mut decode = |text: &Option<&str>| {
        let bytes = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        json.decode(bytes.as_ref()).expect("the message is JSON")
    };
    let records = messages.iter().zip(first..).map(|((key, value), offset)| {
        let ((key_schema, key), (value_schema, value)) = (decode(key), decode(value));
        let topic = Some(topic.clone());
        let record = Record { topic, key_schema, key, value_schema, value, ..Record::default() };
        SinkRecord { record, origin: Arc::clone(&origin), offset }
    });
    SinkBatch { records: records.collect() }
}

/// Messages without keys.
pub fn values<'m>(values: &[&'m str]) -> Vec<Message<'m>> {
    values.iter().map(|value| (None, Some(*value))).collect()
}
