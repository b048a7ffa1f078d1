//! What the database says of a table.

use connect_core::error::Result;
use connectors_jdbc::names::Quote;
use mysql_async::{Conn, prelude::Queryable};

use crate::connection::error;

/// A table in its database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TableName {
    pub(crate) database: String,
    pub(crate) name: String,
}

impl TableName {
    /// Reads `table` or `database.table`.
    pub(crate) fn parse(text: &str, database: &str) -> Self {
        let mut parts = Quote::Backtick.split(text);
        let name = parts.pop().unwrap_or_default();
        let database = parts.pop().unwrap_or_else(|| database.to_owned());
        Self { database, name }
    }
    /// For a statement.
    pub(crate) fn quoted(&self) -> String {
        Quote::Backtick.qualified(&[&self.database, &self.name])
    }
    /// For messages.
    pub(crate) fn describe(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// What a column takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole numbers between these.
    Integer(i128, i128),
    Decimal,
    Float,
    /// Text of any kind, enumerations included.
    Text,
    Binary,
    Bit,
    Date,
    Time,
    DateTime,
    Json,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Type as the database writes it, for messages.
    pub(crate) declared: String,
}

/// Columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
}

impl Table {
    /// A column by name, in any case.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }
}

/// Looks a table up; none if it doesn't exist.
pub(crate) async fn describe(conn: &mut Conn, table: &TableName) -> Result<Option<Table>> {
    const COLUMNS: &str = "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE FROM information_schema.COLUMNS \
        WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
    let failed = |e| error("looking up a table", e).context("table", table.describe());
    let key = (&table.database, &table.name);
    let rows: Vec<(String, String, String)> = conn.exec(COLUMNS, key).await.map_err(failed)?;
    let json = json_columns(conn, table).await.map_err(failed)?;
    let column = |(name, ty, declared): (String, String, String)| Column {
        kind: if json.contains(&name) { Kind::Json } else { kind(&ty, &declared) },
        name,
        declared,
    };
    let columns: Vec<Column> = rows.into_iter().map(column).collect();
    Ok((!columns.is_empty()).then_some(Table { columns }))
}

/// MariaDB's JSON is text with a check of the column's name; MySQL has a type for it.
async fn json_columns(conn: &mut Conn, table: &TableName) -> mysql_async::Result<Vec<String>> {
    const SQL: &str = "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS \
        WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? AND LOWER(CHECK_CLAUSE) LIKE 'json_valid(%'";
    let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
    if !version.is_some_and(|version| version.contains("MariaDB")) {
        return Ok(Vec::new());
    }
    conn.exec(SQL, (&table.database, &table.name)).await
}

fn kind(ty: &str, declared: &str) -> Kind {
    let unsigned = declared.to_ascii_lowercase().contains("unsigned");
    let integer = |bits: u32| match unsigned {
        true => Kind::Integer(0, (1 << bits) - 1),
        false => Kind::Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
    };
    match ty.to_ascii_lowercase().as_str() {
        "tinyint" => integer(8),
        "smallint" => integer(16),
        "mediumint" => integer(24),
        "int" | "integer" => integer(32),
        "bigint" => integer(64),
        "year" => Kind::Integer(0, 2155),
        "decimal" | "numeric" => Kind::Decimal,
        "float" | "double" | "real" => Kind::Float,
        "bit" => Kind::Bit,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "datetime" | "timestamp" => Kind::DateTime,
        "json" => Kind::Json,
        ty if ty.contains("blob") || ty.contains("binary") => Kind::Binary,
        _ => Kind::Text,
    }
}
