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
        for (n, record) in records.iter().enumerate() {
            rows.add(&config, n, record).unwrap();
            let Value::Int64(key) = record.record.key else { panic!() };
            super::super::cell::Cells::number(&mut keys, &key.to_string());
            keys.end();
        }
        let mut expected = Table::new();
        records.iter().for_each(|record| apply(&mut expected, record));
        let every_third = |placed: Placed<'_>| placed.at.is_multiple_of(3);
        let partly = rows.by_key(0, &keys, every_third);
        for steps in [&in_order(&[(0, &rows)]), &rows.by_key(0, &keys, |_| true), &partly] {
            let mut found = Table::new();
            for step in steps {
                step.records.iter().for_each(|record| apply(&mut found, record));
            }
            prop_assert_eq!(&found, &expected);
        }
        let left: Vec<i64> = partly.iter().flat_map(|s| &s.records).map(|r| r.offset).collect();
        let must: Vec<i64> = (0..records.len() as i64).filter(|n| n % 3 != 0).collect();
        prop_assert!(must.iter().all(|n| left.contains(n)), "only what is superfluous is left out");
        for step in rows.by_key(0, &keys, |_| true).into_iter().chain(partly) {
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
    for (n, record) in records.iter().enumerate() {
        rows.add(&config, n, record).unwrap();
        let Value::Int64(key) = record.record.key else { panic!() };
        super::super::cell::Cells::number(&mut keys, &key.to_string());
        keys.end();
    }
    assert_eq!(in_order(&[(0, &rows)]).len(), 101);
    let steps: Vec<usize> =
        rows.by_key(0, &keys, |_| true).iter().map(|step| step.records.len()).collect();
    assert_eq!(steps, [50, 50], "fifty deletes, then fifty upserts");
}

#[test]
fn tables_that_are_tied_keep_the_order_of_the_log() {
    let config = config();
    let records: Vec<SinkRecord> = (0..6).map(|n| record(n, (n as u8, Some(7)))).collect();
    let (mut parents, mut children) = (Rows::default(), Rows::default());
    for (n, record) in records.iter().enumerate() {
        let rows = if n % 3 == 0 { &mut parents } else { &mut children };
        rows.add(&config, n, record).unwrap();
    }
    let steps = in_order(&[(0, &parents), (1, &children)]);
    let found: Vec<(usize, Vec<i64>)> =
        steps.iter().map(|s| (s.table, s.records.iter().map(|r| r.offset).collect())).collect();
    assert_eq!(found, [(0, vec![0]), (1, vec![1, 2]), (0, vec![3]), (1, vec![4, 5])]);
}

#[test]
fn runs_end_where_a_key_comes_again() {
    let records: Vec<SinkRecord> =
        [1, 2, 1, 3, 3].iter().enumerate().map(|(n, key)| record(n, (*key, Some(7)))).collect();
    let records: Vec<&SinkRecord> = records.iter().collect();
    let mut keys = Keys::default();
    for record in &records {
        let Value::Int64(key) = record.record.key else { panic!() };
        super::super::cell::Cells::number(&mut keys, &key.to_string());
        keys.end();
    }
    let runs: Vec<usize> = distinct(&records, &keys).iter().map(|run| run.len()).collect();
    assert_eq!(runs, [2, 2, 1]);
}
