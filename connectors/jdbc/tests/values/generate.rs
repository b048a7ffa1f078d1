//! Values of every kind.

use std::sync::Arc;

use bytes::Bytes;
use connect_core::data::{Decimal, Field, Schema, Text, Type, Value, logical};
use proptest::{collection::vec, prelude::*, sample::select};

use super::Case;

const INTEGERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    10,
    101,
    127,
    128,
    -128,
    -129,
    255,
    256,
    1900,
    1901,
    2021,
    2155,
    2156,
    32_767,
    32_768,
    -32_769,
    65_535,
    65_536,
    18_690,
    8_388_608,
    16_777_216,
    16_777_217,
    86_399_999,
    86_400_000,
    2_147_483_647,
    -2_147_483_648,
    2_147_483_648,
    4_294_967_295,
    4_294_967_296,
    9_007_199_254_740_993,
    1_614_834_367_123,
    -62_135_596_800_001,
    253_402_300_799_999,
    253_402_300_800_000,
    9_224_318_015_999_999,
    i64::MAX,
    i64::MIN,
];
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    1.5,
    2.5,
    0.3,
    99.99,
    1e15,
    1e16,
    1e300,
    1e39,
    3.4e38,
    5e-324,
    1e-300,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    16_777_217.0,
    9_007_199_254_740_993.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
const STRINGS: &[&str] = &[
    "",
    " ",
    "  x",
    "x  ",
    "a",
    "A",
    "abc",
    "abcd",
    "abcdef",
    "a\0b",
    "\0",
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\'",
    "\\0",
    "a\\nb\n\t\r",
    "é",
    "éé",
    "日本語",
    "😀",
    "😀😀😀",
    "NULL",
    "null",
    "true",
    "T",
    "off",
    "0",
    "1",
    "5",
    "-0",
    "+7",
    " 42 ",
    "007",
    "10101010",
    "101",
    "1e3",
    "1.5",
    "0.1",
    "-1.25",
    "99999.99",
    "123.456",
    "1e400",
    "1e-400",
    "NaN",
    "Infinity",
    "-inf",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551615",
    "16777217",
    "340282357e30",
    "1234567890123456789012345678901234567890",
    "0x10",
    "1_000",
    "2021-03-04",
    "2021-03-04T05:06:07.123456Z",
    "2021-03-04 05:06:07.999999",
    "2021-03-04 05:06:07+02:00",
    "2021-03-04 05:06:07 America/New_York",
    "2021/03/04 05:06:07",
    "20210304T050607",
    "2021-02-30",
    "9999-12-31T23:59:59.999999",
    "0000-01-01",
    "0001-01-01",
    "1582-10-10",
    "infinity",
    "-infinity",
    "epoch",
    "Jan 8, 1999 10:11",
    "05:06:07",
    "05:06:07.1234567",
    "24:00:00",
    "23:59:59.999999",
    "05:06:07+02",
    "05:06 PM",
    "25:00:00",
    "-01:00:00",
    "-838:59:59",
    "839:00:00",
    "{}",
    "[]",
    "{1,2}",
    "{\"a\":[1,2.5,null]}",
    "\"x\"",
    "{\"a\":1,",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "<a/>",
    "<a>",
    "6B0AA1AC-8c8a-4ad2-a1ac-0ac3a15fe65d",
    "{6b0aa1ac8c8a4ad2a1ac0ac3a15fe65d}",
    "1,2",
    "a,b",
];
const DECIMALS: &[(&str, i32)] = &[
    ("0", 0),
    ("0", 4),
    ("1", 0),
    ("-1", 0),
    ("5", 1),
    ("-5", 2),
    ("12345", 2),
    ("123450", 3),
    ("123456", 3),
    ("9999999", 2),
    ("10000000", 2),
    ("12", 4),
    ("123", -2),
    ("149", 0),
    ("14900", 0),
    ("12345", -2),
    ("100", -3),
    ("1", 40),
    ("1", 19_999),
    ("1", -19_999),
    ("1", 1_000_000_000),
    ("1", i32::MIN),
    ("25", 1),
    ("16777217", 0),
    ("9007199254740993", 0),
    ("1", -400),
    ("1", -39),
    ("1", 400),
    ("922337203685477580800", 2),
    ("-922337203685477580899", 2),
    ("18446744073709551615", 0),
    ("12345678901234567890123456789012345678901234567890123456789012345", 0),
    ("12345678901234567890123456789012345678901234567890123456789012345", 30),
    ("123456789012345678901234567890123456789012345678901234567890123456", 0),
];
/// Those of the schemas.
const SCALES: [i32; 4] = [0, 2, 5, -2];
const TIMES: &[i32] =
    &[0, 1, 999, 1000, 18_367_123, 86_399_999, 86_400_000, -1, i32::MAX, i32::MIN];
