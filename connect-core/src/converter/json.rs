//! `org.apache.kafka.connect.json.JsonConverter`.

use std::{collections::HashMap, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Converter, ConverterClass, ConverterType, SchemaAndValue, json_decode, json_encode::Encoder,
    json_schema,
};
use crate::{
    CONNECT_VERSION,
    data::{Schema, Value},
    error::{Error, Result},
};

/// How a `Decimal` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum DecimalFormat {
    /// A JSON number.
    Numeric,
    /// Base64 of the unscaled integer.
    #[default]
    Base64,
}

fn yes() -> bool {
    true
}

fn cache_size() -> i32 {
    1000
}

/// Keys of the JSON converter (`org.apache.kafka.connect.json.JsonConverterConfig`).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct JsonConverterConfig {
    /// How this converter will be used.
    #[serde(rename = "converter.type")]
    #[schemars(extend("x-importance" = "LOW"))]
    pub converter_type: ConverterType,
    /// Include schemas within each of the serialized values and keys.
    #[serde(rename = "schemas.enable", default = "yes")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Schemas", "x-order" = 0, "x-display" = "Enable Schemas"))]
    pub schemas_enable: bool,
    /// The maximum number of schemas that can be cached in this converter instance.
    #[serde(rename = "schemas.cache.size", default = "cache_size")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Schemas", "x-order" = 1, "x-display" = "Schema Cache Size"))]
    pub schemas_cache_size: i32,
    /// When set, this is used as the schema for all messages, and the schemas within each of the message will be
    /// ignored. Otherwise, the schema will be included in the content of each message. This configuration applies
    /// only 'schemas.enable' is true, and it exclusively affects the sink connector.
    #[serde(rename = "schema.content")]
    #[schemars(extend("x-importance" = "HIGH", "x-group" = "Schemas", "x-order" = 2, "x-display" = "Schema Content"))]
    pub schema_content: Option<String>,
    /// Controls which format this converter will serialize decimals in. This value is case insensitive and can be
    /// either 'BASE64' (default) or 'NUMERIC'.
    #[serde(rename = "decimal.format", default)]
    #[schemars(extend(
        "x-importance" = "LOW", "x-group" = "Serialization", "x-order" = 0, "x-display" = "Decimal Format",
        "x-default" = "BASE64", "x-any-case" = true
    ))]
    pub decimal_format: DecimalFormat,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "yes")]
    #[schemars(extend(
        "x-importance" = "LOW", "x-group" = "Serialization", "x-order" = 1, "x-display" = "Replace null with default"
    ))]
    pub replace_null_with_default: bool,
}

/// Encodes and decodes JSON, with the schema in every message (`schemas.enable`) or without.
///
/// The text of a schema is written and parsed once: it is found again by the address of the schema when
/// encoding, and by its own text when decoding.
pub struct JsonConverter {
    config: JsonConverterConfig,
    /// Of every message, by `schema.content`.
    configured: Option<Arc<Schema>>,
    /// Envelope up to the payload, by schema; the `Arc` keeps the address from being used again.
    envelopes: HashMap<usize, (Arc<Schema>, Bytes)>,
    last_envelope: Option<(usize, Bytes)>,
    schemas: HashMap<Bytes, Option<Arc<Schema>>>,
    /// That of the message before, as a rule that of the next too.
    last_schema: Option<(Bytes, Option<Arc<Schema>>)>,
    /// Of the object without schema before: as a rule the next one is of the same table.
    last_entries: usize,
}

impl ConverterClass for JsonConverter {
    const NAME: &'static str = "org.apache.kafka.connect.json.JsonConverter";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = JsonConverterConfig;

    fn new(config: JsonConverterConfig) -> Result<Self> {
        let (envelopes, schemas) = (HashMap::new(), HashMap::new());
        let (configured, last_envelope, last_schema) = (None, None, None);
        let last_entries = 0;
        let mut new = Self {
            config,
            configured,
            envelopes,
            last_envelope,
            schemas,
            last_schema,
            last_entries,
        };
        if let Some(content) = new.config.schema_content.take() {
            new.configured = new.schema(&content.into()).map_err(|e| {
                let what =
                    "Failed to parse schema in converter config due to serialization error: ";
                Error::config(what).with_source(e)
            })?;
        }
        Ok(new)
    }
}

