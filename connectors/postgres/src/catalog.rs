//! What the catalog tells: tables and columns.

use connect_core::error::{Error, Result};
use connectors_jdbc::{
    names::{Quote, listed},
    source::SourceConfig,
};
use tokio_postgres::Client;

use crate::connection::error;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl Table {
    /// `schema.name`, as offsets have it.
    pub(crate) fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
    /// For a statement.
    pub(crate) fn quoted(&self) -> String {
        Quote::Double.qualified(&[&self.schema, &self.name])
    }
}

/// A column of a table or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Type, that under a domain.
    pub(crate) oid: u32,
    /// Type modifier: length, precision and scale; -1 if there is none.
    pub(crate) modifier: i32,
    pub(crate) nullable: bool,
    /// Serial or identity.
    pub(crate) auto_increment: bool,
}

/// The tables to copy, in alphabetical order.
pub(crate) async fn tables(client: &Client, config: &SourceConfig) -> Result<Vec<Table>> {
    const SQL: &str = "SELECT n.nspname, c.relname, \
        CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' \
             WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' END \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname LIKE $1 \
          AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2";
    let pattern = config.schema_pattern.as_deref().unwrap_or("%");
    let rows = client.query(SQL, &[&pattern]).await.map_err(|e| error("listing tables", e))?;
    let mut tables = Vec::new();
    for row in rows {
        let table = Table { schema: row.get(0), name: row.get(1) };
        let kind: &str = row.get(2);
        let wanted = config.table_types.iter().any(|ty| ty.eq_ignore_ascii_case(kind));
        let named = |list| listed(list, Quote::Double, &table.schema, &table.name);
        // As the JVM's: with a whitelist, the blacklist is ignored.
        let chosen = if config.whitelist.is_empty() {
            !named(&config.blacklist)
        } else {
            named(&config.whitelist)
        };
        if wanted && chosen {
            tables.push(table);
        }
    }
    Ok(tables)
}

/// The table of this qualified name.
pub(crate) async fn table(client: &Client, qualified: &str) -> Result<Table> {
    const SQL: &str = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname || '.' || c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let row =
        client.query_opt(SQL, &[&qualified]).await.map_err(|e| error("looking up a table", e))?;
    let missing = || Error::connection("table does not exist").context("table", qualified);
    let row = row.ok_or_else(missing)?;
    Ok(Table { schema: row.get(0), name: row.get(1) })
}

/// The columns of a table, in order.
pub(crate) async fn columns(client: &Client, table: &Table) -> Result<Vec<Column>> {
    const SQL: &str = "SELECT a.attname, \
          CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE a.atttypid END, \
          CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END, \
          NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)), \
          a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false) \
        FROM pg_catalog.pg_attribute a \
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = client.query(SQL, &[&table.schema, &table.name]).await;
    let column = |row: tokio_postgres::Row| Column {
        name: row.get(0),
        oid: row.get(1),
        modifier: row.get(2),
        nullable: row.get(3),
        auto_increment: row.get(4),
    };
    Ok(rows.map_err(|e| error("reading columns", e))?.into_iter().map(column).collect())
}

/// The columns of a query.
pub(crate) async fn query_columns(client: &Client, query: &str) -> Result<Vec<Column>> {
    let statement = client.prepare(query).await.map_err(|e| error("preparing the query", e))?;
    let column = |column: &tokio_postgres::Column| {
        let base = match column.type_().kind() {
            tokio_postgres::types::Kind::Domain(base) => base.oid(),
            _ => column.type_().oid(),
        };
        Column {
            name: column.name().to_owned(),
            oid: base,
            modifier: column.type_modifier(),
            nullable: true,
            auto_increment: false,
        }
    };
    Ok(statement.columns().iter().map(column).collect())
}
