//! What the database tells of the tables that are written.

use connect_core::error::Result;
use connectors_jdbc::{
    names::TableName,
    sink::table::{Column, Fill, Kind, Limit, Table},
};
use mysql_async::{
    Row,
    prelude::{FromRow, Queryable},
};

use crate::{connection::Connection, errors::error, literal, ties};

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
    charset: Option<String>,
    octets: Option<u64>,
    default: Option<String>,
    extra: String,
    comment: String,
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
                charset: row.take(10)?,
                octets: row.take(11)?,
                default: row.take(12)?,
                extra: row.take(13)?,
                comment: row.take(14)?,
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
          c.CHARACTER_MAXIMUM_LENGTH, c.NUMERIC_PRECISION, c.NUMERIC_SCALE, c.DATETIME_PRECISION, t.TABLE_TYPE, \
          c.CHARACTER_SET_NAME, c.CHARACTER_OCTET_LENGTH, c.COLUMN_DEFAULT, c.EXTRA, c.COLUMN_COMMENT \
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
    let found_ties = ties::find(conn, table, &relation).await;
    let ties = found_ties.map_err(|e| e.context("table", table.qualified()))?;
    let mariadb = *mariadb;
    let column = |found: Found| {
        let kind = if json.contains(&found.name) { Kind::Json } else { kind(&found) };
        let exact = match &kind {
            // Padded, or without the blanks at the end, when stored.
            Kind::Text(_) | Kind::Binary(_) if matches!(found.ty.as_str(), "char" | "binary") => {
                false
            }
            Kind::Text(_) | Kind::Labels(_) | Kind::Other => {
                found.collation.as_deref().is_some_and(is_exact)
            }
            Kind::Float { .. } | Kind::Json | Kind::Time { .. } | Kind::DateTime { .. } => false,
            _ => true,
        };
        let nullable = found.nullable.eq_ignore_ascii_case("YES");
        // Of another character set, some characters are missing.
        let unicode = found.charset.as_deref().is_none_or(|name| name == "utf8mb4");
        let certain = match &kind {
            Kind::Text(_) if unicode => usize::MAX,
            Kind::Integer(..) | Kind::Decimal(..) | Kind::Uuid | Kind::Boolean => usize::MAX,
            Kind::Binary(_) if !is_spatial(&found.ty) && found.ty != "vector" => usize::MAX,
            _ => 0,
        };
        let (fill, attributes) = (fill(&found), attributes(&found, mariadb));
        let (name, declared) = (found.name, found.declared);
        let cast = String::new();
        Column { name, kind, declared, cast, exact, nullable, fill, certain, attributes }
    };
    let columns = rows.into_iter().map(column).collect();
    let view = relation.contains("VIEW");
    let kind = if view { "VIEW" } else { "TABLE" };
    Ok(Some((kind.to_owned(), Table { columns, view, name_limit: None, ties })))
}

/// Whether a collation takes texts for equal only if they are, also in blanks at their end.
fn is_exact(collation: &str) -> bool {
    let collation = collation.to_ascii_lowercase();
    collation == "binary" || collation.ends_with("_nopad_bin") || collation.ends_with("_0900_bin")
}

fn fill(found: &Found) -> Fill {
    let extra = found.extra.to_ascii_lowercase();
    let default = found.default.as_deref().unwrap_or_default().to_ascii_lowercase();
    if extra.contains(" generated") || extra.contains("invisible generated") {
        Fill::Generated
    } else if extra.contains("auto_increment")
        || extra.contains("on update")
        || default.contains("nextval(")
    {
        Fill::Counted
    } else if found.default.is_some() && default != "null" {
        Fill::Default
    } else {
        Fill::Null
    }
}

/// What a new definition has to repeat of the old one: default, collation, comment.
fn attributes(found: &Found, mariadb: bool) -> String {
    let mut text = String::new();
    let extra = found.extra.to_ascii_lowercase();
    let expression = mariadb || extra.contains("default_generated");
    match &found.default {
        Some(default) if mariadb => text.push_str(&format!(" DEFAULT {default}")),
        Some(default) if expression => text.push_str(&format!(" DEFAULT ({default})")),
        // Long texts, which a text may be widened to, take no literal as default but as an expression.
        Some(default) => text.push_str(&format!(" DEFAULT ({})", literal::text(default))),
        None => {}
    }
    if extra.contains("auto_increment") {
        text.push_str(" AUTO_INCREMENT");
    }
    if !found.comment.is_empty() {
        text.push_str(&format!(" COMMENT {}", literal::text(&found.comment)));
    }
    text
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
        "char" | "varchar" => Kind::Text(limit().map(Limit::Characters)),
        // Their length is in bytes, of whatever character set.
        "tinytext" | "text" | "mediumtext" | "longtext" => {
            let octets = found.octets.and_then(|n| u32::try_from(n).ok());
            let limit = match found.charset.as_deref() {
                Some("latin1" | "ascii") => octets.map(Limit::Characters),
                _ => octets.map(Limit::Bytes),
            };
            Kind::Text(limit.filter(|_| found.octets != Some(u64::from(u32::MAX))))
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