/// 1500-02-29 of the Julian calendar is among them, the day after 1582-10-04, and the first and last of databases.
const DATES: &[i32] = &[
    0,
    1,
    -1,
    18_690,
    18_628,
    -141_427,
    -141_428,
    -171_597,
    -171_596,
    -719_162,
    -719_164,
    -719_165,
    -719_528,
    -719_529,
    -719_530,
    2_932_896,
    2_932_897,
    -2_440_588,
    -2_440_589,
    106_741_000,
    24_855,
    24_856,
    10_957,
    i32::MAX,
    i32::MIN,
];
const TIMESTAMPS: &[i64] = &[
    0,
    1,
    -1,
    999,
    1000,
    1_614_834_367_123,
    1_614_834_367_999,
    -12_219_292_800_000,
    -12_219_292_800_001,
    -62_135_596_800_000,
    -62_135_596_800_001,
    -62_167_219_200_001,
    253_402_300_799_999,
    253_402_300_800_000,
    2_147_483_647_999,
    2_147_483_648_000,
    9_224_318_015_999_999,
    9_224_318_016_000_000,
    -210_866_803_200_001,
    9_223_372_036_854_775,
    9_223_372_036_854_776,
    -9_223_372_036_854_775,
    -9_223_372_036_854_776,
    9_223_372_036_825_200_000,
    -9_223_372_036_832_400_000,
    i64::MAX,
    i64::MIN,
];
const BYTES: &[&[u8]] = &[
    b"",
    b"a",
    b"abc",
    b"\0",
    b"a\0",
    b"\0\xff",
    b"\xff\xfe",
    b"'\\\"",
    b"\xf0\x9f\x98\x80",
    b"12345",
    b"{\"a\":1}",
    b"{1}",
    b"\0\0\0\0\x01\x01\0\0\0\0\0\0\0\0\0\xf0?\0\0\0\0\0\0\0@",
    b"123456789",
];

