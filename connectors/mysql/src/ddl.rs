//! Creating tables and adding columns, with the types of the JVM's dialect (`MySqlDatabaseDialect.getSqlType`).

use connect_core::{
    data::{Schema, Type, Value, logical},
    error::{Error, Result},
    sink::SinkRecord,
};
use connectors_jdbc::{names::Quote, sink::PkMode};

use crate::{
    literal,
    plan::{Mapped, Plan, value},
    table::{Column, Kind, Table, TableName},
};

/// A key column of text needs a length; 255 characters of four bytes fit every index.
const TEXT_KEY: &str = "VARCHAR(255)";

/// The definition of a column; none if nothing is known of its values yet.
fn definition(mapped: &Mapped, records: &[SinkRecord]) -> Result<Option<String>> {
    let name = Quote::Backtick.identifier(&mapped.name);
    let Some(schema) = &mapped.schema else {
        let values = records.iter().map(|record| value(record, mapped.part));
        let inferred = values.fold(None, |ty, value| widened(ty, infer(&value)));
        let Some(ty) = inferred else { return Ok(None) };
        let ty = if mapped.key && ty == "TEXT" { TEXT_KEY } else { ty };
        return Ok(Some(format!("{name} {ty} {}", if mapped.key { "NOT NULL" } else { "NULL" })));
    };
    let ty = match &*sql_type(schema) {
        "TEXT" if mapped.key => TEXT_KEY.to_owned(),
        ty => ty.to_owned(),
    };
    let constraint = match &schema.default {
        // As the JVM's: a default takes the place of NOT NULL.
        Some(default) => {
            let column =
                Column { name: mapped.name.to_string(), kind: Kind::Text, declared: ty.clone() };
            let mut text = Vec::new();
            literal::write(default, Some(schema), &column, &mut text)?;
            let text = String::from_utf8(text)
                .map_err(|e| Error::internal("a default that is not UTF-8").with_source(e))?;
            format!("DEFAULT {text}")
        }
        None if schema.optional && !mapped.key => "NULL".to_owned(),
        None => "NOT NULL".to_owned(),
    };
    Ok(Some(format!("{name} {ty} {constraint}")))
}

fn sql_type(schema: &Schema) -> String {
    match (schema.logical_name(), &schema.ty) {
        (Some(logical::DECIMAL), _) => {
            return format!("DECIMAL(65,{})", schema.scale().clamp(0, 38));
        }
        (Some(logical::DATE), _) => "DATE",
        (Some(logical::TIME), _) => "TIME(3)",
        (Some(logical::TIMESTAMP), _) => "DATETIME(3)",
        (_, Type::Int8) => "TINYINT",
        (_, Type::Int16) => "SMALLINT",
        (_, Type::Int32) => "INT",
        (_, Type::Int64) => "BIGINT",
        (_, Type::Float32) => "FLOAT",
        (_, Type::Float64) => "DOUBLE",
        (_, Type::Boolean) => "TINYINT",
        (_, Type::String) => "TEXT",
        (_, Type::Bytes) => "VARBINARY(1024)",
        (_, Type::Array(_) | Type::Map(..) | Type::Struct(_)) => "JSON",
    }
    .to_owned()
}

/// The type for a schemaless value; none for null, which fits any.
fn infer(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(_) => "TINYINT",
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => "BIGINT",
        Value::Float32(_) | Value::Float64(_) => "DOUBLE",
        Value::Decimal(_) => "DECIMAL(65,0)",
        Value::Array(_) | Value::Map(_) | Value::Struct(_) => "JSON",
        Value::Bytes(_) => "LONGBLOB",
        _ => "TEXT",
    })
}

/// A type that takes the values of both.
fn widened(a: Option<&'static str>, b: Option<&'static str>) -> Option<&'static str> {
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(a), Some(b)) => Some(match (a, b) {
            ("TINYINT", "BIGINT") | ("BIGINT", "TINYINT") => "BIGINT",
            ("DECIMAL(65,0)", "BIGINT" | "TINYINT") | ("BIGINT" | "TINYINT", "DECIMAL(65,0)") => {
                "DECIMAL(65,0)"
            }
            ("DOUBLE", "BIGINT" | "TINYINT") | ("BIGINT" | "TINYINT", "DOUBLE") => "DOUBLE",
            _ => "TEXT",
        }),
    }
}

/// `CREATE TABLE` with a column for each field of the plan.
pub(crate) fn create(
    table: &TableName,
    plan: &Plan,
    pk_mode: PkMode,
    records: &[SinkRecord],
) -> Result<String> {
    // Value fields in their order, keys that are not among them last; Kafka's coordinates first.
    let mut ordered: Vec<&Mapped> = plan.mapped.iter().collect();
    if pk_mode != PkMode::Kafka {
        ordered.sort_by_key(|mapped| match mapped.part {
            crate::plan::Part::ValueField(at) => (0, at),
            crate::plan::Part::KeyField(at) => (1, at),
            _ => (1, 0),
        });
    }
    let mut lines = Vec::new();
    for mapped in ordered {
        // Of a column that was null in every record nothing is known: the widest type takes whatever comes.
        let name = Quote::Backtick.identifier(&mapped.name);
        lines.push(definition(mapped, records)?.unwrap_or_else(|| format!("{name} TEXT NULL")));
    }
    if lines.is_empty() {
        return Err(Error::data("a table needs a column, but the record has no fields"));
    }
    let keys: Vec<String> = plan
        .mapped
        .iter()
        .filter(|mapped| mapped.key)
        .map(|mapped| Quote::Backtick.identifier(&mapped.name))
        .collect();
    if !keys.is_empty() {
        lines.push(format!("PRIMARY KEY({})", keys.join(",")));
    }
    Ok(format!(
        "CREATE TABLE {} (\n{}\n) DEFAULT CHARACTER SET utf8mb4",
        table.quoted(),
        lines.join(",\n")
    ))
}

/// `ALTER TABLE` with the columns that are missing; none if nothing is known of them yet.
pub(crate) fn alter(
    name: &TableName,
    table: &Table,
    plan: &Plan,
    records: &[SinkRecord],
) -> Result<Option<String>> {
    let mut added = Vec::new();
    for mapped in missing(table, plan) {
        let required = mapped.schema.as_ref().is_some_and(|s| !s.optional && s.default.is_none());
        if required || mapped.key {
            return Err(Error::data(format!(
                "Cannot ALTER TABLE {} to add missing field {}, as the field is not optional and does not have a \
                 default value",
                name.describe(),
                mapped.name
            )));
        }
        added.extend(definition(mapped, records)?.map(|definition| format!("ADD {definition}")));
    }
    Ok((!added.is_empty()).then(|| format!("ALTER TABLE {} {}", name.quoted(), added.join(", "))))
}

/// The fields for which the table has no column.
pub(crate) fn missing<'p>(table: &Table, plan: &'p Plan) -> Vec<&'p Mapped> {
    plan.mapped.iter().filter(|mapped| table.column(&mapped.name).is_none()).collect()
}
