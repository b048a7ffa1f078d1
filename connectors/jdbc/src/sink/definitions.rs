//! The tables of the records: what is known of them, and how they are created and altered.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use connect_core::error::{Error, Result};

use super::{
    SinkConfig,
    batch::Rows,
    cell::Format,
    database::SinkDatabase,
    ddl::{Definition, missing},
    keys::InsertMode,
    plan::{Plan, Values},
    table::{Kind, Table},
    widen::widen,
};
use crate::names::TableName;

/// How long a definition is taken to be what it was. Someone may add an index, a trigger or a foreign key meanwhile.
const FRESH: Duration = Duration::from_secs(5);
/// Most changes of a table for one shape of records. Each task of several adds its own columns, so that one may have to
/// look and alter again.
const CHANGES: usize = 20;

/// What is known of the tables. The database is looked at again after every change, and after every error.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    known: HashMap<TableName, (Arc<Table>, Instant)>,
    /// Tables whose keys were looked at: those that take different texts for the same are warned of once.
    seen: Vec<TableName>,
}

/// What definitions are made with.
pub(super) struct Maker<'a, D> {
    pub(super) database: &'a mut D,
    pub(super) config: &'a SinkConfig,
    pub(super) format: &'a Format,
    pub(super) values: Values,
}

impl Definitions {
    /// Forgets everything: it may be why a write failed.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// The table with a column for each field of the rows, created or altered as far as the configuration allows.
    pub(super) async fn fitting<D: SinkDatabase>(
        &mut self,
        maker: &mut Maker<'_, D>,
        name: &TableName,
        rows: &Rows<'_>,
    ) -> Result<Arc<Table>> {
        let known = self.known.get(name).filter(|(_, at)| at.elapsed() < FRESH);
        let mut table = known.map(|(table, _)| Arc::clone(table));
        for plan in 0..rows.plans.len() {
            table = Some(self.fit(maker, name, table, (rows, plan)).await?);
        }
        let table = table.ok_or_else(|| Error::internal("rows without a plan"))?;
        for plan in &rows.plans {
            check_key::<D>(maker.config, name, &table, plan)?;
        }
        self.warn_of_keys(name, &table, rows);
        Ok(table)
    }

