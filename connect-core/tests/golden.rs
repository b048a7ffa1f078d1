//! Our converters against what Apache Kafka's answered: see `golden/java-converters/README.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::{Bytes, BytesMut};
use connect_core::{
    config::Properties,
    converter::{Converter, SchemaAndValue},
    data::{Decimal, Schema, Type, Value},
    error::Result,
    registry::Registry,
};
use serde_json::{Value as Json, json};

const GOLDEN: &str = include_str!("golden/java-converters/golden.jsonl");
const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const DAY: i64 = 86_400_000;

fn open(class: &str, config: &Json) -> Result<Box<dyn Converter>> {
    let registry = Registry::apache();
    let found = registry.find_converter(class).or_else(|| registry.find_header_converter(class));
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let properties: Properties =
        config.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect();
    found.unwrap_or_else(|| panic!("no {class}")).open(&properties)
}

/// The schema of its JSON, by way of a null, which only an optional one takes.
fn schema(json: &Json) -> Option<Arc<Schema>> {
    if json.is_null() {
        return None;
    }
    let mut optional = json.clone();
    optional["optional"] = json!(true);
    let message = json!({"schema": optional, "payload": null}).to_string();
    let read = open(JSON, &Json::Null).unwrap().decode(Some(&Bytes::from(message))).unwrap();
    let schema = Schema::clone(&read.0.unwrap());
    Some(Arc::new(schema.optional(json["optional"].as_bool().unwrap_or(false))))
}

/// The JSON of a schema, by way of a null as well.
fn schema_json(schema: Option<&Arc<Schema>>) -> Json {
    let Some(schema) = schema else { return Json::Null };
    let optional = Arc::new(Schema::clone(schema).optional(true));
    let mut out = BytesMut::new();
    open(JSON, &Json::Null).unwrap().encode(Some(&optional), &Value::Null, &mut out).unwrap();
    let mut json: Json = serde_json::from_slice(&out).unwrap();
    json["schema"]["optional"] = json!(schema.optional);
    json["schema"].take()
}

fn value(schema: Option<&Schema>, json: &Json) -> Value {
    let Some((kind, json)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let int = || json.as_i64().unwrap();
    let list = || json.as_array().unwrap().iter();
    match kind.as_str() {
        "boolean" => Value::Boolean(json.as_bool().unwrap()),
        "int8" => Value::Int8(int() as i8),
        "int16" => Value::Int16(int() as i16),
        "int32" => Value::Int32(int() as i32),
        "int64" => Value::Int64(int()),
        "float32" => Value::Float32(json.as_str().unwrap().parse().unwrap()),
        "float64" => Value::Float64(json.as_str().unwrap().parse().unwrap()),
        "string" => Value::String(json.as_str().unwrap().into()),
        "bytes" => Value::Bytes(BASE64.decode(json.as_str().unwrap()).unwrap().into()),
        "decimal" => {
            let digits: Decimal = json[0].as_str().unwrap().parse().unwrap();
            let scale = json[1].as_i64().unwrap() as i32;
            Decimal::from_bytes(&digits.to_bytes(), scale).into()
        }
        "date" => Value::Date(int() as i32),
        "time" => Value::Time(int() as i32),
        "timestamp" => Value::Timestamp(int()),
        "array" => {
            let inner = match schema.map(|schema| &schema.ty) {
                Some(Type::Array(inner)) => Some(&**inner),
                _ => None,
            };
            Value::Array(list().map(|item| value(inner, item)).collect())
        }
        "map" => {
            let (keys, values) = match schema.map(|schema| &schema.ty) {
                Some(Type::Map(keys, values)) => (Some(&**keys), Some(&**values)),
                _ => (None, None),
            };
            let pair = |pair: &Json| (value(keys, &pair[0]), value(values, &pair[1]));
            Value::Map(list().map(pair).collect())
        }
        "struct" => {
            let fields = schema.map(Schema::fields).unwrap_or_default();
            let values = fields.iter().zip(list());
            Value::Struct(values.map(|(field, json)| value(Some(&field.schema), json)).collect())
        }
        other => panic!("{other}"),
    }
}

/// A value as the Java program writes it.
fn value_json(value: &Value) -> Json {
    let number = |text: String| Json::String(text);
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!({ "boolean": value }),
        Value::Int8(n) => json!({ "int8": n }),
        Value::Int16(n) => json!({ "int16": n }),
        Value::Int32(n) => json!({ "int32": n }),
        Value::Int64(n) => json!({ "int64": n }),
        Value::Float32(_) => json!({ "float32": number(text(value)) }),
        Value::Float64(_) => json!({ "float64": number(text(value)) }),
        Value::String(text) => json!({ "string": &**text }),
        Value::Bytes(bytes) => json!({ "bytes": BASE64.encode(bytes) }),
        Value::Decimal(number) => {
            let digits = Decimal::from_bytes(&number.to_bytes(), 0).to_string();
            json!({ "decimal": [digits, number.scale()] })
        }
        Value::Date(days) => json!({ "instant": i64::from(*days) * DAY }),
        Value::Time(millis) => json!({ "instant": millis }),
        Value::Timestamp(millis) => json!({ "instant": millis }),
        Value::Array(items) => json!({ "array": items.iter().map(value_json).collect::<Vec<_>>() }),
        Value::Map(entries) => {
            let mut pairs: Vec<_> =
                entries.iter().map(|(k, v)| json!([value_json(k), value_json(v)])).collect();
            pairs.sort_by_key(|pair| pair[0].to_string());
            json!({ "map": pairs })
        }
        Value::Struct(values) => {
            json!({ "struct": values.iter().map(value_json).collect::<Vec<_>>() })
        }
    }
}

