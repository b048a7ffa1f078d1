//! The converters of one task: records to messages and back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::BytesMut;
use connect_core::{
    converter::{self, Converter},
    data::{Text, Value},
    error::Result,
    record::{Header, Record},
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
    /// One allocation holds the messages of a batch.
    buffer: BytesMut,
}

impl Codec {
    /// The connector's own converters, else the worker's, each with the properties below its prefix.
    pub(super) fn open(
        worker: &Worker,
        config: &ConnectorConfig,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let open = |own: &Option<String>, default: &str, prefix: &str| match own {
            Some(class) => converter::open(class, &below(properties, prefix)),
            None => converter::open(default, &below(&worker.properties, prefix)),
        };
        Ok(Self {
            key: open(&config.key_converter, &worker.config.key_converter, "key.converter.")?,
            value: open(
                &config.value_converter,
                &worker.config.value_converter,
                "value.converter.",
            )?,
            buffer: BytesMut::new(),
        })
    }

    /// Encodes one record; the bytes share the buffer with its neighbours.
    pub(super) fn encode(
        &mut self,
        record: &Record,
    ) -> Result<Message, (Stage, connect_core::error::Error)> {
        let key = self.key.encode(record.key_schema.as_ref(), &record.key, &mut self.buffer);
        let key = key.map_err(|e| (Stage::KeyConverter, e))?;
        let key = key.then(|| self.buffer.split().freeze());
        let value =
            self.value.encode(record.value_schema.as_ref(), &record.value, &mut self.buffer);
        let value = value.map_err(|e| (Stage::ValueConverter, e))?;
        let value = value.then(|| self.buffer.split().freeze());
        let headers = record.headers.iter().map(|header| self.header(header)).collect();
        let partition = record.partition;
        Ok(Message { partition, key, value, headers, timestamp: record.timestamp })
    }

    /// As `SimpleHeaderConverter`: text as it is, anything else as JSON without schema.
    fn header(&self, header: &Header) -> (Text, Option<bytes::Bytes>) {
        let value = match &header.value {
            Value::Null => None,
            Value::String(text) => Some(text.as_bytes().clone()),
            Value::Bytes(bytes) => Some(bytes.clone()),
            other => Some(format!("{other:?}").into()),
        };
        (header.name.clone(), value)
    }

    /// Decodes one message.
    pub(super) fn decode(
        &mut self,
        topic: &Text,
        partition: i32,
        message: &Message,
    ) -> Result<Record, (Stage, connect_core::error::Error)> {
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
