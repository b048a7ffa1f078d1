//! The page of a database's types in `docs/reference`, made of what the connectors do with a real database. Included by
//! the tests of the databases.

use std::{env, fmt::Write, fs, path::Path, sync::Arc};

use bytes::BytesMut;
use connect_core::{
    config::{Properties, parse},
    converter::{Converter, ConverterClass, JsonConverter},
    data::{Field, Schema, Text, Type, Value},
    error::Result,
    plugin::DynSourceTask,
    record::Record,
    sink::{SinkBatch, SinkRecord, SinkTask, TopicPartition},
    source::Polled,
};

/// A type that a source reads: how it is declared, a value of it, and where the JVM's connector differs.
pub(crate) struct Read {
    pub(crate) ty: &'static str,
    pub(crate) value: &'static str,
    pub(crate) jvm: &'static str,
}

/// A type that a source reads.
pub(crate) const fn read(ty: &'static str, value: &'static str, jvm: &'static str) -> Read {
    Read { ty, value, jvm }
}

/// A page that grows.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new(title: &str, intro: &str) -> Self {
        let generated =
            "<!-- Made by a test of the connectors from a real database: `cargo xtask docs`. -->";
        Self(format!("{generated}\n# {title}\n\n{intro}\n"))
    }

    pub(crate) fn chapter(&mut self, title: &str, text: &str) {
        let _ = write!(self.0, "\n## {title}\n\n{text}\n");
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.0.push('\n');
        let mut line = |cells: Vec<String>| {
            let _ = writeln!(self.0, "| {} |", cells.join(" | "));
        };
        line(head.iter().map(|cell| (*cell).to_owned()).collect());
        line(head.iter().map(|_| "---".to_owned()).collect());
        for row in rows {
            line(row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect());
        }
    }

    /// Compares the page with the one that is checked in; `UPDATE_DOCS=1` writes it anew.
    pub(crate) fn check(&self, file: &str) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(dir.join(file), &self.0).unwrap();
        }
        let found = fs::read_to_string(dir.join(file)).unwrap_or_default();
        assert!(found == self.0, "{file} is not up to date: run `cargo xtask docs`");
    }
}

pub(crate) fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// A schema in few words.
pub(crate) fn named(schema: &Schema) -> String {
    let parameters = schema.parameters.iter().map(|(k, v)| format!(", {k}={v}"));
    let parameters: String = parameters.collect();
    match schema.logical_name() {
        Some(name) => format!("{}{parameters}", name.rsplit('.').next().unwrap_or(name)),
        None => match &schema.ty {
            Type::Array(item) => format!("ARRAY of {}", named(item)),
            Type::Map(key, item) => format!("MAP of {} to {}", named(key), named(item)),
            Type::Struct(_) => "STRUCT".to_owned(),
            ty => ty.name().to_owned(),
        },
    }
}

/// A value as `JsonConverter` writes it.
pub(crate) fn json(schema: Option<&Arc<Schema>>, value: &Value) -> String {
    let config = [("schemas.enable", "false"), ("converter.type", "value")];
    let config: Properties = config.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut converter = JsonConverter::new(parse(&config).unwrap()).unwrap();
    let mut out = BytesMut::new();
    converter.encode(schema, value, &mut out).unwrap();
    String::from_utf8(out.to_vec()).unwrap()
}

/// The fields of the first record that a source reads.
pub(crate) async fn first(task: &mut dyn DynSourceTask) -> Vec<(Arc<Schema>, Value)> {
    loop {
        if let Polled::Batch(batch) = task.poll().await.unwrap() {
            let record = &batch.records[0];
            let Value::Struct(values) = &record.value else { panic!("{record:?}") };
            let fields = record.value_schema.as_ref().unwrap().fields();
            return fields.iter().map(|f| Arc::clone(&f.schema)).zip(values.clone()).collect();
        }
        tokio::task::yield_now().await;
    }
}

/// A sink's value, and what it is called.
pub(crate) struct Put {
    pub(crate) name: &'static str,
    pub(crate) schema: Option<Schema>,
    pub(crate) value: Value,
}

fn put(name: &'static str, schema: Schema, value: Value) -> Put {
    Put { name, schema: Some(schema), value }
}

fn number(text: &str) -> Value {
    let number: connect_core::data::Decimal = text.parse().unwrap();
    number.into()
}

fn one(value: impl Into<Value>) -> Value {
    Value::Map(vec![(Value::from("a"), value.into())])
}

