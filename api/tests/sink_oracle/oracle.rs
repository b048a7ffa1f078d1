//! One record after the other, each with the plain statement of its database.

use crate::{
    database::Database,
    draw::{Case, Record, Table, Trigger},
};

/// Writes the records of a case; the positions of those that are refused.
pub(crate) async fn write(database: &Database, case: &Case, names: &[String]) -> Vec<usize> {
    let mut refused = Vec::new();
    for (at, record) in case.records.iter().enumerate() {
        let table = &case.tables[record.table];
        if fits(record)
            && one(database, case.mode, table, &names[record.table], record).await.is_ok()
        {
            continue;
        }
        refused.push(at);
    }
    refused
}

/// A text that is longer than its column is refused by every one of the servers, but by MySQL only if it is strict about
/// the row: say so here.
fn fits(record: &Record) -> bool {
    let fields = record.fields.iter().flatten();
    !fields.into_iter().any(|(_, value)| value.sql().len() > 7)
}

fn list(pairs: &[(&str, crate::draw::Value)], separator: &str) -> String {
    pairs.iter().map(|(n, v)| format!("{n}={}", v.sql())).collect::<Vec<_>>().join(separator)
}

async fn one(
    database: &Database,
    mode: &str,
    table: &Table,
    name: &str,
    record: &Record,
) -> Result<(), String> {
    let key = list(&record.key, " AND ");
    let Some(fields) = &record.fields else {
        return database.run(&format!("DELETE FROM {name} WHERE {key}")).await.map(drop);
    };
    let all: Vec<_> = record.key.iter().chain(fields).collect();
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = all.iter().map(|(_, value)| value.sql()).collect();
    let insert = format!("INSERT INTO {name} ({}) VALUES ({})", names.join(","), values.join(","));
    let set = list(fields, ",");
    let update = format!("UPDATE {name} SET {set} WHERE {key}");
    match (mode, database.is_postgres()) {
        ("insert", _) => database.run(&insert).await.map(drop),
        ("update", _) => database.run(&update).await.map(drop),
        (_, true) => {
            let key: Vec<&str> = record.key.iter().map(|(name, _)| *name).collect();
            let sql = format!("{insert} ON CONFLICT ({}) DO UPDATE SET {set}", key.join(","));
            database.run(&sql).await.map(drop)
        }
        (_, false) if table.trigger != Trigger::None => {
            database.run(&format!("{insert} ON DUPLICATE KEY UPDATE {set}")).await.map(drop)
        }
        // The row of the key, whatever other unique indexes there are.
        (_, false) => match database.run(&update).await? {
            0 => database.run(&insert).await.map(drop),
            _ => Ok(()),
        },
    }
}
