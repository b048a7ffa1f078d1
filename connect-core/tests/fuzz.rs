//! Properties of the converters on generated data. `FUZZ_CASES=1000000` runs long; see `golden/java-converters/README.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use connect_core::{
    config::Properties,
    converter::Converter,
    data::{Decimal, Field, Schema, Type, Value, values},
    registry::Registry,
};
use proptest::{collection::vec, prelude::*};
use serde_json::Value as Json;

fn config() -> ProptestConfig {
    let cases = std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = cases.unwrap_or(300);
    // A failure is written down as a case of the golden file, not as a seed.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn open(class: &str, pairs: &[(&str, &str)]) -> Box<dyn Converter> {
    let properties: Properties =
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let registry = Registry::apache();
    let found = registry.find_converter(class).or_else(|| registry.find_header_converter(class));
    found.unwrap().open(&properties).unwrap()
}

fn decimal(scale: i32) -> impl Strategy<Value = Value> {
    vec(any::<u8>(), 1..20).prop_map(move |bytes| Decimal::from_bytes(&bytes, scale).into())
}

/// A schema without its optional flag, and how to make values of it.
type Of = (Schema, BoxedStrategy<Value>);

fn scalar() -> impl Strategy<Value = Of> {
    let of = |ty, values: BoxedStrategy<Value>| Just((Schema::new(ty), values));
    prop_oneof![
        of(Type::Int8, any::<i8>().prop_map(Value::Int8).boxed()),
        of(Type::Int16, any::<i16>().prop_map(Value::Int16).boxed()),
        of(Type::Int32, any::<i32>().prop_map(Value::Int32).boxed()),
        of(Type::Int64, any::<i64>().prop_map(Value::Int64).boxed()),
        of(Type::Float32, any::<f32>().prop_map(Value::Float32).boxed()),
        of(Type::Float64, any::<f64>().prop_map(Value::Float64).boxed()),
        of(Type::Boolean, any::<bool>().prop_map(Value::Boolean).boxed()),
        of(Type::String, any::<String>().prop_map(Value::from).boxed()),
        of(Type::Bytes, vec(any::<u8>(), 0..9).prop_map(|b| Value::Bytes(b.into())).boxed()),
        Just((Schema::date(), any::<i32>().prop_map(Value::Date).boxed())),
        Just((Schema::time(), (0..=86_400_000).prop_map(Value::Time).boxed())),
        Just((Schema::timestamp(), any::<i64>().prop_map(Value::Timestamp).boxed())),
        (-9..9).prop_map(|scale| (Schema::decimal(scale), decimal(scale).boxed())),
    ]
}

/// Names, flags and all else that a schema may have.
fn dressed(
    of: impl Strategy<Value = Of>,
) -> impl Strategy<Value = (Arc<Schema>, BoxedStrategy<Value>)> {
    (of, any::<bool>(), any::<Option<String>>(), any::<Option<String>>()).prop_map(
        |((schema, values), optional, name, doc)| {
            let named = schema.name.clone().or_else(|| name.map(Into::into));
            let schema =
                Schema { name: named, doc: doc.map(Into::into), ..schema }.optional(optional);
            let values = match optional {
                true => prop_oneof![1 => Just(Value::Null), 4 => values].boxed(),
                false => values,
            };
            (Arc::new(schema), values)
        },
    )
}

