//! Reading rows, and transforming the records.

use std::sync::Arc;

use bytes::Bytes;
use connect_core::{
    config::{Properties, parse},
    record::Record,
    registry::Registry,
    transform::DynTransformation,
};
use connectors_jdbc::source::SourceConfig;
use connectors_postgres::bench::Rows;

use crate::{Bench, Result, shapes::Shape};

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Measures both, and returns the records as they were read.
pub(crate) fn stages(bench: &mut Bench, shape: &Shape) -> Result<Vec<Record>> {
    let config: SourceConfig = parse(&properties(&[
        ("connection.url", "jdbc:postgresql://127.0.0.1/mydb"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("topic.prefix", "bench-"),
    ]))?;
    let column = |(name, ty): &'_ (String, crate::shapes::Type)| {
        let (oid, modifier) = ty.postgres();
        (name.clone(), oid, modifier)
    };
    let columns: Vec<_> = shape.columns.iter().map(column).collect();
    let columns: Vec<_> = columns.iter().map(|(name, oid, m)| (name.as_str(), *oid, *m)).collect();
    let mut decoder = Rows::new(&columns, &config)?;
    let schema = Arc::clone(decoder.schema());
    let rows = shape.rows();
    let mut read = |rows: &[Bytes]| -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let row = decoder.read(row.clone())?.ok_or("no row")?;
            records.push(Record::new(Arc::clone(&schema), row.value));
        }
        Ok(records)
    };
    let mut records = read(&rows)?;
    bench.stage("poll", shape, || (), |()| read(&rows))?;
    // As the runtime does before it transforms.
    records.iter_mut().for_each(|record| record.topic = Some("bench".into()));
    transform(bench, shape, &records)?;
    Ok(records)
}

/// A field is added, one renamed, and one becomes the key.
fn transform(bench: &mut Bench, shape: &Shape, records: &[Record]) -> Result<()> {
    let last = shape.columns.last().map(|(name, _)| format!("{name}:renamed")).unwrap_or_default();
    let chain: [(&str, &[(&str, &str)]); 3] = [
        ("InsertField$Value", &[("static.field", "origin"), ("static.value", "bench")]),
        ("ReplaceField$Value", &[("renames", &last)]),
        ("ValueToKey", &[("fields", "id")]),
    ];
    let registry = Registry::apache();
    let open = |(class, pairs): (&str, &[(&str, &str)])| -> Result<Box<dyn DynTransformation>> {
        let class = format!("org.apache.kafka.connect.transforms.{class}");
        let class = registry.find_transformation(&class).ok_or("no such transformation")?;
        Ok(class.open(&properties(pairs))?)
    };
    let mut chain = chain.into_iter().map(open).collect::<Result<Vec<_>>>()?;
    let run = |records: &mut Vec<Record>| {
        for record in records {
            for step in &mut chain {
                step.apply(record, None)?;
            }
        }
        Ok(())
    };
    bench.stage("transform", shape, || records.to_vec(), run)
}
