//! Values of every kind for the property tests of the sinks, and what they mean in a column. Included by the tests of
//! the databases: nothing here is of the code that is tested.

mod documents;
mod generate;
mod meaning;

use std::{
    cell::RefCell,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use connect_core::{
    data::{Field, Schema, Text, Type, Value},
    error::ErrorKind,
    record::Record,
    sink::{SinkBatch, SinkRecord, SinkTask, TopicPartition},
};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

pub(crate) use meaning::Means;

/// Name of the column that is tested.
pub(crate) const COLUMN: &str = "wert";
/// Random values a column, if `PROPTEST_CASES` does not say it.
const CASES: u32 = 20;

/// A value, with its schema or without.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) schema: Option<Arc<Schema>>,
    pub(crate) value: Value,
}

impl Case {
    /// A batch of one record, with an id and this.
    fn batch(&self, table: &str, id: i64) -> SinkBatch {
        let (value_schema, value) = match &self.schema {
            Some(schema) => {
                let field = |name, schema| Field { name: Text::from_static(name), schema };
                let id_schema = Arc::new(Schema::new(Type::Int64));
                let fields = vec![field("id", id_schema), field(COLUMN, Arc::clone(schema))];
                let schema = Arc::new(Schema::new(Type::Struct(fields)));
                (Some(schema), Value::Struct(vec![Value::Int64(id), self.value.clone()]))
            }
            None => {
                let pairs = [("id", Value::Int64(id)), (COLUMN, self.value.clone())];
                (None, Value::Map(pairs.map(|(k, v)| (Value::from(k), v)).into()))
            }
        };
        let topic = Some(table.into());
        let record = Record { topic, value_schema, value, ..Record::default() };
        let origin = Arc::new(TopicPartition { topic: table.into(), partition: 0 });
        SinkBatch { records: vec![SinkRecord { record, origin, offset: id }] }
    }
}

/// A column of a type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its type.
    pub(crate) ty: &'static str,
    /// How values mean the same in it.
    pub(crate) means: Means,
    /// Text that it takes.
    pub(crate) texts: &'static [&'static str],
}

/// A column of this type.
pub(crate) const fn column(
    ty: &'static str,
    means: Means,
    texts: &'static [&'static str],
) -> Column {
    Column { ty, means, texts }
}

/// A connection that reads what was stored.
pub(crate) trait Reader {
    /// The column's value of a row, as text; none is NULL. The error says that there is no such row.
    fn stored(&mut self, table: &str, column: &Column, id: i64) -> Result<Option<String>, String>;
    /// How many rows there are.
    fn count(&mut self, table: &str) -> i64;
    /// What the database makes of a text that a column's type is read from, or the type of its list's items; the error
    /// is its own.
    fn reads(&mut self, column: &Column, text: &str, whole: bool)
    -> Result<Option<String>, String>;
}

/// Puts every value into a column of each type, and reads it back: it is the same, or the error says what is wrong.
pub(crate) fn check<R: Reader>(
    columns: &[Column],
    open: impl Fn(&str, &Column) -> (Box<dyn SinkTask>, R) + Sync,
) {
    let runtime = tokio::runtime::Handle::current();
    let next = Mutex::new(columns.iter().enumerate());
    let failures = Mutex::new(Vec::new());
    // Two are enough to keep the database busy while values are made.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, column)) = taken else { break };
                    let table = format!("values_{at}");
                    let _guard = runtime.enter();
                    let (mut task, mut reader) = open(&table, column);
                    let mut kept = 0;
                    let mut problems = all(column, at.is_multiple_of(2), |case, id| {
                        let batch = case.batch(&table, id);
                        let put =
                            catch_unwind(AssertUnwindSafe(|| runtime.block_on(task.put(&batch))));
                        let put = put.map_err(|_| "it panics".to_owned())?.map(drop);
                        kept += i64::from(put.is_ok());
                        outcome(put, &table, column, case, id, &mut reader)
                    });
                    if kept < 2 {
                        problems.push("nothing but null was taken".to_owned());
                    }
                    if reader.count(&table) != kept {
                        problems.push("what was refused was stored".to_owned());
                    }
                    let failure = format!("{} ({table}):\n  {}", column.ty, problems.join("\n  "));
                    if !problems.is_empty() {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Puts all values for a column, each with an id; what is wrong with them.
fn all(
    column: &Column,
    first: bool,
    mut put: impl FnMut(&Case, i64) -> Result<(), String>,
) -> Vec<String> {
    let mut id = 0;
    let mut problems = Vec::new();
    let few = matches!(column.means, Means::Read | Means::List(_));
    for case in generate::edges(column.texts, first, few) {
        id += 1;
        problems.extend(put(&case, id).err().map(|problem| format!("{case:?}: {problem}")));
    }
    // The same values each time, or as many others as are asked for.
    let config = match env::var_os("PROPTEST_CASES") {
        Some(_) => Config::default(),
        None => Config { cases: CASES, rng_seed: RngSeed::Fixed(7), ..Config::default() },
    };
    let state = RefCell::new((put, id));
    let random = TestRunner::new(Config { failure_persistence: None, ..config }).run(
        &generate::cases(column.texts),
        |case| {
            let (put, id) = &mut *state.borrow_mut();
            *id += 1;
            put(&case, *id).map_err(TestCaseError::fail)
        },
    );
    problems.extend(random.err().map(|error| error.to_string()));
    problems
}

/// Says that what was stored is not the same, or how the refusal is wrong.
fn outcome(
    put: Result<(), connect_core::error::Error>,
    table: &str,
    column: &Column,
    case: &Case,
    id: i64,
    reader: &mut impl Reader,
) -> Result<(), String> {
    let Err(error) = put else {
        let stored = reader.stored(table, column, id)?;
        let same = column.means.same(case, stored.as_deref(), &mut |text, whole| {
            reader.reads(column, text, whole).map_err(|e| format!("the database reads it not: {e}"))
        });
        return same.map_err(|why| format!("stored as {stored:?}: {why}"));
    };
    let shown = error.to_string();
    let named = [&format!("column={COLUMN}"), table, "value=", "type="];
    if error.kind() != ErrorKind::Data || !named.iter().all(|part| shown.contains(*part)) {
        return Err(format!("refused as {:?}: {shown}", error.kind()));
    }
    Ok(())
}