fn typed() -> impl Strategy<Value = (Arc<Schema>, Value)> {
    let tree = dressed(scalar()).boxed().prop_recursive(4, 24, 4, |inner| {
        let array = inner.clone().prop_map(|(items, values)| {
            (Schema::new(Type::Array(items)), vec(values, 0..4).prop_map(Value::Array).boxed())
        });
        let map = (inner.clone(), inner.clone()).prop_map(|((keys, key), (values, value))| {
            let entries = vec((key, value), 0..4).prop_map(Value::Map).boxed();
            (Schema::new(Type::Map(keys, values)), entries)
        });
        let structure = vec(inner, 0..4).prop_map(|fields| {
            let (schemas, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            let field = |(at, schema)| Field { name: format!("é\"{at}").into(), schema };
            let fields = schemas.into_iter().enumerate().map(field).collect();
            (Schema::new(Type::Struct(fields)), values.prop_map(Value::Struct).boxed())
        });
        dressed(prop_oneof![array, map, structure]).boxed()
    });
    tree.prop_flat_map(|(schema, values)| (Just(schema), values))
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Json::from),
            vec((any::<String>(), inner), 0..8)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

/// What may come back otherwise than it went.
fn comparable(value: &Value) -> String {
    match value {
        // NaN is not equal to itself.
        Value::Float32(n) if n.is_nan() => "NaN".to_owned(),
        Value::Float64(n) if n.is_nan() => "NaN".to_owned(),
        Value::Array(items) => format!("{:?}", items.iter().map(comparable).collect::<Vec<_>>()),
        Value::Struct(items) => format!("S{:?}", items.iter().map(comparable).collect::<Vec<_>>()),
        // The last of the entries with the same key counts where a map is an object; their order does not.
        Value::Map(entries) => {
            let entries = entries.iter().map(|(k, v)| (comparable(k), comparable(v)));
            format!("M{:?}", entries.collect::<std::collections::BTreeMap<_, _>>())
        }
        other => format!("{other:?}"),
    }
}

/// A null key is the text null in JSON.
fn has_null_key(value: &Value) -> bool {
    match value {
        Value::Map(entries) => {
            entries.iter().any(|(k, v)| k.is_null() || has_null_key(k) || has_null_key(v))
        }
        Value::Array(items) | Value::Struct(items) => items.iter().any(has_null_key),
        _ => false,
    }
}

fn encode(converter: &mut dyn Converter, schema: Option<&Arc<Schema>>, value: &Value) -> Bytes {
    let mut out = BytesMut::new();
    assert!(converter.encode(schema, value, &mut out).unwrap());
    out.freeze()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_has_a_schema_comes_back((schema, value) in typed(), numeric in any::<bool>()) {
        if has_null_key(&value) {
            return Ok(());
        }
        let format = if numeric { "NUMERIC" } else { "BASE64" };
        let mut json = open("JsonConverter", &[("decimal.format", format)]);
        let message = encode(&mut *json, Some(&schema), &value);
        prop_assert!(serde_json::from_slice::<Json>(&message).is_ok());
        let (read, back) = json.decode(Some(&message)).unwrap();
        prop_assert_eq!(read.as_ref(), Some(&schema));
        prop_assert_eq!(comparable(&back), comparable(&value));
        prop_assert_eq!(encode(&mut *json, Some(&schema), &value), message);
    }

    #[test]
    fn any_json_comes_back(json in json()) {
        let mut converter = open("JsonConverter", &[("schemas.enable", "false")]);
        let message = Bytes::from(json.to_string());
        let (schema, value) = converter.decode(Some(&message)).unwrap();
        prop_assert!(schema.is_none());
        if value.is_null() {
            return Ok(());
        }
        let written = encode(&mut *converter, None, &value);
        prop_assert_eq!(serde_json::from_slice::<Json>(&written).unwrap(), json);
    }

    #[test]
    fn no_bytes_make_a_converter_panic(bytes in vec(any::<u8>(), 0..64)) {
        feed(&bytes);
    }

    #[test]
    fn no_text_of_the_right_letters_makes_a_converter_panic(text in "[\\[\\]{}:,\" 0-9a-zTZ.+-eE\\\\]{0,40}") {
        feed(text.as_bytes());
    }

    #[test]
    fn no_message_that_is_cut_or_changed_makes_a_converter_panic(
        (schema, value) in typed(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let message = encode(&mut *open("JsonConverter", &[]), Some(&schema), &value);
        let mut bytes = message.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(if cut { at } else { bytes.len() });
        feed(&bytes);
    }

    #[test]
    fn text_of_values_is_read_again(value in prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(|n| values::parse(&n.to_string()).1),
        vec(any::<i16>().prop_map(Value::Int16), 1..5).prop_map(Value::Array),
        (1i32..2_000_000).prop_map(Value::Date),
    ]) {
        let text = values::to_text(None, &value).unwrap();
        let (schema, back) = values::parse(&text);
        prop_assert!(schema.is_some());
        prop_assert_eq!(values::to_text(schema.as_deref(), &back), Some(text));
    }
}

/// Asks every converter to read, and to write again what it could read.
fn feed(bytes: &[u8]) {
    let message = Bytes::copy_from_slice(bytes);
    let registry = Registry::apache();
    for class in registry.header_converters() {
        for schemas in ["true", "false"] {
            let mut converter = open(class.name, &[("schemas.enable", schemas)]);
            if let Ok((schema, value)) = converter.decode(Some(&message)) {
                let mut out = BytesMut::new();
                let _ = converter.encode(schema.as_ref(), &value, &mut out);
                let mut text = open("StringConverter", &[]);
                text.encode(schema.as_ref(), &value, &mut out).unwrap();
            }
        }
    }
}
