use std::sync::Arc;

use super::*;
use crate::{
    datetime::Years,
    sink::{
        keys::{DateZone, TimestampPrecision},
        table::Limit,
    },
    zone::Zone,
};

/// What was written, with the kind of cell that it went into.
#[derive(Default)]
struct Written(String);

impl Cells for Written {
    fn null(&mut self) {
        self.0 = "NULL".to_owned();
    }
    fn number(&mut self, digits: &str) {
        self.0 = digits.to_owned();
    }
    fn boolean(&mut self, value: bool) {
        self.0 = value.to_string();
    }
    fn text(&mut self, text: &str) {
        self.0 = format!("'{text}'");
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    }
}

fn format(zone: &str, mysql: bool) -> Format {
    Format {
        zone: Zone::of(zone).unwrap(),
        dates: DateZone::DbTimezone,
        legacy: true,
        unit: TimestampPrecision::Microseconds,
        years: if mysql { Years::Four } else { Years::Any },
        instants: Zone::UTC,
        utc: if mysql { "" } else { "+00" },
        infinity: !mysql,
        long_times: mysql,
        untyped: false,
        nul: mysql,
        bits_are_numbers: mysql,
    }
}

fn put_as(
    schema: &Schema,
    value: &Value,
    (kind, declared): (&Kind, &str),
    format: &Format,
) -> Result<String, String> {
    let mut out = Written::default();
    let meaning = Meaning::of(schema);
    let target = Target { kind, declared };
    match is_placeholder(value) {
        true => Err("placeholder".to_owned()),
        false => write(value, &meaning, Some(&schema.ty), target, format, &mut out)
            .map(|()| out.0)
            .map_err(String::from),
    }
}

fn named(ty: Type, name: &str) -> Schema {
    Schema::new(ty).named(format!("io.debezium.{name}"))
}

const DATE: (&Kind, &str) = (&Kind::Date, "date");
const TIME: (&Kind, &str) = (&Kind::Time { instant: false, digits: 6 }, "time");
const TIMETZ: (&Kind, &str) = (&Kind::Time { instant: true, digits: 6 }, "timetz");
const STAMP: (&Kind, &str) = (&Kind::DateTime { instant: false, digits: 6 }, "timestamp");
const STAMPTZ: (&Kind, &str) = (&Kind::DateTime { instant: true, digits: 6 }, "timestamptz");
const BIGINT: (&Kind, &str) = (&Kind::Integer(i64::MIN as i128, i64::MAX as i128), "bigint");
const TEXT: (&Kind, &str) = (&Kind::Text(None), "text");
const JSON: (&Kind, &str) = (&Kind::Json, "jsonb");
const NUMERIC: (&Kind, &str) = (&Kind::Decimal(None, None), "numeric");
const BYTEA: (&Kind, &str) = (&Kind::Binary(None), "bytea");
const INTERVAL: (&Kind, &str) = (&Kind::Formatted, "interval");

