//! Values of every type at its edges, from a table through source, converter and sink into a table of the same
//! definition: equal, or refused by name. Included by the tests of the databases.

use std::{collections::HashMap, sync::Arc};

use bytes::BytesMut;
use connect_core::{
    config::{Properties, parse},
    converter::{Converter, ConverterClass, JsonConverter},
    data::Value,
    error::{Error, ErrorKind},
    plugin::DynSourceTask,
    prelude::async_trait,
    record::Record,
    sink::{SinkBatch, SinkRecord, SinkTask, TopicPartition},
    source::Polled,
};

/// A value of a type, as SQL writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    sql: &'static str,
    /// What it becomes, where that is documented.
    becomes: &'static str,
}

/// A value that stays what it is.
pub(crate) const fn same(sql: &'static str) -> Edge {
    Edge { sql, becomes: sql }
}

/// A value that becomes another, as is documented.
pub(crate) const fn becomes(sql: &'static str, becomes: &'static str) -> Edge {
    Edge { sql, becomes }
}

/// A type, and values at its edges.
pub(crate) type Edges = (&'static str, &'static [Edge]);

/// A database with two tables for each type.
#[async_trait]
pub(crate) trait Database: Sync {
    /// Runs statements, and returns the rows that they show: an id and a text.
    async fn sql(&self, text: &str) -> Vec<(usize, String)>;
    /// An expression of hexadecimal digits that show a value of a type with all that it holds.
    fn shown(&self, ty: &str, value: &str) -> String;
    /// A source that reads what a query selects.
    async fn source(&self, query: &str) -> Result<Box<dyn DynSourceTask>, Error>;
    /// A sink that writes topics into tables of their names.
    async fn sink(&self) -> Box<dyn SinkTask>;
}

/// What became of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Equal,
    Becomes(String),
    Refused(String),
}

/// What the page says of [`matrix`].
pub(crate) const TEXT: &str = "Values at the edges of each type, as SQL writes them, from a table through source, \
    `JsonConverter` and sink into a table of the same definition, with the defaults. What has no mark came back equal; → is \
    what it becomes, – why it is an error of the data, of the source or of the sink, that names the column.";

