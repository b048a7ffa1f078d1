//! Whatever is reordered: each key ends as it would have, one record after the other.

use std::{collections::BTreeMap, sync::Arc};

use connect_core::{
    config::{Properties, parse},
    data::{Text, Value},
    record::Record,
    sink::TopicPartition,
};
use proptest::prelude::*;

use super::*;

fn config() -> SinkConfig {
    let pairs = [
        ("connection.url", "jdbc:postgresql://h/d"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_key"),
        ("pk.fields", "k"),
        ("delete.enabled", "true"),
    ];
    let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    parse(&Properties::from(pairs)).unwrap()
}

/// A record of a key: a tombstone, or values of some of the columns a, b and c.
fn record(n: usize, (key, columns): (u8, Option<u8>)) -> SinkRecord {
    let name = |at: u8| Value::String(Text::from(["a", "b", "c"][usize::from(at)]));
    let value = match columns {
        None => Value::Null,
        Some(columns) => {
            let set = (0..3).filter(|at| columns & 1 << at != 0);
            Value::Map(set.map(|at| (name(at), Value::Int64(n as i64))).collect())
        }
    };
    let origin = Arc::new(TopicPartition { topic: "t".into(), partition: 0 });
    let record = Record { key: Value::Int64(i64::from(key)), value, ..Record::default() };
    SinkRecord { record, origin, offset: n as i64 }
}

type Table = BTreeMap<i64, BTreeMap<String, i64>>;

fn apply(table: &mut Table, record: &SinkRecord) {
    let Value::Int64(key) = record.record.key else { panic!() };
    match &record.record.value {
        Value::Map(entries) => {
            let row = table.entry(key).or_default();
            for (name, value) in entries {
                let Value::Int64(n) = value else { panic!() };
                row.insert(name.as_str().unwrap().to_owned(), *n);
            }
        }
        _ => drop(table.remove(&key)),
    }
}

proptest! {
    #[test]
    fn each_key_ends_as_one_after_the_other(
        acts in proptest::collection::vec((0u8..4, proptest::option::weighted(0.7, 1u8..8)), 0..40)
    ) {
        let config = config();
        let records: Vec<SinkRecord> =
            acts.into_iter().enumerate().map(|(n, act)| record(n, act)).collect();
        let mut rows = Rows::default();
        let mut keys = Keys::default();
        for record in &records {
            rows.add(&config, record).unwrap();
            let Value::Int64(key) = record.record.key else { panic!() };
            super::super::cell::Cells::number(&mut keys, &key.to_string());
            keys.end();
        }
        let mut expected = Table::new();
        records.iter().for_each(|record| apply(&mut expected, record));
        for steps in [rows.in_order(), rows.by_key(&keys)] {
            let mut found = Table::new();
            for step in &steps {
                step.records.iter().for_each(|record| apply(&mut found, record));
            }
            prop_assert_eq!(&found, &expected);
        }
        for step in rows.by_key(&keys) {
            let mut seen: Vec<&Value> = step.records.iter().map(|r| &r.record.key).collect();
            let count = seen.len();
            seen.sort_by_key(|key| format!("{key:?}"));
            seen.dedup();
            prop_assert_eq!(seen.len(), count, "a statement has each key once");
        }
    }
}

#[test]
fn alternating_upserts_and_deletes_need_two_statements() {
    let config = config();
    let records: Vec<SinkRecord> = (0..100)
        .map(|n| record(n, ((n / 2) as u8, if n % 2 == 0 { Some(7) } else { None })))
        .chain((100..150).map(|n| record(n, ((n - 100) as u8, Some(7)))))
        .collect();
    let (mut rows, mut keys) = (Rows::default(), Keys::default());
    for record in &records {
        rows.add(&config, record).unwrap();
        let Value::Int64(key) = record.record.key else { panic!() };
        super::super::cell::Cells::number(&mut keys, &key.to_string());
        keys.end();
    }
    assert_eq!(rows.in_order().len(), 101);
    let steps: Vec<usize> = rows.by_key(&keys).iter().map(|step| step.records.len()).collect();
    assert_eq!(steps, [50, 50], "fifty deletes, then fifty upserts");
}
