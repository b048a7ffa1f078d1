//! What the catalog tells of the tables that are written.

use connect_core::error::Result;
use connectors_jdbc::{
    names::TableName,
    sink::table::{Column, Fill, Kind, Limit, Table},
};
use tokio_postgres::{Row, types::Type};

use crate::{errors::error, session::Session, sink::MAX_NAME, ties};

/// The columns of a table with its kind, as the JVM's driver calls it; none if there is no such table.
pub(crate) async fn describe(
    client: &Session,
    table: &TableName,
) -> Result<Option<(String, Table)>> {
    // A domain takes what the type below it takes, and is cast to by its own name.
    const SQL: &str = "WITH RECURSIVE b AS (\
          SELECT t.oid AS own, t.oid, -1 AS modifier FROM pg_catalog.pg_type t \
        UNION ALL \
          SELECT b.own, t.typbasetype, t.typtypmod FROM b \
          JOIN pg_catalog.pg_type t ON t.oid = b.oid AND t.typtype = 'd') \
        SELECT CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' \
            WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'FOREIGN TABLE' END, \
          a.attname, format_type(a.atttypid, a.atttypmod), quote_ident(tn.nspname) || '.' || quote_ident(own.typname), \
          base.oid, CASE own.typtype WHEN 'd' THEN b.modifier ELSE a.atttypmod END, base.typtype = 'e', \
          CASE WHEN base.typcategory = 'A' THEN base.typelem ELSE 0 END, \
          coalesce(co.collisdeterministic, true), NOT a.attnotnull, base.typname, coalesce(el.typtype = 'e', false), \
          CASE WHEN a.attgenerated <> '' THEN 'g' WHEN a.attidentity = 'a' THEN 'a' WHEN a.attidentity = 'd' THEN 'c' \
            WHEN d.oid IS NULL THEN '' WHEN pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%' \
              OR EXISTS (SELECT FROM pg_catalog.pg_depend u WHERE u.classid = 'pg_catalog.pg_attrdef'::regclass \
                AND u.objid = d.oid AND u.refclassid = 'pg_catalog.pg_proc'::regclass AND u.refobjid >= 16384) THEN 'c' \
            ELSE 'd' END, own.typtype = 'd', a.attnum, c.oid \
        FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_type own ON own.oid = a.atttypid JOIN pg_catalog.pg_namespace tn ON tn.oid = own.typnamespace \
        JOIN b ON b.own = own.oid JOIN pg_catalog.pg_type base ON base.oid = b.oid AND base.typtype <> 'd' \
        LEFT JOIN pg_catalog.pg_type el ON el.oid = base.typelem \
        LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation \
        LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped \
          AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum";
    let rows = client.query(SQL, &[&table.schema, &table.name]).await;
    let rows =
        rows.map_err(|e| error("looking up a table", e).context("table", table.qualified()))?;
    let Some(relation) = rows.first().map(|row| row.get::<_, String>(0)) else { return Ok(None) };
    let view = !relation.ends_with("TABLE");
    let Some(oid) = rows.first().map(|row| row.get::<_, u32>(15)) else { return Ok(None) };
    let found = ties::find(client, oid).await;
    let found = found.map_err(|e| e.context("table", table.qualified()))?;
    let columns: Vec<Column> = rows.iter().map(|row| column(row, &found)).collect();
    let of_domains = rows.iter().any(|row| row.get(13));
    let ties = found.ties(of_domains);
    Ok(Some((relation, Table { columns, view, name_limit: Some(MAX_NAME), ties })))
}

