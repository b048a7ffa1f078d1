//! One transaction: the statements of a batch, and the offsets after it.

use std::sync::Arc;

use connect_core::{
    data::Value,
    error::{Error, Result},
    sink::SinkRecord,
};

use super::{
    SinkConfig,
    batch::{self, Keys, Placed, Rows, Step},
    cell::{Cells, Format, cell},
    database::{AtOnce, Bound, OffsetRow, Operation, SinkDatabase, Write},
    keys::InsertMode,
    offsets::{fenced, offsets_table},
    plan::{Plan, Values},
    table::{Column, Fill, Table},
};
use crate::names::TableName;

/// The records of a table, and what is known of it.
pub(super) struct Prepared<'b> {
    pub(super) name: TableName,
    pub(super) rows: Rows<'b>,
    pub(super) table: Arc<Table>,
}

/// The columns that a plan writes, and those of its key. What the database generates is left to it.
pub(super) fn bound<'p>(plan: &'p Plan, table: &'p Table) -> Vec<Bound<'p>> {
    let columns = table.columns_for(plan.mapped.iter().map(|mapped| &*mapped.name));
    let bound = plan.mapped.iter().zip(columns);
    let bound = bound.filter_map(|(mapped, column)| Some((mapped, column?)));
    bound.filter(|(mapped, column)| mapped.key || column.fill != Fill::Generated).collect()
}

/// How rows are written.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub(super) config: &'a SinkConfig,
    pub(super) format: &'a Format,
    pub(super) values: Values,
    /// Most rows in a statement.
    pub(super) most: usize,
}

impl Writing<'_> {
    /// Writes rows and offsets in one transaction.
    pub(super) async fn transact<D: SinkDatabase>(
        self,
        database: &mut D,
        prepared: &[Prepared<'_>],
        next: &[OffsetRow],
    ) -> Result<()> {
        let Self { config, format, values, most } = self;
        let tables: Vec<Target<'_, '_>> = prepared.iter().map(|of| Target::new(of, self)).collect();
        let steps = self.steps(&tables)?;
        database.begin().await?;
        for (Step { table, plan, records }, at_once) in &steps {
            let of = &tables[*table];
            let operation = of.operation(*plan, config);
            let named = |e: Error| e.context("table", of.prepared.name.qualified());
            let at_once = at_once.unwrap_or_else(|| D::at_once(operation, &of.prepared.table));
            let runs = match at_once {
                AtOnce::Any => vec![records.as_slice()],
                AtOnce::One => records.chunks(1).collect(),
                AtOnce::DistinctKeys if most == 1 => vec![records.as_slice()],
                AtOnce::DistinctKeys => {
                    let keys = of.keys(records.iter().map(|record| (*plan, *record)));
                    batch::distinct(records, &keys.map_err(named)?)
                }
            };
            for records in runs.into_iter().flat_map(|run| run.chunks(most)) {
                let write = Write {
                    operation,
                    table: &of.prepared.name,
                    definition: &of.prepared.table,
                    columns: &of.bound[*plan],
                    records,
                    format,
                    values,
                    config,
                };
                database.write(&write).await.map_err(named)?;
            }
        }
        if !next.is_empty() {
            let name = offsets_table(database, config)?;
            for row in next {
                if !database.store(&name, &config.name, row).await? {
                    return Err(fenced(&row.topic, row.partition));
                }
            }
        }
        // A statement may have waited until here: which table it is about is known if there is only one.
        database.commit().await.map_err(|error| match prepared {
            [of] => error.context("table", of.name.qualified()),
            _ => error,
        })
    }

    /// The steps, with how many rows each takes at once where that is not for the database to say.
    fn steps<'b>(self, tables: &[Target<'_, 'b>]) -> Result<Vec<(Step<'b>, Option<AtOnce>)>> {
        let (mut steps, mut tied) = (Vec::new(), Vec::new());
        for (at, of) in tables.iter().enumerate() {
            let ties = &of.prepared.table.ties;
            if of.is_keyed() {
                let rows = &of.prepared.rows;
                let keys = of.keys(rows.records.iter().map(|placed| (placed.plan, placed.record)));
                let keys = keys.map_err(|e| e.context("table", of.prepared.name.qualified()))?;
                let by_key = rows.by_key(at, &keys, |placed| of.is_superfluous(placed));
                steps.extend(by_key.into_iter().map(|step| (step, Some(AtOnce::Any))));
            } else if ties.references || ties.acts {
                // What is written to one of these may be seen by a statement about another.
                tied.push((at, &of.prepared.rows));
            } else {
                let own = batch::in_order(&[(at, &of.prepared.rows)]);
                steps.extend(own.into_iter().map(|step| (step, None)));
            }
        }
        steps.extend(batch::in_order(&tied).into_iter().map(|step| (step, None)));
        Ok(steps)
    }

    /// The write of a single record, to find out what is wrong with it.
    pub(super) async fn blame<D: SinkDatabase>(
        self,
        database: &mut D,
        of: &Prepared<'_>,
        record: &SinkRecord,
        error: Error,
    ) -> Error {
        let Self { config, format, values, .. } = self;
        let Some(plan) = of.rows.plans.first() else { return error };
        // What was found to be wrong here names its column already.
        if std::error::Error::source(&error).is_none() {
            return error;
        }
        let (columns, records) = (bound(plan, &of.table), &[record][..]);
        let write = Write {
            operation: Operation::Insert,
            table: &of.name,
            definition: &of.table,
            columns: &columns,
            records,
            format,
            values,
            config,
        };
        blame(database, &write, error).await
    }
}

/// A table with the columns of each plan.
struct Target<'p, 'b> {
    prepared: &'p Prepared<'b>,
    bound: Vec<Vec<Bound<'p>>>,
    writing: Writing<'p>,
}

