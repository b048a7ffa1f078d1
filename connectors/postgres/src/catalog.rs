//! What the catalog tells of what is read: tables and columns.

use connect_core::error::{Error, Result};
use connectors_jdbc::{
    datetime::DAY,
    names::{Quote, TableName},
    source::{
        SourceConfig,
        database::{Column, Order},
        statement::body,
        tables::Found,
    },
};
use tokio_postgres::{
    Row,
    types::{Kind, Type},
};

use crate::{errors::error, session::Session};

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
pub(crate) async fn tables(client: &Session, config: &SourceConfig) -> Result<Vec<Found>> {
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
pub(crate) async fn table(client: &Session, qualified: &str) -> Result<TableName> {
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
pub(crate) async fn columns(client: &Session, table: &TableName) -> Result<Vec<Column<PgType>>> {
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

/// The columns of a query: their names, and the types of their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shape(Vec<(String, u32)>);

/// What was found out of a query, as long as its columns are these.
#[derive(Debug, Default)]
pub(crate) struct Described {
    query: String,
    shape: Shape,
    columns: Vec<Column<PgType>>,
}

impl Shape {
    /// Whether all types are PostgreSQL's own.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|(_, oid)| Type::from_oid(*oid).is_some())
    }
}

impl Described {
    /// The columns of a query of this shape, if it is the one that was looked at.
    pub(crate) fn columns(&self, query: &str, shape: &Shape) -> Option<Vec<Column<PgType>>> {
        (self.query == query && self.shape == *shape).then(|| self.columns.clone())
    }
}

/// What stands behind `FROM` to have one row of nulls in the columns `q.c1`, `q.c2`, ... of a query, which is not run.
fn nulls(query: &str, count: usize) -> String {
    let names = (1..=count).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ");
    let query = body(query, Quote::Double);
    format!("(SELECT) o LEFT JOIN (SELECT * FROM ({query}\n) i LIMIT 0) q ({names}) ON true")
}

/// The names of a query's columns. The query is planned, and not run.
pub(crate) async fn names(session: &Session, query: &str) -> Result<Vec<String>> {
    let sql = format!("SELECT * FROM ({}\n) q LIMIT 0", body(query, Quote::Double));
    session.names(&sql).await.map_err(|e| error("preparing the query", e))
}

/// The shape of a query. In a transaction: what it reads stays as it is from here on.
pub(crate) async fn shape(session: &Session, query: &str) -> Result<Shape> {
    let names = names(session, query).await?;
    if names.is_empty() {
        return Ok(Shape::default());
    }
    let types = (1..=names.len()).map(|n| format!("pg_typeof(q.c{n})::oid"));
    let types = types.collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {types} FROM {}", nulls(query, names.len()));
    let row = session.query_one(&sql, &[]).await.map_err(|e| error("preparing the query", e))?;
    Ok(Shape(names.into_iter().enumerate().map(|(at, name)| (name, row.get(at))).collect()))
}

/// The columns of a query whose types are PostgreSQL's own.
pub(crate) async fn plain_columns(
    session: &Session,
    query: &str,
    shape: &Shape,
) -> Result<Vec<Column<PgType>>> {
    let Shape(named) = shape;
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let list = (1..=named.len()).map(|n| format!("q.c{n}")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {list} FROM {}", nulls(query, named.len()));
    let row = session.query_one(&sql, &[]).await.map_err(|e| error("preparing the query", e))?;
    let names = named.iter().map(|(name, _)| name.as_str());
    columns_of(session, query, names.zip(row.columns()).collect()).await
}

/// The columns of a query of this shape, in which types are not PostgreSQL's own: their definitions are looked up by the
/// driver, on a session that ends with that.
pub(crate) async fn described(
    other: Session,
    session: &Session,
    query: &str,
    shape: Shape,
) -> Result<Described> {
    let statement = other.prepared(body(query, Quote::Double)).await;
    let statement = statement.map_err(|e| error("preparing the query", e))?;
    let columns = statement.columns().iter().map(|column| (column.name(), column)).collect();
    let columns = columns_of(session, query, columns).await?;
    Ok(Described { query: query.to_owned(), shape, columns })
}

/// As pgjdbc's metadata: a column that is a table's own is required if it is there; but in an outer join it may be null
/// all the same.
async fn columns_of(
    session: &Session,
    query: &str,
    found: Vec<(&str, &tokio_postgres::Column)>,
) -> Result<Vec<Column<PgType>>> {
    const REQUIRED: &str = "SELECT attrelid, attnum FROM pg_catalog.pg_attribute \
        WHERE attrelid = ANY($1) AND attnum > 0 AND attnotnull";
    let outer = query.split_whitespace().any(|word| {
        ["left", "right", "full", "outer"].iter().any(|kind| word.eq_ignore_ascii_case(kind))
    });
    let relations: Vec<u32> = found.iter().filter_map(|(_, c)| c.table_oid()).collect();
    let required: Vec<(u32, i16)> = if outer || relations.is_empty() {
        Vec::new()
    } else {
        let rows = session.query(REQUIRED, &[&relations]).await;
        let rows = rows.map_err(|e| error("preparing the query", e))?;
        rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let column = |(name, column): (&str, &tokio_postgres::Column)| {
        let ty = PgType::of(column.type_(), column.type_modifier());
        let origin = column.table_oid().zip(column.column_id());
        Column {
            name: name.to_owned(),
            nullable: origin.is_none_or(|origin| !required.contains(&origin)),
            auto_increment: false,
            order: ty.order(),
            step: ty.step(),
            ty,
        }
    };
    Ok(found.into_iter().map(column).collect())
}
