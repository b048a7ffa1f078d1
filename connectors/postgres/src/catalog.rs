//! What the catalog tells of what is read: tables and columns.

use connect_core::error::{Error, Result};
use connectors_jdbc::{
    datetime::DAY,
    names::TableName,
    source::{SourceConfig, database::Column, database::Order, tables::Found},
};
use tokio_postgres::{
    Client, Row,
    types::{Kind, Type},
};

use crate::connection::error;

/// Type of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgType {
    /// That under any domains.
    pub(crate) oid: u32,
    /// Length, precision and scale; -1 if there is none.
    pub(crate) modifier: i32,
    /// Whether it is an enumeration.
    pub(crate) is_enum: bool,
    /// Of an array: the type of its elements, and how many dimensions it was declared with.
    pub(crate) element: Option<(Box<PgType>, usize)>,
}

impl PgType {
    fn order(&self) -> Order {
        match Type::from_oid(self.oid) {
            Some(Type::INT2 | Type::INT4 | Type::INT8 | Type::OID) => Order::Integer,
            Some(Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8) => Order::Number,
            Some(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME) => Order::Text,
            Some(Type::DATE | Type::TIMESTAMP) => Order::Local,
            Some(Type::TIMESTAMPTZ) => Order::Instant,
            _ => Order::Other,
        }
    }

    /// The smallest difference between two times of the column, in microseconds.
    fn step(&self) -> i64 {
        match (Type::from_oid(self.oid), self.modifier) {
            (Some(Type::DATE), _) => DAY,
            (Some(Type::TIMESTAMP | Type::TIMESTAMPTZ), digits @ 0..=6) => {
                10_i64.pow(6 - digits.unsigned_abs())
            }
            _ => 1,
        }
    }

    fn of(ty: &Type, modifier: i32) -> Self {
        let (element, is_enum) = match ty.kind() {
            Kind::Domain(base) => return Self::of(base, modifier),
            Kind::Array(element) => (Some((Box::new(Self::of(element, modifier)), 1)), false),
            kind => (None, matches!(kind, Kind::Enum(_))),
        };
        Self { oid: ty.oid(), modifier, is_enum, element }
    }
}

/// All tables of the schemas that the pattern allows, in alphabetical order.
pub(crate) async fn tables(client: &Client, config: &SourceConfig) -> Result<Vec<Found>> {
    const SQL: &str = "SELECT n.nspname, c.relname, \
        CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' \
             WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' END \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname LIKE $1 \
          AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2";
    let pattern = config.schema_pattern.as_deref().unwrap_or("%");
    let rows = client
        .query(SQL, &[&pattern])
        .await
        .map_err(|e| error("listing tables", e).retriable(true))?;
    let found = |row: Row| Found {
        table: TableName { schema: row.get(0), name: row.get(1) },
        kind: row.get(2),
    };
    Ok(rows.into_iter().map(found).collect())
}

/// The table of this qualified name.
pub(crate) async fn table(client: &Client, qualified: &str) -> Result<TableName> {
    const SQL: &str = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname || '.' || c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let row = client
        .query_opt(SQL, &[&qualified])
        .await
        .map_err(|e| error("looking up a table", e).retriable(true))?;
    let missing = || Error::connection("table does not exist").context("table", qualified);
    let row = row.ok_or_else(missing)?;
    Ok(TableName { schema: row.get(0), name: row.get(1) })
}

/// The columns of a table, in order.
pub(crate) async fn columns(client: &Client, table: &TableName) -> Result<Vec<Column<PgType>>> {
    // A domain stands for the type below it, however deep.
    const SQL: &str = "WITH RECURSIVE c AS (\
          SELECT a.attnum, a.attname, a.atttypid AS oid, a.atttypmod AS modifier, a.attnotnull AS required, \
            a.attndims::int4 AS dims, a.attidentity <> '' \
              OR coalesce(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false) AS auto \
          FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
          LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
          WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped \
        UNION ALL \
          SELECT c.attnum, c.attname, t.typbasetype, CASE t.typtypmod WHEN -1 THEN c.modifier ELSE t.typtypmod END, \
            c.required OR t.typnotnull, greatest(c.dims, t.typndims), c.auto \
          FROM c JOIN pg_catalog.pg_type t ON t.oid = c.oid AND t.typtype = 'd') \
        SELECT c.attname, c.oid, c.modifier, NOT c.required, c.auto, c.dims, t.typtype = 'e', \
          CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, coalesce(e.typtype = 'e', false) \
        FROM c JOIN pg_catalog.pg_type t ON t.oid = c.oid AND t.typtype <> 'd' \
        LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem ORDER BY c.attnum";
    let rows = client.query(SQL, &[&table.schema, &table.name]).await;
    let column = |row: Row| {
        let (oid, modifier, dims): (u32, i32, i32) = (row.get(1), row.get(2), row.get(5));
        let element: u32 = row.get(7);
        let element = (element != 0).then(|| {
            let ty = PgType { oid: element, modifier, is_enum: row.get(8), element: None };
            (Box::new(ty), usize::try_from(dims).unwrap_or(1).max(1))
        });
        let ty = PgType { oid, modifier, is_enum: row.get(6), element };
        Column {
            name: row.get(0),
            nullable: row.get(3),
            auto_increment: row.get(4),
            order: ty.order(),
            step: ty.step(),
            ty,
        }
    };
    Ok(rows
        .map_err(|e| error("reading columns", e).retriable(true))?
        .into_iter()
        .map(column)
        .collect())
}

/// The columns of a query. As pgjdbc's metadata: one that is a table's own is required if it is there; but in an outer
/// join it may be null all the same.
pub(crate) async fn query_columns(client: &Client, query: &str) -> Result<Vec<Column<PgType>>> {
    const REQUIRED: &str = "SELECT attrelid, attnum FROM pg_catalog.pg_attribute \
        WHERE attrelid = ANY($1) AND attnum > 0 AND attnotnull";
    let failed = |e| error("preparing the query", e);
    let statement = client.prepare(query).await.map_err(failed)?;
    let outer = query.split_whitespace().any(|word| {
        ["left", "right", "full", "outer"].iter().any(|kind| word.eq_ignore_ascii_case(kind))
    });
    let relations: Vec<u32> = statement.columns().iter().filter_map(|c| c.table_oid()).collect();
    let required: Vec<(u32, i16)> = if outer || relations.is_empty() {
        Vec::new()
    } else {
        let rows = client.query(REQUIRED, &[&relations]).await.map_err(failed)?;
        rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let column = |column: &tokio_postgres::Column| {
        let ty = PgType::of(column.type_(), column.type_modifier());
        let origin = column.table_oid().zip(column.column_id());
        Column {
            name: column.name().to_owned(),
            nullable: origin.is_none_or(|origin| !required.contains(&origin)),
            auto_increment: false,
            order: ty.order(),
            step: ty.step(),
            ty,
        }
    };
    Ok(statement.columns().iter().map(column).collect())
}
