//! Transformations and predicates against what Apache Kafka's own made of the same records, see
//! `golden/java-transforms/README.md`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::HashSet, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::{Bytes, BytesMut};
use connect_core::{
    config::{self, ConfigKey, Properties},
    converter::{Converter, ConverterClass, JsonConverter, SchemaAndValue},
    data::{Decimal, Field, Schema, Text, Type, Value, java},
    record::{Header, Record},
    registry::Registry,
    transform::{DynPredicate, DynTransformation, Fate},
};
use serde_json::{Value as Json, json};

const CASES: &str = include_str!("golden/java-transforms/cases.jsonl");
const DEFINITIONS: &str = include_str!("golden/java-transforms/definitions.json");
const PACKAGE: &str = "org.apache.kafka.connect.transforms.";

fn properties(json: &Json) -> Properties {
    let pairs = json.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn converter(mut pairs: Json) -> JsonConverter {
    pairs["converter.type"] = "value".into();
    JsonConverter::new(config::parse(&properties(&pairs)).unwrap()).unwrap()
}

fn with_schemas() -> JsonConverter {
    converter(json!({"replace.null.with.default": "false"}))
}

/// A key, value or header of a case.
fn read(json: &Json) -> SchemaAndValue {
    if json.is_null() {
        return (None, Value::Null);
    }
    let decode = |mut converter: JsonConverter, json: &Json| {
        converter.decode(Some(&Bytes::from(json.to_string()))).unwrap()
    };
    if let Some(schema) = json.get("built") {
        return (Some(Arc::new(built(schema))), typed(&json["typed"]));
    }
    match json.get("json") {
        _ if json.get("schema").is_some() => decode(with_schemas(), json),
        Some(json) => decode(converter(json!({"schemas.enable": "false"})), json),
        None => (None, typed(&json["typed"])),
    }
}

fn built(json: &Json) -> Schema {
    if json["type"] != "struct" {
        let (schema, _) = read(&json!({"schema": optional(json), "payload": null}));
        let schema = Schema::clone(&schema.unwrap());
        return schema.optional(json["optional"] == true);
    }
    let field = |json: &Json| Field {
        name: json["field"].as_str().unwrap().into(),
        schema: Arc::new(built(json)),
    };
    Schema {
        name: json["name"].as_str().map(Text::from),
        optional: json["optional"] == true,
        default: json.get("default").map(typed),
        ..Schema::new(Type::Struct(json["fields"].as_array().unwrap().iter().map(field).collect()))
    }
}

/// The schema, of which a null is a value.
fn optional(json: &Json) -> Json {
    let mut json = json.clone();
    json["optional"] = true.into();
    json
}

/// A value that tells its type.
fn typed(json: &Json) -> Value {
    let Some((name, value)) = json.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    let list = || value.as_array().unwrap().iter().map(typed).collect();
    match name.as_str() {
        "boolean" => Value::Boolean(value.as_bool().unwrap()),
        "int8" => Value::Int8(value.as_i64().unwrap() as i8),
        "int16" => Value::Int16(value.as_i64().unwrap() as i16),
        "int32" => Value::Int32(value.as_i64().unwrap() as i32),
        "int64" => Value::Int64(value.as_i64().unwrap()),
        "float32" => Value::Float32(value.as_str().unwrap().parse().unwrap()),
        "float64" => Value::Float64(value.as_str().unwrap().parse().unwrap()),
        "string" => Value::String(value.as_str().unwrap().into()),
        "bytes" => Value::Bytes(BASE64.decode(value.as_str().unwrap()).unwrap().into()),
        "decimal" => {
            let unscaled: i64 = value[0].as_str().unwrap().parse().unwrap();
            Decimal::new(unscaled, value[1].as_i64().unwrap() as i32).into()
        }
        "timestamp" => Value::Timestamp(value.as_i64().unwrap()),
        "array" => Value::Array(list()),
        "struct" => Value::Struct(list()),
        "map" => {
            let entries = value.as_object().unwrap().iter();
            let entry =
                |(key, value): (&String, &Json)| (Value::String(key.as_str().into()), typed(value));
            Value::Map(entries.map(entry).collect())
        }
        other => panic!("{other}"),
    }
}

fn shown(value: &Value) -> Json {
    let text = || java::to_string(None, value);
    let list = |values: &[Value]| values.iter().map(shown).collect::<Vec<_>>();
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => json!({"boolean": b}),
        Value::Int8(n) => json!({"int8": n}),
        Value::Int16(n) => json!({"int16": n}),
        Value::Int32(n) => json!({"int32": n}),
        Value::Int64(n) => json!({"int64": n}),
        Value::Float32(_) => json!({"float32": text()}),
        Value::Float64(_) => json!({"float64": text()}),
        Value::String(text) => json!({"string": &**text}),
        Value::Bytes(bytes) => json!({"bytes": BASE64.encode(bytes)}),
        Value::Decimal(number) => {
            let unscaled = Decimal::from_bytes(&number.to_bytes(), 0).to_string();
            json!({"decimal": [unscaled, number.scale()]})
        }
        Value::Date(days) => json!({"timestamp": i64::from(*days) * 86_400_000}),
        Value::Time(millis) => json!({"timestamp": millis}),
        Value::Timestamp(millis) => json!({"timestamp": millis}),
        Value::Array(items) => json!({"array": list(items)}),
        Value::Struct(values) => json!({"struct": list(values)}),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| (java::to_string(None, key), shown(value));
            json!({"map": entries.iter().map(entry).collect::<serde_json::Map<_, _>>()})
        }
    }
}

