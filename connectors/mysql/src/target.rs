//! What the database tells of the tables that are written.

use connect_core::error::Result;
use connectors_jdbc::{
    names::TableName,
    sink::table::{Column, Kind, Limit, Table},
};
use mysql_async::{
    Row,
    prelude::{FromRow, Queryable},
};

use crate::connection::{Connection, error};

/// A row of `information_schema.COLUMNS`.
struct Found {
    name: String,
    ty: String,
    declared: String,
    nullable: String,
    collation: Option<String>,
    length: Option<u64>,
    precision: Option<u32>,
    scale: Option<i32>,
    digits: Option<u32>,
    relation: String,
}

impl FromRow for Found {
    fn from_row_opt(mut row: Row) -> Result<Self, mysql_async::FromRowError> {
        let found = (|| {
            Some(Self {
                name: row.take(0)?,
                ty: row.take(1)?,
                declared: row.take(2)?,
                nullable: row.take(3)?,
                collation: row.take(4)?,
                length: row.take(5)?,
                precision: row.take(6)?,
                scale: row.take(7)?,
                digits: row.take(8)?,
                relation: row.take(9)?,
            })
        })();
        found.ok_or(mysql_async::FromRowError(row))
    }
}

/// The columns of a table with its kind, as the JVM's driver calls it; none if there is no such table.
pub(crate) async fn describe(
    Connection { conn, mariadb, .. }: &mut Connection,
    table: &TableName,
) -> Result<Option<(String, Table)>> {
    const COLUMNS: &str = "SELECT c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.IS_NULLABLE, c.COLLATION_NAME, \
          c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, t.TABLE_TYPE \
        FROM information_schema.COLUMNS c JOIN information_schema.TABLES t \
          ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME \
        WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION";
    // MariaDB's JSON is text with a check of the column's name; MySQL has a type for it.
    const JSON: &str = "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS \
        WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? AND LOWER(CHECK_CLAUSE) LIKE 'json_valid(%'";
    let failed = |e| error("looking up a table", e).context("table", table.qualified());
    let key = (&table.schema, &table.name);
    let rows: Vec<Found> = conn.exec(COLUMNS, key).await.map_err(failed)?;
    let Some(relation) = rows.first().map(|row| row.relation.clone()) else { return Ok(None) };
    let json: Vec<String> = match mariadb {
        true => conn.exec(JSON, key).await.map_err(failed)?,
        false => Vec::new(),
    };
    let column = |found: Found| {
        let kind = if json.contains(&found.name) { Kind::Json } else { kind(&found) };
        let exact = match &kind {
            Kind::Text(_) | Kind::Labels(_) | Kind::Other => {
                found.collation.as_deref().is_some_and(|collation| collation.ends_with("_bin"))
            }
            Kind::Float { .. } | Kind::Json | Kind::Time { .. } | Kind::DateTime { .. } => false,
            _ => true,
        };
        let nullable = found.nullable.eq_ignore_ascii_case("YES");
        let (name, declared) = (found.name, found.declared);
        Column { name, kind, declared, cast: String::new(), exact, nullable }
    };
    let columns = rows.into_iter().map(column).collect();
    let view = relation.contains("VIEW");
    let kind = if view { "VIEW" } else { "TABLE" };
    Ok(Some((kind.to_owned(), Table { columns, view })))
}

fn kind(found: &Found) -> Kind {
    let unsigned = found.declared.to_ascii_lowercase().contains("unsigned");
    let integer = |bits: u32| match unsigned {
        true => Kind::Integer(0, (1 << bits) - 1),
        false => Kind::Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
    };
    let limit = || found.length.and_then(|n| u32::try_from(n).ok()).filter(|n| *n < u32::MAX);
    let digits = found.digits.unwrap_or(0);
    match found.ty.to_ascii_lowercase().as_str() {
        "tinyint" => integer(8),
        "smallint" => integer(16),
        "mediumint" => integer(24),
        "int" | "integer" => integer(32),
        "bigint" => integer(64),
        "year" => Kind::Year,
        "decimal" | "numeric" => Kind::Decimal(found.precision, found.scale),
        "float" => Kind::Float { single: true },
        "double" | "real" => Kind::Float { single: false },
        "bit" => Kind::Bit(found.precision.unwrap_or(1)),
        "date" => Kind::Date,
        "time" => Kind::Time { instant: false, digits },
        "datetime" => Kind::DateTime { instant: false, digits },
        // Kept in UTC, and shown and read in the session's zone.
        "timestamp" => Kind::DateTime { instant: true, digits },
        "json" => Kind::Json,
        "uuid" => Kind::Uuid,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
            Kind::Text(limit().map(Limit::Characters))
        }
        "enum" | "set" => Kind::Labels(labels(&found.declared)),
        ty if ty.contains("blob") || ty.contains("binary") => Kind::Binary(limit()),
        ty if is_spatial(ty) || ty == "vector" => Kind::Binary(None),
        _ => Kind::Other,
    }
}

/// Whether a type is a geometry, which is written in the form that it is stored in.
pub(crate) fn is_spatial(ty: &str) -> bool {
    const TYPES: [&str; 9] = [
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    ];
    TYPES.contains(&ty)
}

/// The labels of `enum('a','it''s')`.
fn labels(declared: &str) -> Vec<String> {
    let list = declared.split_once("('").map_or("", |(_, list)| list);
    let list = list.strip_suffix("')").unwrap_or(list);
    list.split("','").map(|label| label.replace("''", "'")).collect()
}