#[test]
fn numbers_that_are_times() {
    let micros = 1_614_834_367_123_456_i64;
    let shown = "'2021-03-04 05:06:07.123456'";
    for (name, ty, n, target, expected) in [
        ("time.MicroTimestamp", Type::Int64, micros, STAMP, shown),
        ("time.MicroTimestamp", Type::Int64, micros, STAMPTZ, "'2021-03-04 05:06:07.123456+00'"),
        ("time.MicroTimestamp", Type::Int64, micros, BIGINT, "1614834367123456"),
        ("time.MicroTimestamp", Type::Int64, micros, TEXT, shown),
        ("time.NanoTimestamp", Type::Int64, micros * 1000, STAMP, shown),
        ("time.Timestamp", Type::Int64, micros / 1000, STAMP, "'2021-03-04 05:06:07.123000'"),
        // Days of the Gregorian calendar, whatever date.calendar.system says of Connect's.
        ("time.Date", Type::Int32, -354_285, DATE, "'1000-01-01'"),
        ("time.Date", Type::Int32, 18_690, STAMP, "'2021-03-04 00:00:00'"),
        ("time.Date", Type::Int32, i64::from(i32::MAX), DATE, "'infinity'"),
        ("time.Time", Type::Int32, 5, TIME, "'00:00:00.005000'"),
        ("time.MicroTime", Type::Int64, 86_400_000_000, TIME, "'24:00:00'"),
        ("time.NanoTime", Type::Int64, 5_000_000, TIME, "'00:00:00.005000'"),
        ("time.Year", Type::Int32, 2021, (&Kind::Year, "year"), "2021"),
        ("time.MicroDuration", Type::Int64, -5, INTERVAL, "'-5 microseconds'"),
        ("time.MicroTimestamp", Type::Int64, 9_223_372_036_825_200_000, STAMP, "'infinity'"),
        ("time.NanoTimestamp", Type::Int64, i64::MIN, STAMP, "'-infinity'"),
        ("time.NanoTimestamp", Type::Int64, i64::MAX, STAMPTZ, "'infinity'"),
        ("time.Timestamp", Type::Int64, -9_223_372_036_832_400, STAMP, "'-infinity'"),
        ("time.Timestamp", Type::Int64, 9_223_372_036_825_200_000, STAMPTZ, "'infinity'"),
    ] {
        let value = if ty == Type::Int32 { Value::Int32(n as i32) } else { Value::Int64(n) };
        let put = put_as(&named(ty, name), &value, target, &format("UTC", false));
        assert_eq!(put.as_deref(), Ok(expected), "{name} {n}");
    }
    for (name, n, target) in [
        ("time.MicroTimestamp", micros, DATE),
        ("time.MicroTimestamp", micros, (&Kind::Year, "year")),
        ("time.NanoTime", -1, TIME),
        ("time.MicroTime", 86_400_000_001, TIME),
        ("time.Year", 2021, DATE),
        ("time.MicroDuration", 5, STAMP),
        ("time.MicroDuration", 5, (&Kind::Formatted, "inet")),
        ("time.Date", 1 << 40, TIME),
    ] {
        let value = Value::Int64(n);
        assert!(put_as(&named(Type::Int64, name), &value, target, &format("UTC", false)).is_err());
    }
}

#[test]
fn what_clocks_show_is_of_no_zone() {
    let format = format("America/Sao_Paulo", false);
    let put = |ty, name, value, target| put_as(&named(ty, name), &value, target, &format).unwrap();
    let micros = Value::Int64(1_614_834_367_123_456);
    assert_eq!(
        put(Type::Int64, "time.MicroTimestamp", micros.clone(), STAMP),
        "'2021-03-04 05:06:07.123456'"
    );
    let instant = put(Type::Int64, "time.MicroTimestamp", micros, STAMPTZ);
    assert_eq!(instant, "'2021-03-04 08:06:07.123456+00'");
    assert_eq!(put(Type::Int32, "time.Date", Value::Int32(18_690), DATE), "'2021-03-04'");
    let hour = Value::Int64(3_600_000_000);
    assert_eq!(put(Type::Int64, "time.MicroTime", hour.clone(), TIME), "'01:00:00'");
    assert_eq!(put(Type::Int64, "time.MicroTime", hour, TIMETZ), "'04:00:00+00'");
    for (name, text, target, expected) in [
        ("time.IsoDate", "2024-02-29Z", DATE, "'2024-02-29'"),
        ("time.IsoTime", "01:02:03.4Z", TIME, "'01:02:03.400000'"),
        ("time.IsoTimestamp", "2024-02-29T12:34:56.5Z", STAMP, "'2024-02-29 12:34:56.500000'"),
        ("time.ZonedTimestamp", "2024-02-29T12:34:56Z", STAMP, "'2024-02-29 09:34:56'"),
        ("time.ZonedTimestamp", "infinity", STAMPTZ, "'infinity'"),
        ("time.ZonedTime", "08:20:30.5Z", TIMETZ, "'08:20:30.500000+00'"),
    ] {
        assert_eq!(put(Type::String, name, Value::from(text), target), expected, "{name}");
    }
}

#[test]
fn mysql_has_times_beyond_a_day() {
    let format = format("UTC", true);
    let schema = named(Type::Int64, "time.MicroTime");
    let put = |n| put_as(&schema, &Value::Int64(n), TIME, &format);
    assert_eq!(put(3_020_399_000_000).unwrap(), "'838:59:59'");
    assert_eq!(put(-3_600_000_000).unwrap(), "'-01:00:00'");
    assert!(put(3_020_399_000_001).is_err());
}