fn text(value: &Value) -> String {
    connect_core::data::java::to_string(None, value)
}

fn decoded((schema, value): &SchemaAndValue) -> Json {
    json!({ "schema": schema_json(schema.as_ref()), "value": value_json(value) })
}

fn run(case: &Json) -> Result<Json> {
    let mut converter = open(case["converter"].as_str().unwrap(), &case["config"])?;
    if case["op"] == "encode" {
        let schema = schema(&case["schema"]);
        let value = value(schema.as_deref(), &case["value"]);
        let mut out = BytesMut::new();
        let written = converter.encode(schema.as_ref(), &value, &mut out)?;
        return Ok(match written {
            true => json!({
                "bytes": BASE64.encode(&out),
                "utf8": String::from_utf8_lossy(&out),
            }),
            false => json!({ "bytes": null }),
        });
    }
    let message = match (case["text"].as_str(), case["bytes"].as_str()) {
        (Some(text), _) => Some(Bytes::from(text.to_owned())),
        (_, Some(base64)) => Some(BASE64.decode(base64).unwrap().into()),
        _ => None,
    };
    converter.decode(message.as_ref()).map(|read| decoded(&read))
}

/// Why our answer is not the expected one.
fn difference(expected: &Json, answer: &Result<Json>) -> Option<String> {
    let Some(message) = expected["error"].as_str() else {
        return match answer {
            Ok(found) if found == expected => None,
            Ok(found) => Some(format!("answers {found}")),
            Err(error) => Some(format!("fails: {error:?}")),
        };
    };
    match answer {
        Ok(found) => Some(format!("answers {found}")),
        Err(error) => {
            let trace = format!("{error:?}");
            (!trace.contains(message.trim_end_matches(": "))).then(|| format!("says {trace}"))
        }
    }
}

#[test]
fn as_the_jvm_answers() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in GOLDEN.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        count += 1;
        let answer = run(&case);
        let java = &case["java"];
        match case.get("ours") {
            None => wrong.extend(difference(java, &answer).map(|why| format!("{line}\n  {why}"))),
            Some(ours) => {
                wrong.extend(difference(ours, &answer).map(|why| format!("{line}\n  {why}")));
                if difference(java, &answer).is_none() {
                    wrong.push(format!("{line}\n  is no difference"));
                }
            }
        }
    }
    assert!(count > 900, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}