fn column(row: &Row, found: &ties::Found) -> Column {
    let (oid, modifier, element): (u32, i32, u32) = (row.get(4), row.get(5), row.get(7));
    let (is_enum, deterministic): (bool, bool) = (row.get(6), row.get(8));
    let type_name: String = row.get(10);
    let kind = match element {
        0 if type_name == "citext" => Kind::Text(None),
        0 => kind(oid, modifier, is_enum),
        element => Kind::Array(Box::new(kind(element, modifier, row.get(11)))),
    };
    let exact = match &kind {
        Kind::Text(_) => deterministic && oid != Type::BPCHAR.oid() && type_name != "citext",
        Kind::Boolean | Kind::Integer(..) | Kind::Decimal(_, Some(_)) | Kind::Uuid => true,
        Kind::Binary(_) | Kind::Date => true,
        Kind::Other => is_enum,
        _ => false,
    };
    // How money is read from text depends on the server's language, from a number it does not.
    let cast = match (row.get(3), oid == Type::MONEY.oid()) {
        (own, true) => format!("pg_catalog.numeric::{own}"),
        (own, false) => own,
    };
    let fill = match row.get::<_, &str>(12) {
        "g" => Fill::Generated,
        "a" => Fill::IdentityAlways,
        "c" => Fill::Counted,
        "d" => Fill::Default,
        _ => Fill::Null,
    };
    let certain = match &kind {
        Kind::Boolean | Kind::Integer(..) | Kind::Uuid => usize::MAX,
        Kind::Float { .. } | Kind::Decimal(_, Some(_)) if oid != Type::MONEY.oid() => usize::MAX,
        Kind::Text(_) | Kind::Binary(_) => found.certain_bytes(row.get(14)),
        _ => 0,
    };
    Column {
        name: row.get(1),
        kind,
        declared: row.get(2),
        cast,
        exact,
        nullable: row.get(9),
        fill,
        certain,
        attributes: String::new(),
    }
}

fn kind(oid: u32, modifier: i32, is_enum: bool) -> Kind {
    let integer = |bits: u32| Kind::Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
    let limit = u32::try_from(modifier - 4).ok().map(Limit::Characters);
    let digits = u32::try_from(modifier).unwrap_or(6);
    if is_enum {
        return Kind::Other;
    }
    match Type::from_oid(oid) {
        Some(Type::BOOL) => Kind::Boolean,
        Some(Type::INT2) => integer(16),
        Some(Type::INT4) => integer(32),
        Some(Type::INT8) => integer(64),
        Some(Type::OID) => Kind::Integer(0, i128::from(u32::MAX)),
        Some(Type::NUMERIC) if modifier < 4 => Kind::Decimal(None, None),
        Some(Type::NUMERIC) => {
            let packed = modifier - 4;
            let scale = ((packed & 0x7ff) ^ 1024) - 1024;
            Kind::Decimal(u32::try_from(packed >> 16).ok(), Some(scale))
        }
        Some(Type::MONEY) => Kind::Decimal(Some(19), Some(2)),
        Some(Type::FLOAT4) => Kind::Float { single: true },
        Some(Type::FLOAT8) => Kind::Float { single: false },
        Some(Type::VARCHAR | Type::BPCHAR) => Kind::Text(limit),
        Some(Type::TEXT) => Kind::Text(None),
        // What is longer is cut by the database.
        Some(Type::NAME) => Kind::Text(Some(Limit::Bytes(63))),
        Some(Type::CHAR) => Kind::Text(Some(Limit::Bytes(1))),
        Some(Type::BYTEA) => Kind::Binary(None),
        Some(Type::BIT) => Kind::Bit(u32::try_from(modifier).unwrap_or(1)),
        Some(Type::VARBIT) => Kind::VarBit(u32::try_from(modifier).ok()),
        Some(Type::INTERVAL | Type::INET | Type::CIDR) => Kind::Formatted,
        Some(Type::MACADDR | Type::MACADDR8 | Type::TS_VECTOR | Type::TSQUERY) => Kind::Formatted,
        Some(Type::DATE) => Kind::Date,
        Some(Type::TIME) => Kind::Time { instant: false, digits },
        Some(Type::TIMETZ) => Kind::Time { instant: true, digits },
        Some(Type::TIMESTAMP) => Kind::DateTime { instant: false, digits },
        Some(Type::TIMESTAMPTZ) => Kind::DateTime { instant: true, digits },
        Some(Type::JSON | Type::JSONB) => Kind::Json,
        Some(Type::UUID) => Kind::Uuid,
        _ => Kind::Other,
    }
}