    async fn fit<D: SinkDatabase>(
        &mut self,
        maker: &mut Maker<'_, D>,
        name: &TableName,
        table: Option<Arc<Table>>,
        (rows, at): (&Rows<'_>, usize),
    ) -> Result<Arc<Table>> {
        let plan = &rows.plans[at];
        if let Some(table) = table.filter(|table| missing(table, plan).is_empty()) {
            return Ok(table);
        }
        let records = rows.of_plan(at);
        let mut refused: Option<(Vec<String>, Error)> = None;
        for _ in 0..CHANGES {
            let table = self.describe(maker, name).await?;
            let definition = Definition {
                config: maker.config,
                format: maker.format,
                values: maker.values,
                name,
                plan,
                records: &records,
            };
            let lacking: Vec<String> = match &table {
                None => Vec::new(),
                Some(table) => missing(table, plan).iter().map(|m| m.name.to_string()).collect(),
            };
            let sql = match table {
                None => definition.create(maker.database)?,
                Some(table) if lacking.is_empty() => return Ok(table),
                Some(table) => match definition.alter(maker.database, &table)? {
                    Some(sql) => sql,
                    // Of the fields that have no column every value is null.
                    None => return Ok(table),
                },
            };
            // Another task may have been faster, which is no error: what is there now counts.
            if let Some((_, error)) = refused.take_if(|(before, _)| *before == lacking) {
                return Err(error.context("table", name.qualified()));
            }
            tracing::info!(table = name.qualified(), sql, "defining a table");
            refused = maker.database.define(&sql).await.err().map(|error| (lacking, error));
        }
        Err(Error::connection("the table lacks columns again as often as they are added")
            .context("table", name.qualified()))
    }

    async fn describe<D: SinkDatabase>(
        &mut self,
        maker: &mut Maker<'_, D>,
        name: &TableName,
    ) -> Result<Option<Arc<Table>>> {
        self.known.remove(name);
        let Some((kind, table)) = maker.database.describe(name).await? else { return Ok(None) };
        if !maker.config.takes(&kind) {
            return Err(Error::config(format!(
                "{} is a {kind}, which is none of table.types={}; to write to it, add {kind} to table.types",
                name.qualified(),
                maker.config.table_types.join(","),
            )));
        }
        let table = Arc::new(table);
        self.known.insert(name.clone(), (Arc::clone(&table), Instant::now()));
        Ok(Some(table))
    }

    /// Widens the columns that are too narrow for these rows; false if there is none.
    pub(super) async fn widen<D: SinkDatabase>(
        &mut self,
        maker: &mut Maker<'_, D>,
        name: &TableName,
        rows: &Rows<'_>,
    ) -> Result<bool> {
        let mut altered = false;
        for (at, plan) in rows.plans.iter().enumerate() {
            let Some(table) = self.describe(maker, name).await?.filter(|table| !table.view) else {
                break;
            };
            let definition = Definition {
                config: maker.config,
                format: maker.format,
                values: maker.values,
                name,
                plan,
                records: &rows.of_plan(at),
            };
            let Some(sql) = widen::<D>(&definition, &table) else { continue };
            tracing::info!(table = name.qualified(), sql, "widening columns");
            let defined = maker.database.define(&sql).await;
            defined.map_err(|error| error.context("table", name.qualified()))?;
            altered = true;
        }
        self.known.remove(name);
        Ok(altered)
    }

    /// Warns once of a key whose texts the database does not tell apart as Kafka's keys do.
    fn warn_of_keys(&mut self, name: &TableName, table: &Table, rows: &Rows<'_>) {
        if self.seen.contains(name) {
            return;
        }
        self.seen.push(name.clone());
        let Some(plan) = rows.plans.first() else { return };
        let fields = plan.mapped.iter();
        let columns = table.columns_for(plan.mapped.iter().map(|mapped| &*mapped.name));
        let folded = fields.zip(columns).filter_map(|(mapped, column)| {
            let folds = |c: &&super::table::Column| matches!(c.kind, Kind::Text(_)) && !c.exact;
            mapped.key.then_some(column?).filter(folds).map(|column| column.name.as_str())
        });
        let folded: Vec<&str> = folded.collect();
        if !folded.is_empty() {
            tracing::warn!(
                table = name.qualified(),
                columns = folded.join(","),
                "the collation of this key takes texts for equal that differ, by case, accents or blanks at their end: \
                 records of such keys go into one row"
            );
        }
    }
}

/// Refuses upserts that the database would not recognise: without a unique index on the key each adds a row.
fn check_key<D: SinkDatabase>(
    config: &SinkConfig,
    name: &TableName,
    table: &Table,
    plan: &Plan,
) -> Result<()> {
    if config.insert_mode != InsertMode::Upsert || plan.delete || table.view {
        return Ok(());
    }
    let fields = plan.mapped.iter().filter(|mapped| mapped.key).map(|mapped| &*mapped.name);
    let key: Vec<&str> = table
        .columns_for(fields)
        .into_iter()
        .flatten()
        .map(|column| column.name.as_str())
        .collect();
    let serves = |index: &Vec<String>| {
        let within = index.iter().all(|column| key.contains(&column.as_str()));
        within && (index.len() == key.len() || !D::EXACT_KEY)
    };
    if key.is_empty() || table.ties.unique.iter().any(serves) {
        return Ok(());
    }
    let quoting = config.quoting(D::QUOTE);
    let columns: Vec<String> = key.iter().map(|column| quoting.identifier(column)).collect();
    Err(Error::config(format!(
        "insert.mode=upsert needs a unique index on the columns of the key ({}) of {}, and there is none; to make one: \
         ALTER TABLE {} ADD UNIQUE ({})",
        key.join(","),
        name.qualified(),
        name.quoted(quoting),
        columns.join(",")
    )))
}
