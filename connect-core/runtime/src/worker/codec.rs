//! The converters of one task: records to messages and back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;
use connect_core::{
    converter::{Converter, StringConverter},
    data::{Text, Value},
    error::{Error, Result},
    record::{Header, Record},
    registry::Registry,
    transport::Message,
};

use crate::{
    config::{ConnectorConfig, Worker, below},
    errors::Stage,
};

/// Key and value converter.
pub(super) struct Codec {
    key: Box<dyn Converter>,
    value: Box<dyn Converter>,
    header: StringConverter,
    /// One allocation holds the messages of a batch.
    buffer: BytesMut,
}

impl Codec {
    /// The connector's own converters, else the worker's, each with the properties below its prefix.
    pub(super) fn open(
        worker: &Worker,
        registry: &Registry,
        config: &ConnectorConfig,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let open = |own: &Option<String>, default: &str, prefix: &str| {
            let (class, properties) = match own {
                Some(class) => (class.as_str(), properties),
                None => (default, &worker.properties),
            };
            let found = registry.find_converter(class);
            let found =
                found.ok_or_else(|| Error::config(format!("Class {class} could not be found.")))?;
            found.open(&below(properties, prefix))
        };
        Ok(Self {
            key: open(&config.key_converter, &worker.config.key_converter, "key.converter.")?,
            value: open(
                &config.value_converter,
                &worker.config.value_converter,
                "value.converter.",
            )?,
            header: StringConverter::default(),
            buffer: BytesMut::new(),
        })
    }

    /// Encodes one record; the bytes share the buffer with its neighbours.
    pub(super) fn encode(&mut self, record: &Record) -> Result<Message, (Stage, Error)> {
        let key = self.key.encode(record.key_schema.as_ref(), &record.key, &mut self.buffer);
        let key = key.map_err(|e| (Stage::KeyConverter, e))?;
        let key = key.then(|| self.buffer.split().freeze());
        let value =
            self.value.encode(record.value_schema.as_ref(), &record.value, &mut self.buffer);
        let value = value.map_err(|e| (Stage::ValueConverter, e))?;
        let value = value.then(|| self.buffer.split().freeze());
        let headers = record.headers.iter().map(|header| self.header(header));
        let headers = headers.collect::<Result<_>>().map_err(|e| (Stage::HeaderConverter, e))?;
        let partition = record.partition;
        Ok(Message { partition, key, value, headers, timestamp: record.timestamp })
    }

    /// As `SimpleHeaderConverter`: text as it is, anything else as JSON without schema.
    fn header(&mut self, header: &Header) -> Result<(Text, Option<bytes::Bytes>)> {
        let value = match &header.value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            value => {
                let schema = header.schema.as_ref();
                let encoded = self.header.encode(schema, value, &mut self.buffer)?;
                encoded.then(|| self.buffer.split().freeze())
            }
        };
        Ok((header.name.clone(), value))
    }

    /// Decodes one message.
    pub(super) fn decode(
        &mut self,
        topic: &Text,
        partition: i32,
        message: &Message,
    ) -> Result<Record, (Stage, Error)> {
        let (key_schema, key) =
            self.key.decode(message.key.as_ref()).map_err(|e| (Stage::KeyConverter, e))?;
        let (value_schema, value) =
            self.value.decode(message.value.as_ref()).map_err(|e| (Stage::ValueConverter, e))?;
        let header = |(name, value): &(Text, Option<bytes::Bytes>)| {
            let value = match value.as_ref().map(|bytes| Text::try_from(bytes.clone())) {
                None => Value::Null,
                Some(Ok(text)) => Value::String(text),
                Some(Err(_)) => value.clone().map_or(Value::Null, Value::Bytes),
            };
            Header { name: name.clone(), schema: None, value }
        };
        Ok(Record {
            topic: Some(topic.clone()),
            partition: Some(partition),
            key_schema,
            key,
            value_schema: value_schema.as_ref().map(Arc::clone),
            value,
            headers: message.headers.iter().map(header).collect(),
            timestamp: message.timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_text_or_json() {
        let worker = Worker::parse(BTreeMap::new()).unwrap();
        let own = [("name", "c"), ("connector.class", "C")];
        let own = own.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let config = connect_core::config::parse(&own).unwrap();
        let mut codec = Codec::open(&worker, &Registry::apache(), &config, &own).unwrap();
        let header = |value| Header { name: "h".into(), schema: None, value };
        let list = Value::Array(vec![Value::Int64(1), Value::String("é".into())]);
        let headers = [Value::String("a".into()), Value::Int64(7), list, Value::Null].map(header);
        let record = Record { headers: headers.into(), ..Record::default() };
        let message = codec.encode(&record).map_err(|(_, e)| e).unwrap();
        let found: Vec<_> = message.headers.iter().map(|(_, value)| value.as_deref()).collect();
        let expected = ["a", "7", "[1,\"é\"]"].map(|text| Some(text.as_bytes()));
        assert_eq!((&found[..3], found[3]), (&expected[..], None));
    }
}