impl JsonConverter {
    fn envelope(&mut self, schema: &Arc<Schema>) -> Result<Bytes> {
        let address = Arc::as_ptr(schema) as usize;
        if let Some((last, envelope)) = &self.last_envelope
            && *last == address
        {
            return Ok(envelope.clone());
        }
        if let Some((_, envelope)) = self.envelopes.get(&address) {
            self.last_envelope = Some((address, envelope.clone()));
            return Ok(envelope.clone());
        }
        let json = json_schema::to_json(schema, &self.encoder())?;
        let envelope = Bytes::from(format!("{{\"schema\":{json},\"payload\":"));
        if self.envelopes.len() as i64 >= i64::from(self.config.schemas_cache_size.max(1)) {
            self.envelopes.clear();
        }
        self.envelopes.insert(address, (Arc::clone(schema), envelope.clone()));
        self.last_envelope = Some((address, envelope.clone()));
        Ok(envelope)
    }

    fn encoder(&self) -> Encoder {
        Encoder {
            numeric_decimals: self.config.decimal_format == DecimalFormat::Numeric,
            replace_null_with_default: self.config.replace_null_with_default,
        }
    }

    /// The schema of this JSON text, parsed once for each distinct text.
    fn schema(&mut self, json: &Bytes) -> Result<Option<Arc<Schema>>> {
        if let Some((text, schema)) = self.schemas.get_key_value(json) {
            self.last_schema = Some((text.clone(), schema.clone()));
            return Ok(schema.clone());
        }
        let value: serde_json::Value = serde_json::from_slice(json)
            .map_err(|e| Error::data("the schema is not JSON").with_source(e))?;
        let schema = json_schema::from_json(&value, self.config.replace_null_with_default)?;
        if self.schemas.len() as i64 >= i64::from(self.config.schemas_cache_size.max(1)) {
            self.schemas.clear();
        }
        // A copy: the cache must not keep a fetched batch alive.
        let text = Bytes::copy_from_slice(json);
        self.last_schema = Some((text.clone(), schema.clone()));
        self.schemas.insert(text, schema.clone());
        Ok(schema)
    }