/// A value of each schema.
pub(crate) fn puts() -> Vec<Put> {
    let of = |ty| Arc::new(Schema::new(ty));
    let list = |n| Value::Array(vec![Value::Int32(n), Value::Int32(2)]);
    let field = Field { name: Text::from_static("a"), schema: of(Type::Int32) };
    vec![
        put("INT8", Schema::new(Type::Int8), Value::Int8(1)),
        put("INT16", Schema::new(Type::Int16), Value::Int16(1)),
        put("INT32", Schema::new(Type::Int32), Value::Int32(1)),
        put("INT64", Schema::new(Type::Int64), Value::Int64(1)),
        put("FLOAT32", Schema::new(Type::Float32), Value::Float32(1.5)),
        put("FLOAT64", Schema::new(Type::Float64), Value::Float64(1.5)),
        put("BOOLEAN", Schema::new(Type::Boolean), Value::Boolean(true)),
        put("STRING", Schema::new(Type::String), Value::from("text")),
        put("BYTES", Schema::new(Type::Bytes), Value::Bytes("ab".into())),
        put("Decimal", Schema::decimal(2), number("2.00")),
        put("Date", Schema::date(), Value::Date(18_690)),
        put("Time", Schema::time(), Value::Time(18_367_123)),
        put("Timestamp", Schema::timestamp(), Value::Timestamp(1_614_834_367_123)),
        put("ARRAY of INT32", Schema::new(Type::Array(of(Type::Int32))), list(1)),
        put("MAP", Schema::new(Type::Map(of(Type::String), of(Type::Int32))), one(Value::Int32(1))),
        put("STRUCT", Schema::new(Type::Struct(vec![field])), Value::Struct(vec![Value::Int32(1)])),
    ]
}

/// Values without a schema.
pub(crate) fn loose() -> Vec<Put> {
    let loose = |name, value| Put { name, schema: None, value };
    vec![
        loose("whole number", Value::Int64(1)),
        loose("fraction", Value::Float64(1.5)),
        loose("text", Value::from("text")),
        loose("true, false", Value::Boolean(true)),
        loose("object", one(Value::Int64(1))),
        loose("list", Value::Array(vec![Value::Int64(1)])),
    ]
}

/// Puts a record with an id and this as its `v`.
pub(crate) async fn deliver(
    task: &mut dyn SinkTask,
    table: &str,
    id: i64,
    (schema, value): (Option<&Schema>, &Value),
) -> Result<()> {
    let (value_schema, value) = match schema {
        Some(schema) => {
            let field = |name, schema: Schema| Field {
                name: Text::from_static(name),
                schema: Arc::new(schema),
            };
            let fields = vec![field("id", Schema::new(Type::Int64)), field("v", schema.clone())];
            let schema = Arc::new(Schema::new(Type::Struct(fields)));
            (Some(schema), Value::Struct(vec![Value::Int64(id), value.clone()]))
        }
        None => {
            let pairs = [("id", Value::Int64(id)), ("v", value.clone())];
            (None, Value::Map(pairs.map(|(k, v)| (Value::from(k), v)).into()))
        }
    };
    let topic = Some(table.into());
    let record = Record { topic, value_schema, value, ..Record::default() };
    let origin = Arc::new(TopicPartition { topic: table.into(), partition: 0 });
    task.put(&SinkBatch { records: vec![SinkRecord { record, origin, offset: id }] })
        .await
        .map(drop)
}

/// What an existing column shows of a value of each kind; a dash is an error of the data.
pub(crate) async fn takes(
    task: &mut dyn SinkTask,
    table: &str,
    text: &str,
    shown: impl Fn(i64) -> String,
) -> Vec<String> {
    let mut cells = Vec::new();
    for (id, put) in puts().iter().enumerate() {
        // Integers of all sizes are alike, fractions too, maps and structs too.
        if matches!(put.name, "INT8" | "INT16" | "INT32" | "FLOAT32" | "STRUCT") {
            continue;
        }
        let own = Value::from(text.to_owned());
        let value = if put.name == "STRING" { &own } else { &put.value };
        let id = id as i64;
        cells.push(match deliver(task, table, id, (put.schema.as_ref(), value)).await {
            Ok(()) => code(&shown(id)),
            Err(error) if error.kind() == connect_core::error::ErrorKind::Data => "–".to_owned(),
            Err(error) => panic!("{table} {}: {error:?}", put.name),
        });
    }
    cells
}

/// The head of [`takes`], with the values.
pub(crate) const TAKES: [&str; 12] = [
    "column",
    "integer `1`",
    "FLOAT64 `1.5`",
    "BOOLEAN `true`",
    "STRING",
    "BYTES `ab`",
    "Decimal `2.00`",
    "Date `2021-03-04`",
    "Time `05:06:07.123`",
    "Timestamp `2021-03-04 05:06:07.123`",
    "ARRAY `[1,2]`",
    "MAP `{\"a\":1}`",
];
