//! The JDBC sink with MySQL's statements, up to the connection.

use std::{cell::RefCell, sync::Arc};

use async_trait::async_trait;
use connect_core::{
    config::parse,
    data::Schema,
    error::Result as Answer,
    record::Record,
    sink::{SinkBatch, SinkConnector, SinkRecord, SinkTask, TopicPartition},
};
use connectors_jdbc::{
    names::{Quote, TableName},
    sink::{
        JdbcSink, SinkConfig,
        cell::{Cells, Format},
        database::{AtOnce, Inferred, OffsetRow, Operation, SinkDatabase, Write},
        table::{Column, Table, Ties},
    },
};
use connectors_mysql::bench::{MySqlWriter, statement};

use crate::{Bench, Result, log::runtime, shapes::Shape, source::properties};

thread_local! {
    /// What the database says of its table: a sink asks it by name alone.
    static TABLE: RefCell<Table> = RefCell::default();
}

/// Measures a batch of upserts.
pub(crate) fn stage(
    bench: &mut Bench,
    stage: &'static str,
    shape: &Shape,
    records: Vec<Record>,
) -> Result<()> {
    let unique = vec![vec!["id".to_owned()]];
    let ties = Ties { unique, ..Ties::default() };
    TABLE.set(Table { columns: shape.target(), ties, ..Table::default() });
    let config: SinkConfig = parse(&properties(&[
        ("connection.url", "jdbc:mysql://127.0.0.1/mysql-db-sync"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ]))?;
    let origin = Arc::new(TopicPartition { topic: "bench".into(), partition: 0 });
    let sink = |(offset, record)| SinkRecord { record, origin: Arc::clone(&origin), offset };
    let batch = SinkBatch { records: (0..).zip(records).map(sink).collect() };
    let runtime = runtime()?;
    let mut task =
        runtime.block_on(async { JdbcSink::<Nowhere>::connect(config).await?.task().await })?;
    bench.stage(stage, shape, || (), |()| Ok(runtime.block_on(task.put(&batch))?))
}

/// A database that takes everything; what is about SQL is MySQL's.
struct Nowhere {
    sql: Vec<u8>,
}

#[async_trait]
impl SinkDatabase for Nowhere {
    const NAME: &'static str = "Nowhere";
    const PROTOCOLS: &'static [&'static str] = MySqlWriter::PROTOCOLS;
    const QUOTE: Quote = MySqlWriter::QUOTE;
    const PARAMETERS: &'static [&'static str] = MySqlWriter::PARAMETERS;
    const TABLE_OPTIONS: &'static str = MySqlWriter::TABLE_OPTIONS;
    const BINARY_OPTIONS: &'static str = MySqlWriter::BINARY_OPTIONS;
    const EXACT_KEY: bool = MySqlWriter::EXACT_KEY;

    async fn connect(_: &SinkConfig) -> Answer<Self> {
        Ok(Self { sql: Vec::new() })
    }
    fn is_closed(&self) -> bool {
        false
    }
    fn format(config: &SinkConfig) -> Answer<Format> {
        MySqlWriter::format(config)
    }
    fn table(&self, mut parts: Vec<String>, _: &SinkConfig) -> Answer<TableName> {
        Ok(TableName { schema: "bench".to_owned(), name: parts.pop().unwrap_or_default() })
    }
    async fn describe(&mut self, _: &TableName) -> Answer<Option<(String, Table)>> {
        Ok(Some(("TABLE".to_owned(), TABLE.with_borrow(Clone::clone))))
    }
    fn at_once(operation: Operation, table: &Table) -> AtOnce {
        MySqlWriter::at_once(operation, table)
    }
    async fn define(&mut self, _: &str) -> Answer<()> {
        Ok(())
    }
    async fn begin(&mut self) -> Answer<()> {
        self.sql.clear();
        Ok(())
    }
    async fn write(&mut self, write: &Write<'_>) -> Answer<()> {
        statement(write, &mut self.sql)
    }
    async fn commit(&mut self) -> Answer<()> {
        self.sql.clear();
        Ok(())
    }
    async fn rollback(&mut self) -> Answer<()> {
        Ok(())
    }
    async fn claim(
        &mut self,
        _: &TableName,
        _: &str,
        _: &[(String, i32)],
    ) -> Answer<Vec<OffsetRow>> {
        Ok(Vec::new())
    }
    async fn offsets(&mut self, _: &TableName, _: &str) -> Answer<Vec<OffsetRow>> {
        Ok(Vec::new())
    }
    async fn store(&mut self, _: &TableName, _: &str, _: &OffsetRow) -> Answer<bool> {
        Ok(true)
    }
    fn column_type(schema: &Schema, aiven: bool) -> String {
        MySqlWriter::column_type(schema, aiven)
    }
    fn inferred(inferred: Inferred) -> &'static str {
        MySqlWriter::inferred(inferred)
    }
    fn widened(name: &str, ty: &str, column: &Column) -> String {
        MySqlWriter::widened(name, ty, column)
    }
    fn literals(out: &mut Vec<u8>) -> impl Cells {
        MySqlWriter::literals(out)
    }
}