    /// Decodes a message that begins as the one before it, without looking through the schema's text; none where it
    /// does not, or is not right: why, the long way tells.
    fn decode_alike(&self, message: &Bytes) -> Option<SchemaAndValue> {
        let (text, schema) = self.last_schema.as_ref()?;
        let rest = message.strip_prefix(br#"{"schema":"#)?.strip_prefix(&text[..])?;
        let payload = rest.strip_prefix(br#","payload":"#)?.strip_suffix(b"}")?;
        // Of nothing a null would be made.
        if payload.trim_ascii().is_empty() {
            return None;
        }
        Some((schema.clone(), self.payload(schema.as_ref(), message, payload).ok()?))
    }

    fn payload(
        &self,
        schema: Option<&Arc<Schema>>,
        message: &Bytes,
        payload: &[u8],
    ) -> Result<Value> {
        let replace = self.config.replace_null_with_default;
        match schema {
            Some(schema) => json_decode::with_schema(schema, message, payload, replace),
            None => json_decode::schemaless(message, payload, 0),
        }
    }
}

impl Converter for JsonConverter {
    fn encode(
        &mut self,
        schema: Option<&Arc<Schema>>,
        value: &Value,
        out: &mut BytesMut,
    ) -> Result<bool> {
        if schema.is_none() && value.is_null() {
            return Ok(false);
        }
        let encoder = self.encoder();
        if !self.config.schemas_enable {
            // As the JVM's, which writes the JSON text null for a null that has a schema.
            encoder.value(schema.map(AsRef::as_ref), value, out)?;
            return Ok(true);
        }
        match schema {
            Some(schema) => out.put_slice(&self.envelope(schema)?),
            None => out.put_slice(br#"{"schema":null,"payload":"#),
        }
        encoder.value(schema.map(AsRef::as_ref), value, out)?;
        out.put_u8(b'}');
        Ok(true)
    }

    fn decode(&mut self, message: Option<&Bytes>) -> Result<SchemaAndValue> {
        let Some(message) = message else { return Ok((None, Value::Null)) };
        if !self.config.schemas_enable {
            let value = json_decode::schemaless(message, message, self.last_entries)?;
            self.last_entries = if let Value::Map(entries) = &value { entries.len() } else { 0 };
            return Ok((None, value));
        }
        if let Some(schema) = &self.configured {
            let value = self.payload(Some(schema), message, message)?;
            return Ok((Some(Arc::clone(schema)), value));
        }
        if let Some(decoded) = self.decode_alike(message) {
            return Ok(decoded);
        }
        let Some((schema, payload)) = json_decode::envelope(message)? else {
            return Err(Error::data(
                "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not \
                 contain additional fields. If you are trying to deserialize plain JSON data, set \
                 schemas.enable=false in your converter configuration.",
            ));
        };
        let schema = self.schema(&message.slice_ref(schema))?;
        let value = self.payload(schema.as_ref(), message, payload)?;
        Ok((schema, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        data::{Decimal, Field, Type},
    };

    fn converter(pairs: &[(&str, &str)]) -> JsonConverter {
        let properties = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let properties = properties.chain([("converter.type".to_owned(), "value".to_owned())]);
        JsonConverter::new(config::parse(&properties.collect()).unwrap()).unwrap()
    }

    fn row() -> (Arc<Schema>, Value) {
        let field = |name: &'static str, schema: Schema| Field {
            name: name.into(),
            schema: Arc::new(schema),
        };
        let schema = Schema::new(Type::Struct(vec![
            field("id", Schema::new(Type::Int32)),
            field("valor", Schema::new(Type::String).optional(true)),
            field("price", Schema::decimal(2).optional(true)),
            field("day", Schema::date().optional(true)),
            field("bytes", Schema::new(Type::Bytes)),
            field("tags", Schema::new(Type::Array(Arc::new(Schema::new(Type::String))))),
        ]))
        .named("tabela");
        let value = Value::Struct(vec![
            Value::Int32(7),
            Value::String("é\"\\\n\u{1}".into()),
            "12.34".parse::<Decimal>().unwrap().into(),
            Value::Date(18690),
            Value::Bytes(Bytes::from_static(&[0, 255])),
            Value::Array(vec![Value::String("a".into())]),
        ]);
        (Arc::new(schema), value)
    }

    fn encode(converter: &mut JsonConverter, schema: &Arc<Schema>, value: &Value) -> Bytes {
        let mut out = BytesMut::new();
        assert!(converter.encode(Some(schema), value, &mut out).unwrap());
        out.freeze()
    }

    #[test]
    fn with_schema_as_the_jvm_writes_it() {
        let (schema, value) = row();
        let mut json = converter(&[]);
        let message = encode(&mut json, &schema, &value);
        assert_eq!(
            std::str::from_utf8(&message).unwrap(),
            concat!(
                r#"{"schema":{"type":"struct","fields":["#,
                r#"{"type":"int32","optional":false,"field":"id"},"#,
                r#"{"type":"string","optional":true,"field":"valor"},"#,
                r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"},"field":"price"},"#,
                r#"{"type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Date","version":1,"field":"day"},"#,
                r#"{"type":"bytes","optional":false,"field":"bytes"},"#,
                r#"{"type":"array","items":{"type":"string","optional":false},"optional":false,"field":"tags"}"#,
                r#"],"optional":false,"name":"tabela"},"payload":"#,
                r#"{"id":7,"valor":"é\"\\\n\u0001","price":"BNI=","day":18690,"bytes":"AP8=","tags":["a"]}}"#,
            )
        );
        assert_eq!(encode(&mut json, &schema, &value), message, "from the cache");
        let (read, back) = json.decode(Some(&message)).unwrap();
        assert_eq!((read.as_deref(), back), (Some(&*schema), value));
    }

    #[test]
    fn without_schema_text_is_shared_with_the_message() {
        let (schema, value) = row();
        let mut json = converter(&[("schemas.enable", "false"), ("decimal.format", "NUMERIC")]);
        let message = encode(&mut json, &schema, &value);
        assert!(std::str::from_utf8(&message).unwrap().contains(r#""price":12.34,"#));
        let (schema, value) = json.decode(Some(&message)).unwrap();
        assert!(schema.is_none());
        let Some(Value::Array(tags)) = value.get("tags") else { panic!("{value:?}") };
        let address = tags[0].as_str().unwrap().as_ptr();
        assert!(message.as_ptr_range().contains(&address));
        assert_eq!(value.get("valor").and_then(Value::as_str), Some("é\"\\\n\u{1}"));
        assert_eq!(value.get("id"), Some(&Value::Int64(7)));
    }

    #[test]
    fn null_is_a_message_without_value() {
        let mut json = converter(&[]);
        let mut out = BytesMut::new();
        assert!(!json.encode(None, &Value::Null, &mut out).unwrap());
        assert_eq!(json.decode(None).unwrap(), (None, Value::Null));
    }

    #[test]
    fn what_is_not_of_the_format_is_a_data_error() {
        let mut json = converter(&[]);
        for bad in [
            "{",
            "1",
            r#"{"a":1}"#,
            r#"{"schema":{"type":"int9"},"payload":1}"#,
            r#"{"schema":{"type":"int32","optional":false},"payload":null}"#,
            r#"{"schema":{"type":"int32","optional":false},"payload":"x"}"#,
            r#"{"schema":{"type":"int8","optional":false},"payload":300}"#,
            r#"{"schema":null,"payload":1} x"#,
        ] {
            let error = json.decode(Some(&Bytes::from_static(bad.as_bytes()))).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Data, "{bad}");
        }
        let mut plain = converter(&[("schemas.enable", "false")]);
        assert!(plain.decode(Some(&Bytes::from_static(b"not json"))).is_err());
        assert!(plain.decode(Some(&Bytes::from_static(b"\xff"))).is_err());
    }

    #[test]
    fn a_schema_is_parsed_once_for_each_text() {
        const A: &str = r#"{"type":"int32","optional":true}"#;
        const B: &str = r#"{"type":"int64","optional":true}"#;
        let mut json = converter(&[("schemas.cache.size", "2")]);
        let mut schema = |text: &str| {
            let message = Bytes::from(format!(r#"{{"schema":{text},"payload":1}}"#));
            json.decode(Some(&message)).unwrap().0.unwrap()
        };
        let (a, b) = (schema(A), schema(B));
        // By turns, one after the other, and where it stands elsewhere in the message.
        assert!(Arc::ptr_eq(&a, &schema(A)) && Arc::ptr_eq(&a, &schema(A)));
        assert!(Arc::ptr_eq(&b, &schema(B)) && Arc::ptr_eq(&a, &schema(&format!(" {A} "))));
        // There is room for two.
        schema(r#"{"type":"int8"}"#);
        assert!(!Arc::ptr_eq(&a, &schema(A)));
        assert!(json.schemas.len() <= 2);
    }

    #[test]
    fn what_begins_as_the_message_before_is_as_strictly_read() {
        const START: &str = r#"{"schema":null,"payload":"#;
        let decode = |json: &mut JsonConverter, rest: &str| {
            json.decode(Some(&Bytes::from(format!("{START}{rest}"))))
        };
        for rest in ["}", " }", "1", "1}}", "1,\"x\":2}", "[1}", "{\"a\":1", "\"}", "1} x", "1 2}"]
        {
            let mut json = converter(&[]);
            let alone = decode(&mut json, rest).unwrap_err().trace();
            decode(&mut json, "7}").unwrap();
            assert_eq!(decode(&mut json, rest).unwrap_err().trace(), alone, "{rest}");
        }
        let mut json = converter(&[]);
        for rest in ["1}", " 1 } ", "1,\"payload\":1}", "1,\"schema\":null}"] {
            assert_eq!(decode(&mut json, rest).unwrap(), (None, Value::Int64(1)), "{rest}");
        }
        let bad = [START.as_bytes(), b"\"\xff\"}"].concat();
        assert!(json.decode(Some(&bad.into())).is_err());
    }

    #[test]
    fn payload_before_schema_and_defaults() {
        let mut json = converter(&[]);
        let message = br#"{"payload":{"b":null},"schema":{"type":"struct","optional":false,"fields":[{"field":"a","type":"string","optional":true},{"field":"b","type":"int64","optional":false,"default":9}]}}"#;
        let (_, value) = json.decode(Some(&Bytes::from_static(message))).unwrap();
        assert_eq!(value, Value::Struct(vec![Value::Null, Value::Int64(9)]));
    }
}