fn structure_of(name: &str, fields: &[(&str, Type)]) -> Schema {
    let field = |(name, ty): &(&str, Type)| Field {
        name: (*name).into(),
        schema: Arc::new(Schema::new(ty.clone()).optional(true)),
    };
    named(Type::Struct(fields.iter().map(field).collect()), name)
}

#[test]
fn structures_that_are_one_value() {
    let format = format("UTC", false);
    let fields = [("scale", Type::Int32), ("value", Type::Bytes)];
    let schema = structure_of("data.VariableScaleDecimal", &fields);
    let value = Value::Struct(vec![Value::Int32(2), Value::Bytes(vec![0, 200].into())]);
    for (target, expected) in [(NUMERIC, "2.00"), (JSON, "'2.00'"), (TEXT, "'2.00'"), (BIGINT, "2")]
    {
        assert_eq!(put_as(&schema, &value, target, &format).as_deref(), Ok(expected));
    }
    let list = Schema::new(Type::Array(Arc::new(schema)));
    let numbers = (&Kind::Array(Box::new(Kind::Decimal(None, None))), "numeric[]");
    let two = Value::Array(vec![value.clone(), Value::Null, value]);
    assert_eq!(put_as(&list, &two, numbers, &format).unwrap(), "'{2.00,NULL,2.00}'");

    let fields =
        [("x", Type::Float64), ("y", Type::Float64), ("wkb", Type::Bytes), ("srid", Type::Int32)];
    let schema = structure_of("data.geometry.Point", &fields);
    let wkb = [&[1, 1, 0, 0, 0][..], &1.5_f64.to_le_bytes(), &(-2_f64).to_le_bytes()].concat();
    let point = |srid| {
        let (x, y) = (Value::Float64(1.5), Value::Float64(-2.0));
        Value::Struct(vec![x, y, Value::Bytes(wkb.clone().into()), srid])
    };
    let put = |srid, target| put_as(&schema, &point(srid), target, &format);
    assert_eq!(put(Value::Null, (&Kind::Other, "point")).unwrap(), "'(1.5,-2)'");
    let coordinates = "000000000000f83f00000000000000c0";
    let postgis = put(Value::Int32(4326), (&Kind::Other, "geometry(Point,4326)")).unwrap();
    assert_eq!(postgis, format!("'0101000020e6100000{coordinates}'"));
    let mysql = put(Value::Int32(4326), (&Kind::Binary(None), "point")).unwrap();
    assert_eq!(mysql, format!("e61000000101000000{coordinates}"));
    assert_eq!(put(Value::Null, BYTEA).unwrap(), format!("0101000000{coordinates}"));
    assert!(put(Value::Int32(1), BYTEA).is_err(), "its reference system would be lost");
    assert!(put(Value::Null, TEXT).is_err());

    let vector = named(Type::Array(Arc::new(Schema::new(Type::Float64))), "data.DoubleVector");
    let numbers = Value::Array(vec![Value::Float64(1.5), Value::Float64(-2.0)]);
    let doubles = Kind::Array(Box::new(Kind::Float { single: false }));
    let put = |target| put_as(&vector, &numbers, target, &format).unwrap();
    assert_eq!(put((&Kind::Other, "vector(2)")), "'[1.5,-2]'");
    assert_eq!(put((&Kind::Binary(None), "vector(2)")), "0000c03f000000c0");
    assert_eq!(put((&doubles, "float8[]")), "'{1.5e0,-2e0}'");
    assert_eq!(put(JSON), "'[1.5,-2.0]'");
    let fields = [
        ("dimensions", Type::Int16),
        (
            "vector",
            Type::Map(Arc::new(Schema::new(Type::Int16)), Arc::new(Schema::new(Type::Float64))),
        ),
    ];
    let schema = structure_of("data.SparseVector", &fields);
    let entries = Value::Map(vec![(Value::Int16(3), Value::Float64(0.5))]);
    let value = Value::Struct(vec![Value::Int16(5), entries]);
    assert_eq!(
        put_as(&schema, &value, (&Kind::Other, "sparsevec(5)"), &format).unwrap(),
        "'{3:0.5}/5'"
    );
}