impl<'p, 'b> Target<'p, 'b> {
    fn new(prepared: &'p Prepared<'b>, writing: Writing<'p>) -> Self {
        let bound = prepared.rows.plans.iter().map(|plan| bound(plan, &prepared.table)).collect();
        Self { prepared, bound, writing }
    }

    fn operation(&self, plan: usize, config: &SinkConfig) -> Operation {
        match (self.prepared.rows.plans[plan].delete, config.insert_mode) {
            (true, _) => Operation::Delete,
            (false, InsertMode::Insert | InsertMode::Multi) => Operation::Insert,
            (false, InsertMode::Upsert) => Operation::Upsert,
            (false, InsertMode::Update) => Operation::Update,
        }
    }

    /// Whether all that counts of a key is its last state: keys can be told apart here as the database does, and rows of
    /// different keys have nothing to do with each other.
    fn is_keyed(&self) -> bool {
        if matches!(self.writing.config.insert_mode, InsertMode::Insert | InsertMode::Multi) {
            return false;
        }
        fn key<'c>(columns: &'c [Bound<'_>]) -> Vec<&'c str> {
            let key = columns.iter().filter(|(mapped, _)| mapped.key);
            key.map(|(_, column)| column.name.as_str()).collect()
        }
        let first = self.bound.first().map(|columns| key(columns)).unwrap_or_default();
        let exact = |(mapped, column): &Bound<'_>| !mapped.key || column.exact;
        // Plans whose keys have other columns cannot be compared.
        let comparable =
            |columns: &Vec<Bound<'_>>| key(columns) == first && columns.iter().all(exact);
        let free = |(plan, columns): (&Plan, &Vec<Bound<'_>>)| {
            let written: Vec<&str> = columns.iter().map(|(_, c)| c.name.as_str()).collect();
            // A delete writes no column, and its row gets no value.
            let all: Vec<&str>;
            let written = match plan.delete {
                true => {
                    all = self.prepared.table.columns.iter().map(|c| c.name.as_str()).collect();
                    &all
                }
                false => &written,
            };
            self.prepared.table.is_free(&first, written)
        };
        !first.is_empty()
            && self.bound.iter().all(comparable)
            && self.prepared.rows.plans.iter().zip(&self.bound).all(free)
    }

    /// The keys of records.
    fn keys<'r>(&self, records: impl Iterator<Item = (usize, &'r SinkRecord)>) -> Result<Keys> {
        let Writing { format, values, .. } = self.writing;
        let mut keys = Keys::default();
        for (n, (plan, record)) in records.enumerate() {
            let mut has_null = false;
            for (mapped, column) in self.bound[plan].iter().filter(|(mapped, _)| mapped.key) {
                let value = values.of(record, mapped);
                has_null |= value.is_null();
                cell(&value, mapped, column, format, &mut keys)?;
            }
            if has_null {
                // No unique index takes two nulls for the same, and no condition finds one.
                keys.alone(n);
            }
            keys.end();
        }
        Ok(keys)
    }

    /// Whether nobody can tell that a record was not written, since another state of its key follows: the database would
    /// certainly not have refused it.
    fn is_superfluous(&self, Placed { plan, record, .. }: Placed<'b>) -> bool {
        let Writing { format, values, .. } = self.writing;
        let columns = &self.bound[plan];
        if self.prepared.rows.plans[plan].delete {
            return true;
        }
        let written: Vec<&str> = columns.iter().map(|(_, c)| c.name.as_str()).collect();
        self.prepared.table.takes_without(&written)
            && columns.iter().all(|(mapped, column)| {
                let value = values.of(record, mapped);
                let size = match &*value {
                    Value::Null => return column.nullable,
                    Value::String(text) => text.len(),
                    Value::Bytes(bytes) => bytes.len(),
                    _ => 0,
                };
                // Of no bytes nothing is certain where nothing is.
                size.max(1) <= column.certain
                    && cell(&value, mapped, column, format, &mut Nothing).is_ok()
            })
    }
}

/// Takes cells that are only checked.
struct Nothing;

impl Cells for Nothing {
    fn null(&mut self) {}
    fn number(&mut self, _: &str) {}
    fn boolean(&mut self, _: bool) {}
    fn text(&mut self, _: &str) {}
    fn bytes(&mut self, _: &[u8]) {}
}

/// Says which column the error of a single record is about, if that can be found out.
async fn blame<D: SinkDatabase>(database: &mut D, write: &Write<'_>, error: Error) -> Error {
    // A refused statement ends a transaction: without a new one nothing can be asked. If that fails too, the error
    // stands for itself.
    if database.rollback().await.is_err() {
        return error;
    }
    let message = error.message();
    // Also the check of a column, which MariaDB calls `table.column`.
    let named = |name: &str| {
        [format!("'{name}'"), format!("\"{name}\""), format!("`{name}`"), format!(".{name}`")]
            .iter()
            .any(|quoted| message.contains(quoted))
    };
    // Of a length PostgreSQL says only the type.
    let typed = |column: &Column| message.contains(column.declared.trim_end_matches("[]"));
    let mut found = write.columns.iter().find(|(_, column)| named(&column.name));
    if found.is_none() {
        let culprit = database.culprit(write).await;
        found = write.columns.iter().find(|(_, column)| Some(&column.name) == culprit.as_ref());
    }
    if found.is_none() {
        let mut all = write.columns.iter().filter(|(_, column)| typed(column));
        found = all.next().filter(|_| all.next().is_none());
    }
    let (Some((mapped, column)), Some(record)) = (found, write.records.first()) else {
        return error;
    };
    error
        .context("column", &column.name)
        .context("type", &column.declared)
        .context("value", super::cell::shown(&write.values.of(record, mapped)))
}