fn written(schema: Option<&Arc<Schema>>, value: &Value) -> Json {
    let mut json = json!({"typed": shown(value)});
    if let Some(schema) = schema {
        let mut out = BytesMut::new();
        match with_schemas().encode(Some(schema), value, &mut out) {
            Ok(_) => json["json"] = std::str::from_utf8(&out).unwrap().into(),
            Err(e) => json["json_error"] = e.message().into(),
        }
    }
    json
}

enum Step {
    Transformation(Box<dyn DynTransformation>),
    Predicate(Box<dyn DynPredicate>),
}

/// A transformation or predicate, or what is wrong with its configuration: keys and messages.
fn open(step: &Json) -> Result<Step, Vec<[String; 2]>> {
    let class = format!("{PACKAGE}{}", step["class"].as_str().unwrap());
    let properties = properties(&step["config"]);
    let (registry, invalid) =
        (Registry::apache(), |keys: &[ConfigKey]| config::validate(keys, &properties));
    let messages = |list: Vec<config::Invalid>| {
        list.iter().map(|i| [i.key.clone(), i.message()]).collect::<Vec<_>>()
    };
    let (known, checked, opened) = match registry.find_transformation(&class) {
        Some(class) => (
            invalid(&class.config_def()),
            class.validate(&properties),
            class.open(&properties).map(Step::Transformation),
        ),
        None => {
            let class = registry.find_predicate(&class).unwrap();
            (
                invalid(&class.config_def()),
                class.validate(&properties),
                class.open(&properties).map(Step::Predicate),
            )
        }
    };
    let all = messages(known.into_iter().chain(checked).collect());
    assert_eq!(all.is_empty(), opened.is_ok(), "{class}: what is valid opens, and nothing else");
    opened.map_err(|_| all)
}

/// What ours make of a case, in the form of the golden file.
fn answer(case: &Json) -> Json {
    let chain: Result<Vec<_>, _> = case["chain"].as_array().unwrap().iter().map(open).collect();
    let chain = match chain {
        Ok(chain) => chain,
        Err(invalid) => {
            return json!({"stage": "configure", "error": invalid[0][1], "invalid": invalid});
        }
    };
    let given = &case["record"];
    let (key, value) = (read(&given["key"]), read(&given["value"]));
    let mut record = Record {
        topic: Some(given["topic"].as_str().unwrap().into()),
        partition: given["partition"].as_i64().map(|n| n as i32),
        key_schema: key.0,
        key: key.1,
        value_schema: value.0,
        value: value.1,
        headers: Vec::new(),
        timestamp: given["timestamp"].as_i64(),
    };
    for header in given["headers"].as_array().into_iter().flatten() {
        let (schema, value) = read(&header[1]);
        record.headers.push(Header { name: header[0].as_str().unwrap().into(), schema, value });
    }
    let (mut holds, mut asked) = (true, false);
    for step in chain {
        match step {
            Step::Predicate(predicate) => (holds, asked) = (predicate.test(&record), true),
            Step::Transformation(mut transformation) if holds => {
                match transformation.apply(&mut record, given["offset"].as_i64()) {
                    Ok(Fate::Keep) => {}
                    Ok(Fate::Drop) if asked => return json!({"holds": holds, "dropped": true}),
                    Ok(Fate::Drop) => return json!({"dropped": true}),
                    Err(e) => return json!({"stage": "apply", "error": e.message()}),
                }
            }
            Step::Transformation(_) => {}
        }
    }
    let headers = record.headers.iter();
    let mut answer = json!({
        "topic": record.topic.as_deref(),
        "partition": record.partition,
        "timestamp": record.timestamp,
        "key": written(record.key_schema.as_ref(), &record.key),
        "value": written(record.value_schema.as_ref(), &record.value),
        "headers": headers.map(|h| json!([&*h.name, written(h.schema.as_ref(), &h.value)])).collect::<Vec<_>>(),
    });
    if asked {
        answer["holds"] = holds.into();
    }
    answer
}