#[test]
fn bits_come_lowest_first() {
    fn put(
        length: &str,
        bytes: &[u8],
        target: (&Kind, &str),
        mysql: bool,
    ) -> Result<String, String> {
        let schema = named(Type::Bytes, "data.Bits").parameter("length", length);
        put_as(&schema, &Value::Bytes(bytes.to_vec().into()), target, &format("UTC", mysql))
    }
    let bit = |length| Kind::Bit(length);
    assert_eq!(put("3", &[5], (&bit(3), "bit(3)"), false).unwrap(), "'101'");
    assert_eq!(put("3", &[5], (&bit(3), "bit(3)"), true).unwrap(), "5");
    assert_eq!(put("10", &[3, 2], (&bit(10), "bit(10)"), true).unwrap(), "515");
    assert_eq!(put("5", &[0x16], (&Kind::VarBit(Some(5)), "varbit(5)"), false).unwrap(), "'10110'");
    assert_eq!(put("2147483647", &[1], (&Kind::VarBit(None), "varbit"), false).unwrap(), "'1'");
    let wide = put("70", &[0, 0, 0, 0, 0, 0, 0, 0, 32], (&bit(70), "bit(70)"), false).unwrap();
    assert_eq!(wide, format!("'1{}'", "0".repeat(69)));
    assert_eq!(put("10", &[3, 2], BYTEA, false).unwrap(), "0302");
    assert_eq!(put("3", &[5], TEXT, false).unwrap(), "'101'");
    assert!(put("10", &[3, 2], (&bit(8), "bit(8)"), false).is_err());
}

#[test]
fn text_that_is_a_document_or_labels() {
    let format = format("UTC", false);
    let json = named(Type::String, "data.Json");
    assert_eq!(put_as(&json, &Value::from("{\"a\": 1}"), JSON, &format).unwrap(), "'{\"a\": 1}'");
    assert!(put_as(&json, &Value::from("a"), JSON, &format).is_err());
    let set = named(Type::String, "data.EnumSet");
    let list = (&Kind::Array(Box::new(Kind::Text(Some(Limit::Characters(9))))), "text[]");
    assert_eq!(put_as(&set, &Value::from("a,c"), list, &format).unwrap(), "'{\"a\",\"c\"}'");
    assert_eq!(put_as(&set, &Value::from(""), list, &format).unwrap(), "'{}'");
}

#[test]
fn a_type_that_nobody_knows_keeps_to_columns_of_what_carries_it() {
    let format = format("UTC", true);
    let put = |ty, value: Value, target| {
        put_as(&Schema::new(ty).named("x.y.Foo"), &value, target, &format)
    };
    assert_eq!(put(Type::Int64, Value::Int64(7), BIGINT).unwrap(), "7");
    assert_eq!(put(Type::Int64, Value::Int64(7), TEXT).unwrap(), "'7'");
    assert_eq!(put(Type::String, Value::from("a"), TEXT).unwrap(), "'a'");
    assert_eq!(put(Type::Bytes, Value::Bytes("a".into()), BYTEA).unwrap(), "61");
    for target in [DATE, TIME, STAMP, STAMPTZ, (&Kind::Year, "year"), (&Kind::Bit(8), "bit(8)")] {
        assert!(put(Type::Int64, Value::Int64(7), target).is_err(), "{target:?}");
        assert!(put(Type::Bytes, Value::Bytes("a".into()), target).is_err(), "{target:?}");
    }
    assert!(put(Type::Bytes, Value::Bytes("a".into()), TEXT).is_err());
    let logical = Meaning::of(&Schema::timestamp());
    assert_eq!(logical, Meaning::Plain, "Connect's own types are values of their own");
}

#[test]
fn a_value_that_debezium_does_not_know_is_no_value() {
    let text = || Value::from(PLACEHOLDER);
    let numbers = |of: fn(u8) -> Value| Value::Array(PLACEHOLDER.bytes().map(of).collect());
    for value in [
        text(),
        Value::Bytes(PLACEHOLDER.into()),
        Value::Array(vec![text()]),
        Value::Array(vec![Value::from(PLACEHOLDER_UUID)]),
        numbers(|byte| Value::Int32(byte.into())),
        numbers(|byte| Value::Int64(byte.into())),
        numbers(|byte| Value::Float64(byte.into())),
        Value::Map(vec![(text(), text())]),
    ] {
        assert!(is_placeholder(&value), "{value:?}");
    }
    for value in [
        Value::from("__debezium_unavailable_valu"),
        Value::Array(vec![text(), text()]),
        numbers(|_| Value::Int32(1)),
        Value::Array(Vec::new()),
    ] {
        assert!(!is_placeholder(&value), "{value:?}");
    }
}