/// The schemas of what is no structure.
fn plain() -> Vec<Schema> {
    let primitive = [
        Type::Int8,
        Type::Int16,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Boolean,
        Type::String,
        Type::Bytes,
    ];
    let mut schemas: Vec<Schema> = primitive.into_iter().map(Schema::new).collect();
    schemas.extend(SCALES.map(Schema::decimal));
    schemas.extend([Schema::date(), Schema::time(), Schema::timestamp()]);
    schemas
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

/// The values at the edges, by schema.
fn edges_of(schema: &Schema, texts: &[&'static str]) -> Vec<Value> {
    // Each in the smallest type that has it.
    let above = |least: i64| INTEGERS.iter().filter(move |n| **n > least || **n < -least - 1);
    match (schema.logical_name(), &schema.ty) {
        (Some(logical::DECIMAL), _) => {
            let own = DECIMALS.iter().filter(|(_, scale)| *scale == schema.scale());
            own.map(|(digits, scale)| decimal(digits, *scale)).collect()
        }
        (Some(logical::DATE), _) => DATES.iter().map(|n| Value::Date(*n)).collect(),
        (Some(logical::TIME), _) => TIMES.iter().map(|n| Value::Time(*n)).collect(),
        (Some(_), _) => TIMESTAMPS.iter().map(|n| Value::Timestamp(*n)).collect(),
        (_, Type::Int8) => {
            above(-1).filter_map(|n| i8::try_from(*n).ok()).map(Value::Int8).collect()
        }
        (_, Type::Int16) => {
            above(127).filter_map(|n| i16::try_from(*n).ok()).map(Value::Int16).collect()
        }
        (_, Type::Int32) => {
            above(32_767).filter_map(|n| i32::try_from(*n).ok()).map(Value::Int32).collect()
        }
        (_, Type::Int64) => above(2_147_483_646).map(|n| Value::Int64(*n)).collect(),
        (_, Type::Float32) => {
            let single = FLOATS.iter().map(|n| *n as f32).filter(|n| n.is_finite());
            single.chain([f32::MIN_POSITIVE, f32::NAN]).map(Value::Float32).collect()
        }
        (_, Type::Float64) => FLOATS.iter().map(|n| Value::Float64(*n)).collect(),
        (_, Type::Boolean) => vec![Value::Boolean(true), Value::Boolean(false)],
        (_, Type::String) => STRINGS.iter().chain(texts).map(|s| text(s)).collect(),
        (_, Type::Bytes) => BYTES.iter().map(|b| Value::Bytes(Bytes::from_static(b))).collect(),
        _ => Vec::new(),
    }
}

fn decimal(digits: &str, scale: i32) -> Value {
    let number: Decimal = digits.parse().expect("digits");
    Value::from(Decimal::from_bytes(&number.to_bytes(), scale))
}

fn list(items: &[Value]) -> Value {
    Value::Array(items.to_vec())
}

/// Every edge once, in turns with its schema and without; of the texts of others every second, from the first or not,
/// and every second of all where few are taken.
pub(super) fn edges(texts: &[&'static str], first: bool, few: bool) -> Vec<Case> {
    let case = |schema: Option<&Schema>, value| Case {
        schema: schema.map(|schema| Arc::new(schema.clone().optional(true))),
        value,
    };
    let mut cases =
        vec![case(None, Value::Null), case(Some(&Schema::new(Type::Int32)), Value::Null)];
    for schema in plain() {
        for (at, value) in edges_of(&schema, texts).into_iter().enumerate() {
            let other = value.as_str().map_or(few, |text| !texts.contains(&text));
            if other && at.is_multiple_of(2) != first {
                continue;
            }
            let with = cases.len() % 2 == 0 || texts.contains(&value.as_str().unwrap_or_default());
            cases.push(case(with.then_some(&schema), value));
        }
    }
    let others = DECIMALS.iter().filter(|(_, scale)| !SCALES.contains(scale));
    cases.extend(others.map(|(digits, scale)| case(None, decimal(digits, *scale))));
    let one = || Value::Int64(1);
    let loose = [
        list(&[]),
        list(&[list(&[])]),
        list(&[list(&[]), list(&[])]),
        list(&[one(), Value::Null]),
        list(&[list(&[one()]), list(&[Value::Null])]),
        list(&[list(&[one()]), list(&[])]),
        list(&[list(&[one(), one()]), list(&[one()])]),
        list(&[Value::Null, list(&[one()])]),
        list(&[text("a\"b\\"), text("NULL"), text(""), text("{,}"), text(" x ")]),
        list(&[Value::Boolean(true), Value::Boolean(false)]),
        list(&[Value::Float64(f64::NAN)]),
        list(&[Value::Date(-171_600)]),
        list(&[Value::Time(-1)]),
        list(&[Value::Timestamp(i64::MAX)]),
        list(&[Value::Bytes(Bytes::from_static(b"\0\xff"))]),
        list(&[Value::Map(vec![])]),
        Value::Map(vec![]),
        Value::Map(vec![(text("a"), list(&[one(), Value::Null, text("\0\"\\😀")]))]),
        Value::Map(vec![(text("a"), Value::Float64(f64::INFINITY))]),
    ];
    cases.extend(loose.map(|value| case(None, value)));
    cases
}

/// A random value of a schema.
fn of(schema: &Schema, texts: &'static [&'static str]) -> BoxedStrategy<Value> {
    let edges = edges_of(schema, texts);
    let any: BoxedStrategy<Value> = match (schema.logical_name(), &schema.ty) {
        (Some(logical::DECIMAL), _) => {
            let scale = schema.scale();
            let digits = prop_oneof!["-?[1-9][0-9]{0,4}", "-?[1-9][0-9]{0,70}"];
            digits.prop_map(move |digits| decimal(&digits, scale)).boxed()
        }
        (Some(logical::DATE), _) => {
            prop_oneof![-800_000..3_000_000, any::<i32>()].prop_map(Value::Date).boxed()
        }
        (Some(logical::TIME), _) => {
            prop_oneof![4 => 0..86_400_000, 1 => any::<i32>()].prop_map(Value::Time).boxed()
        }
        (Some(_), _) => prop_oneof![-70_000_000_000_000..260_000_000_000_000_i64, any::<i64>()]
            .prop_map(Value::Timestamp)
            .boxed(),
        (_, Type::Int8) => any::<i8>().prop_map(Value::Int8).boxed(),
        (_, Type::Int16) => any::<i16>().prop_map(Value::Int16).boxed(),
        (_, Type::Int32) => any::<i32>().prop_map(Value::Int32).boxed(),
        (_, Type::Int64) => any::<i64>().prop_map(Value::Int64).boxed(),
        (_, Type::Float32) => any::<f32>().prop_map(Value::Float32).boxed(),
        (_, Type::Float64) => {
            prop_oneof![any::<f64>(), (-99_999..99_999).prop_map(|n| f64::from(n) / 100.0)]
                .prop_map(Value::Float64)
                .boxed()
        }
        (_, Type::Boolean) => any::<bool>().prop_map(Value::Boolean).boxed(),
        (_, Type::String) => {
            let number = "-?[0-9]{1,20}(\\.[0-9]{1,20})?(e-?[0-9]{1,3})?";
            let time = "[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,8})?)?(Z|[+-][01][0-9])?)?";
            prop_oneof!["\\PC{0,6}", "(?s).{0,4}", number, time].prop_map(Value::from).boxed()
        }
        (_, Type::Bytes) => {
            vec(any::<u8>(), 0..12).prop_map(|bytes| Value::Bytes(bytes.into())).boxed()
        }
        (_, Type::Array(item)) => vec(of(item, texts), 0..4).prop_map(Value::Array).boxed(),
        (_, Type::Map(key, item)) => {
            let entries = vec((of(key, texts), of(item, texts)), 0..4);
            entries.prop_map(|entries| Value::Map(distinct(entries))).boxed()
        }
        (_, Type::Struct(fields)) => {
            let fields: Vec<_> = fields.iter().map(|field| of(&field.schema, texts)).collect();
            fields.prop_map(Value::Struct).boxed()
        }
    };
    let value = match edges.is_empty() {
        true => any,
        false => prop_oneof![select(edges), any].boxed(),
    };
    match schema.optional {
        true => prop_oneof![9 => value, 1 => Just(Value::Null)].boxed(),
        false => value,
    }
}

/// A map has each key once.
fn distinct(entries: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    let mut kept: Vec<(Value, Value)> = Vec::new();
    for (key, value) in entries {
        if kept.iter().all(|(other, _)| *other != key) {
            kept.push((key, value));
        }
    }
    kept
}

fn schemas() -> impl Strategy<Value = Schema> {
    let leaf =
        (select(plain()), any::<bool>()).prop_map(|(schema, optional)| schema.optional(optional));
    leaf.prop_recursive(3, 8, 3, |inner| {
        let key = select(vec![Schema::new(Type::String), Schema::new(Type::Int32), Schema::date()]);
        let field = |(i, schema)| Field {
            name: Text::from(["a", "b c", "ü\"'"][i]),
            schema: Arc::new(schema),
        };
        prop_oneof![
            inner.clone().prop_map(|item| Schema::new(Type::Array(Arc::new(item)))),
            (key, inner.clone())
                .prop_map(|(key, item)| Schema::new(Type::Map(Arc::new(key), Arc::new(item)))),
            vec(inner, 0..3).prop_map(move |fields| {
                Schema::new(Type::Struct(fields.into_iter().enumerate().map(field).collect()))
            }),
        ]
    })
}

/// Any value, with its schema or without.
pub(super) fn cases(texts: &'static [&'static str]) -> impl Strategy<Value = Case> {
    let typed = schemas().prop_flat_map(move |schema| {
        let value = of(&schema, texts);
        let schema = Arc::new(schema);
        value.prop_map(move |value| Case { schema: Some(Arc::clone(&schema)), value })
    });
    let leaf = select(plain()).prop_flat_map(move |schema| of(&schema.optional(true), texts));
    let loose = leaf.prop_recursive(3, 8, 3, |inner| {
        let entry =
            ("[ab\"é]{1,2}", inner.clone()).prop_map(|(key, value)| (Value::from(key), value));
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::Array),
            vec(entry, 0..4).prop_map(|entries| Value::Map(distinct(entries))),
        ]
    });
    prop_oneof![typed, loose.prop_map(|value| Case { schema: None, value })]
}