/// Takes every value through, with a schema and without; a row for the page for each type. What is neither equal nor
/// refused by name fails the test.
pub(crate) async fn matrix(database: &dyn Database, types: &[Edges]) -> Vec<Vec<String>> {
    let mut sink = database.sink().await;
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for (at, (ty, edges)) in types.iter().enumerate() {
        let from = format!("round_{at}");
        let own = format!("{from}_own");
        let mut setup = String::new();
        for table in [&from, &own, &format!("{from}_true"), &format!("{from}_false")] {
            setup.push_str(&format!("CREATE TABLE {table} (id int PRIMARY KEY, v {ty});"));
        }
        for (id, edge) in edges.iter().enumerate() {
            setup.push_str(&format!("INSERT INTO {from} VALUES ({id}, {});", edge.sql));
            setup.push_str(&format!("INSERT INTO {own} VALUES ({id}, {});", edge.becomes));
        }
        database.sql(&setup).await;
        let expected = stored(database, ty, &own).await;
        let records = read(database, &from, edges.len()).await;
        let mut row = vec![format!("`{ty}`")];
        for schemas in ["true", "false"] {
            let to = format!("{from}_{schemas}");
            let mut written = Vec::new();
            for record in &records {
                written.push(match record {
                    Ok(record) => write(&mut *sink, &to, record, schemas).await,
                    Err(error) => Err(error.clone()),
                });
            }
            let found = stored(database, ty, &to).await;
            let mut cells = Vec::new();
            for ((id, edge), written) in edges.iter().enumerate().zip(written) {
                let value = edge.sql.trim_matches('\'');
                match judged(edge, found.get(&id), expected.get(&id), written) {
                    Ok(Outcome::Equal) => cells.push(format!("`{value}`")),
                    Ok(Outcome::Becomes(other)) => cells.push(format!("`{value}` → `{other}`")),
                    Ok(Outcome::Refused(why)) => cells.push(format!("`{value}` – {why}")),
                    Err(why) => {
                        wrong.push(format!("{ty} {} (schemas.enable={schemas}): {why}", edge.sql));
                    }
                }
            }
            row.push(cells.join(", "));
        }
        if row[1] == row[2] {
            "the same".clone_into(&mut row[2]);
        }
        rows.push(row);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    rows
}

/// The values of a table by id, as hexadecimal digits of what shows them; `-` is NULL.
async fn stored(database: &dyn Database, ty: &str, table: &str) -> HashMap<usize, String> {
    let shown = database.shown(ty, "v");
    let rows = database.sql(&format!("SELECT id, coalesce({shown}, '-') FROM {table}")).await;
    rows.into_iter().collect()
}

/// Why a value was refused, and whether it was so by name.
#[derive(Debug, Clone)]
struct Refusal {
    kind: ErrorKind,
    text: String,
    why: String,
}

impl Refusal {
    fn of(error: &Error) -> Self {
        let message = error.message();
        let why = message.strip_prefix("value does not fit the column: ").unwrap_or(message);
        Self { kind: error.kind(), text: error.to_string(), why: why.to_owned() }
    }
}

/// The rows; those that cannot be read each by itself, so that their neighbours can.
async fn read(database: &dyn Database, table: &str, count: usize) -> Vec<Result<Record, Refusal>> {
    if let Ok(records) = selected(database, &format!("SELECT * FROM {table} ORDER BY id")).await
        && records.len() == count
    {
        return records.into_iter().map(Ok).collect();
    }
    let mut records = Vec::new();
    for id in 0..count {
        let found = selected(database, &format!("SELECT * FROM {table} WHERE id = {id}")).await;
        let first = found.map(|records| records.into_iter().next().expect("a row"));
        records.push(first.map_err(|error| Refusal::of(&error)));
    }
    records
}

async fn selected(database: &dyn Database, query: &str) -> Result<Vec<Record>, Error> {
    let mut task = database.source(query).await?;
    let mut records = Vec::new();
    loop {
        match task.poll().await? {
            Polled::Batch(batch) => match batch.unreadable {
                Some(error) => return Err(error),
                None => records.extend(batch.records),
            },
            Polled::Idle(_) if records.is_empty() => tokio::task::yield_now().await,
            Polled::Idle(_) => return Ok(records),
        }
    }
}

async fn write(
    sink: &mut dyn SinkTask,
    table: &str,
    record: &Record,
    schemas: &str,
) -> Result<(), Refusal> {
    let config = [("schemas.enable", schemas), ("converter.type", "value")];
    let config: Properties = config.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut converter = JsonConverter::new(parse(&config).unwrap()).unwrap();
    let mut message = BytesMut::new();
    let encoded = converter.encode(record.value_schema.as_ref(), &record.value, &mut message);
    encoded.map_err(|error| Refusal::of(&error))?;
    let decoded = converter.decode(Some(&message.freeze())).map_err(|error| Refusal::of(&error))?;
    let (value_schema, value) = decoded;
    let offset = match &record.value {
        Value::Struct(values) => match values.first() {
            Some(Value::Int32(id)) => i64::from(*id),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let record = Record { topic: Some(table.into()), value_schema, value, ..Record::default() };
    let origin = Arc::new(TopicPartition { topic: table.into(), partition: 0 });
    let batch = SinkBatch { records: vec![SinkRecord { record, origin, offset }] };
    sink.put(&batch).await.map(drop).map_err(|error| Refusal::of(&error))
}

fn judged(
    edge: &Edge,
    found: Option<&String>,
    expected: Option<&String>,
    written: Result<(), Refusal>,
) -> Result<Outcome, String> {
    if let Err(refusal) = written {
        let named = refusal.text.contains("column=v");
        return match found.is_none() && named && refusal.kind == ErrorKind::Data {
            true => Ok(Outcome::Refused(refusal.why)),
            false => Err(format!("refused as {:?}: {}", refusal.kind, refusal.text)),
        };
    }
    match (found == expected && found.is_some(), edge.sql == edge.becomes) {
        (true, true) => Ok(Outcome::Equal),
        (true, false) => Ok(Outcome::Becomes(edge.becomes.trim_matches('\'').to_owned())),
        (false, _) => Err(format!("stored as {:?}, not {:?}", text(found), text(expected))),
    }
}

fn text(hex: Option<&String>) -> Option<String> {
    let byte = |at| hex?.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes = (0..hex?.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>();
    Some(bytes.map_or_else(|| "NULL".to_owned(), |b| String::from_utf8_lossy(&b).into_owned()))
}