/// Whether ours answered as Kafka did: the same outcome, or the same failure at the same stage in the same words.
fn same(ours: &Json, java: &Json) -> bool {
    // What REST shows. The order of keys is that of a hash map; Kafka opens some of what REST refuses.
    if !java["invalid"].is_null() {
        let of = |answer: &Json| {
            let mut list = answer["invalid"].as_array().cloned().unwrap_or_default();
            list.sort_by_key(|entry| entry[0].to_string());
            list
        };
        return of(ours) == of(java);
    }
    if java["stage"].is_null() {
        return ours == java;
    }
    ours["stage"] == java["stage"] && ours["error"] == java["error"]
}

/// Kafka's answer failed, or ours.
fn fails(answer: &Json) -> bool {
    !answer["stage"].is_null()
        || !answer["invalid"].is_null()
        || ["key", "value"].iter().any(|part| !answer[part]["json_error"].is_null())
}

/// The same number, of which Java 17 prints more digits than tell it from others (JDK-4511638).
fn same_but_for_digits(ours: &Json, java: &Json) -> bool {
    let numbers = |answer: &Json| {
        let fields = answer["value"]["typed"]["struct"][0].as_object()?;
        let (ty, text) = fields.iter().next()?;
        match ty.as_str() {
            "float32" => text.as_str()?.parse().ok().map(|n: f32| f64::from(n)),
            _ => text.as_str()?.parse().ok(),
        }
    };
    numbers(ours).is_some() && numbers(ours) == numbers(java)
}

#[test]
fn as_kafka_does_it() {
    let (mut faults, mut names) = (Vec::new(), HashSet::new());
    for line in CASES.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let (name, java) = (case["name"].as_str().unwrap(), &case["java"]);
        assert!(names.insert(name.to_owned()), "{name} twice");
        let ours = answer(&case);
        let fine = match case["ours"].as_str() {
            None => same(&ours, java),
            Some("ok") => !fails(&ours) && fails(java),
            Some("fails") => fails(&ours) && !fails(java),
            Some("digits") => ours != *java && same_but_for_digits(&ours, java),
            Some("message") => fails(&ours) && fails(java) && !same(&ours, java),
            Some(other) => panic!("{other}"),
        };
        if !fine {
            faults.push(format!("{name}\n  ours {ours}\n  java {java}"));
        }
    }
    assert!(names.len() > 250);
    assert!(
        faults.is_empty(),
        "{} of {} differ:\n{}",
        faults.len(),
        names.len(),
        faults.join("\n")
    );
}

#[test]
fn definitions_are_kafkas() {
    let registry = Registry::apache();
    let expected: Json = serde_json::from_str(DEFINITIONS).unwrap();
    let transformations = registry.transformations().map(|c| (c.name, c.version, c.config_def()));
    let predicates = registry.predicates().map(|c| (c.name, c.version, c.config_def()));
    let ours: Vec<_> = transformations.chain(predicates).collect();
    assert_eq!(ours.len(), expected.as_object().unwrap().len());
    for (name, version, keys) in ours {
        assert_eq!(version, "4.3.1");
        let shown = keys.iter().map(|key| {
            assert!(!key.documentation.is_empty(), "{name} {}", key.name);
            json!({
                "name": key.name, "type": key.ty.name(), "required": key.required,
                "default_value": key.default, "importance": key.importance, "documentation": "",
                "group": key.group, "order_in_group": key.order, "width": key.width,
                "display_name": key.display_name, "dependents": key.dependents,
            })
        });
        assert_eq!(Json::from_iter(shown), expected[name], "{name}");
    }
}
