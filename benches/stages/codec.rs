//! Records to messages and back, as the runtime has it done.

use bytes::BytesMut;
use connect_core::{
    converter::Converter, data::Text, record::Record, registry::Registry, transport::Message,
};

use crate::{Bench, Result, shapes::Shape, source::properties};

fn converter(schemas: bool) -> Result<Box<dyn Converter>> {
    let class = Registry::apache().find_converter("JsonConverter").ok_or("no such converter")?;
    // A decimal that nobody says is one has to be a number.
    let pairs: &[_] = match schemas {
        true => &[("schemas.enable", "true")],
        false => &[("schemas.enable", "false"), ("decimal.format", "NUMERIC")],
    };
    Ok(class.open(&properties(pairs))?)
}

/// Measures encoding without and with schema, and returns the messages of both.
pub(crate) fn encode(
    bench: &mut Bench,
    shape: &Shape,
    records: &[Record],
) -> Result<(Vec<Message>, Vec<Message>)> {
    let mut both = Vec::new();
    for (stage, schemas) in [("convert", false), ("convert-schema", true)] {
        let (mut converter, mut buffer) = (converter(schemas)?, BytesMut::with_capacity(64 << 10));
        let mut encode = || -> Result<Vec<Message>> {
            let mut messages = Vec::with_capacity(records.len());
            for record in records {
                converter.encode(record.value_schema.as_ref(), &record.value, &mut buffer)?;
                let value = Some(buffer.split().freeze());
                messages.push(Message { value, ..Message::default() });
            }
            Ok(messages)
        };
        both.push(encode()?);
        bench.stage(stage, shape, || (), |()| encode())?;
    }
    both.pop().zip(both.pop()).map(|(with, without)| (without, with)).ok_or("two kinds".into())
}

/// Measures decoding, and returns the records.
pub(crate) fn decode(
    bench: &mut Bench,
    stage: &'static str,
    shape: &Shape,
    schemas: bool,
    messages: &[Message],
) -> Result<Vec<Record>> {
    let (mut converter, topic) = (converter(schemas)?, Text::from_static("bench"));
    let mut decode = || -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(messages.len());
        for message in messages {
            let (value_schema, value) = converter.decode(message.value.as_ref())?;
            let topic = Some(topic.clone());
            records.push(Record { topic, value_schema, value, ..Record::default() });
        }
        Ok(records)
    };
    let records = decode()?;
    bench.stage(stage, shape, || (), |()| decode())?;
    Ok(records)
}
