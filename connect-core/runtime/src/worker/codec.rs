//! The converters of one task: records to messages and back.

use connect_core::{
    config::Properties,
    converter::Converter,
    data::Text,
    error::{Error, Result},
    record::{Header, Record},
    registry::Registry,
    transport::Message,
};

use crate::{
    config::{ConnectorConfig, Worker},
    errors::Stage,
    validate::converter_properties,
};

/// An error with the stage it belongs to.
pub(super) type Failed = (Stage, Error);

/// Messages are encoded into blocks of this size; a larger one has one of its own.
const BLOCK: usize = 64 << 10;

/// Key, value and header converter.
pub(super) struct Codec {
    key: Box<dyn Converter>,
    value: Box<dyn Converter>,
    header: Box<dyn Converter>,
    /// What is left of the block that holds the last messages.
    buffer: bytes::BytesMut,
}

impl Codec {
    /// The connector's own converters, else the worker's, each with the properties below its prefix.
    pub(super) fn open(
        worker: &Worker,
        registry: &Registry,
        config: &ConnectorConfig,
        properties: &Properties,
    ) -> Result<Self> {
        let open = |own: &Option<String>, default: &str, kind: &str| {
            let (class, properties) = match own {
                Some(class) => (class.as_str(), properties),
                None => (default, &worker.properties),
            };
            let found = match kind {
                "header" => registry.find_header_converter(class),
                _ => registry.find_converter(class),
            };
            let found = found.ok_or_else(|| {
                Error::config(format!(
                    "Invalid value {class} for configuration {kind}.converter: Class {class} could not be found."
                ))
            })?;
            found.open(&converter_properties(properties, kind))
        };
        let defaults = &worker.config;
        Ok(Self {
            key: open(&config.key_converter, &defaults.key_converter, "key")?,
            value: open(&config.value_converter, &defaults.value_converter, "value")?,
            header: open(&config.header_converter, &defaults.header_converter, "header")?,
            buffer: bytes::BytesMut::new(),
        })
    }

    /// Encodes one record; the bytes share the buffer with its neighbours.
    pub(super) fn encode(&mut self, record: &Record) -> Result<Message, Failed> {
        // Those that follow are of the size of the first. A task that only decodes has none.
        if self.buffer.capacity() == 0 {
            self.buffer = bytes::BytesMut::with_capacity(BLOCK);
        }
        let key = self.key.encode(record.key_schema.as_ref(), &record.key, &mut self.buffer);
        let key = key.map_err(|e| (Stage::KeyConverter, e))?;
        let key = key.then(|| self.buffer.split().freeze());
        let value =
            self.value.encode(record.value_schema.as_ref(), &record.value, &mut self.buffer);
        let value = value.map_err(|e| (Stage::ValueConverter, e))?;
        let value = value.then(|| self.buffer.split().freeze());
        let mut headers = Vec::with_capacity(record.headers.len());
        for Header { name, schema, value } in &record.headers {
            let encoded = self.header.encode(schema.as_ref(), value, &mut self.buffer);
            let encoded = encoded.map_err(|e| (Stage::HeaderConverter, e))?;
            headers.push((name.clone(), encoded.then(|| self.buffer.split().freeze())));
        }
        let (partition, timestamp) = (record.partition, record.timestamp);
        Ok(Message { partition, key, value, headers, timestamp })
    }

    /// Decodes one message.
    pub(super) fn decode(
        &mut self,
        topic: &Text,
        partition: i32,
        message: &Message,
    ) -> Result<Record, Failed> {
        let (key_schema, key) =
            self.key.decode(message.key.as_ref()).map_err(|e| (Stage::KeyConverter, e))?;
        let (value_schema, value) =
            self.value.decode(message.value.as_ref()).map_err(|e| (Stage::ValueConverter, e))?;
        let mut headers = Vec::with_capacity(message.headers.len());
        for (name, value) in &message.headers {
            let decoded = self.header.decode(value.as_ref());
            let (schema, value) = decoded.map_err(|e| (Stage::HeaderConverter, e))?;
            headers.push(Header { name: name.clone(), schema, value });
        }
        Ok(Record {
            topic: Some(topic.clone()),
            partition: Some(partition),
            key_schema,
            key,
            value_schema,
            value,
            headers,
            timestamp: message.timestamp,
        })
    }
}
