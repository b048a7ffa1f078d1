//! Creating tables and adding columns, with the types of the JVM's dialects (`DatabaseDialect.getSqlType`).

use connect_core::{
    data::{Type, Value},
    error::{Error, Result},
    sink::SinkRecord,
};

use super::{
    SinkConfig,
    cell::{Format, cell},
    database::{Inferred, SinkDatabase},
    plan::{KAFKA_COLUMNS, Mapped, Part, Plan, Values},
    table::{Column, Fill, Kind, Table},
};
use crate::names::TableName;

/// What a statement is made for.
pub(super) struct Definition<'a> {
    pub(super) config: &'a SinkConfig,
    pub(super) format: &'a Format,
    pub(super) values: Values,
    pub(super) name: &'a TableName,
    pub(super) plan: &'a Plan,
    /// The records of the plan, from whose values types are inferred.
    pub(super) records: &'a [&'a SinkRecord],
}

impl Definition<'_> {
    fn identifier<D: SinkDatabase>(&self, name: &str) -> String {
        self.config.quoting(D::QUOTE).identifier(name)
    }

    /// The definition of a column; none if nothing is known of its values yet.
    fn column<D: SinkDatabase>(&self, database: &D, mapped: &Mapped) -> Result<Option<String>> {
        let name = self.identifier::<D>(&mapped.name);
        let ty = if mapped.timestamp {
            Some(D::inferred(Inferred::Timestamp).to_owned())
        } else {
            mapped.schema.as_ref().map(|schema| D::column_type(schema, self.config.aiven))
        };
        let keys = self.plan.mapped.iter().filter(|mapped| mapped.key).count();
        let of_key = |ty: String| match mapped.key {
            true => database.key_type(&ty, keys).unwrap_or(ty),
            false => ty,
        };
        let Some(ty) = ty else {
            let values = self.records.iter().map(|record| self.values.of(record, mapped));
            let inferred = values.fold(None, |ty, value| widened(ty, infer(&value)));
            let Some(inferred) = inferred else { return Ok(None) };
            let ty = of_key(D::inferred(inferred).to_owned());
            return Ok(Some(format!(
                "{name} {ty} {}",
                if mapped.key { "NOT NULL" } else { "NULL" }
            )));
        };
        let ty = of_key(ty);
        let constraint = match mapped.schema.as_ref().map(|s| (s.optional, s.default.as_ref())) {
            // As the JVM's: a default takes the place of NOT NULL.
            Some((_, Some(default))) => {
                format!("DEFAULT {}", D::default(&ty, self.default::<D>(mapped, default)?))
            }
            Some((true, None)) if !mapped.key => "NULL".to_owned(),
            _ => "NOT NULL".to_owned(),
        };
        Ok(Some(format!("{name} {ty} {constraint}")))
    }

    fn default<D: SinkDatabase>(&self, mapped: &Mapped, default: &Value) -> Result<String> {
        let kind = mapped.meaning.kind().unwrap_or(match (&mapped.schema, default) {
            (Some(schema), Value::Bytes(_)) if schema.ty == Type::Bytes => Kind::Binary(None),
            (_, Value::Boolean(_)) => Kind::Boolean,
            (_, Value::Decimal(_)) => Kind::Decimal(None, None),
            (_, Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_)) => {
                Kind::Decimal(None, None)
            }
            (_, Value::Float32(_) | Value::Float64(_)) => Kind::Float { single: false },
            (Some(schema), Value::Array(_)) if D::column_type(schema, false).ends_with("[]") => {
                Kind::Array(Box::new(Kind::Other))
            }
            (_, Value::Array(_) | Value::Map(_) | Value::Struct(_)) => Kind::Json,
            _ => Kind::Text(None),
        });
        let column = Column {
            name: mapped.name.to_string(),
            kind,
            declared: "DEFAULT".into(),
            cast: String::new(),
            exact: true,
            nullable: true,
            fill: Fill::Null,
            certain: usize::MAX,
            attributes: String::new(),
        };
        let mapped = Mapped { timestamp: false, ..mapped.clone() };
        let mut text = Vec::new();
        cell(default, &mapped, &column, self.format, &mut D::literals(&mut text))?;
        String::from_utf8(text)
            .map_err(|e| Error::internal("a default that is not UTF-8").with_source(e))
    }

    /// `CREATE TABLE` with a column for each field of the plan.
    ///
    /// # Errors
    /// If the configuration does not allow it, or there are no fields.
    pub(super) fn create<D: SinkDatabase>(&self, database: &D) -> Result<String> {
        if !self.config.auto_create {
            return Err(Error::refused(format!(
                "Table {} is missing and auto-creation is disabled",
                self.name.qualified()
            )));
        }
        // As `FieldsMetadata`: Kafka's coordinates under their own names, then value fields in their order, also those
        // that are of the key, then the rest by name.
        let mut ordered: Vec<&Mapped> = self.plan.mapped.iter().collect();
        ordered.sort_by_key(|mapped| {
            let coordinate = KAFKA_COLUMNS.iter().position(|name| mapped.name == *name);
            match (coordinate, self.plan.value_position(mapped), mapped.part) {
                (Some(at), ..) => (0, at, ""),
                (_, Some(at), _) => (1, at, ""),
                (.., Part::Value) => (1, 0, ""),
                _ => (2, 0, &*mapped.name),
            }
        });
        let mut lines = Vec::new();
        for mapped in ordered {
            // Of a column that was null in every record nothing is known: the widest type takes whatever comes.
            let widest = || {
                let name = self.identifier::<D>(&mapped.name);
                format!("{name} {} NULL", D::inferred(Inferred::Text))
            };
            lines.push(self.column(database, mapped)?.unwrap_or_else(widest));
        }
        if lines.is_empty() {
            return Err(Error::data("a table needs a column, but the record has no fields"));
        }
        let keys = self.plan.mapped.iter().filter(|mapped| mapped.key);
        let keys: Vec<String> = keys.map(|mapped| self.identifier::<D>(&mapped.name)).collect();
        if !keys.is_empty() {
            lines.push(format!("PRIMARY KEY({})", keys.join(",")));
        }
        let name = self.name.quoted(self.config.quoting(D::QUOTE));
        Ok(format!("CREATE TABLE {name} (\n{}\n){}", lines.join(",\n"), D::TABLE_OPTIONS))
    }

    /// `ALTER TABLE` with the columns that are missing; none if nothing is known of them yet.
    ///
    /// # Errors
    /// If the configuration or the table does not allow it.
    pub(super) fn alter<D: SinkDatabase>(
        &self,
        database: &D,
        table: &Table,
    ) -> Result<Option<String>> {
        let lacking = missing(table, self.plan);
        let names: Vec<&str> = lacking.iter().map(|mapped| &*mapped.name).collect();
        let refused = |what: &str, why: &str| {
            let (name, names) = (self.name.qualified(), names.join(", "));
            Error::data(format!("{what} {name} is missing fields ({names}) and {why}"))
        };
        if !self.config.auto_evolve {
            return Err(refused("Table", "auto-evolution is disabled"));
        }
        if table.view {
            return Err(refused("View", "ALTER VIEW is unsupported"));
        }
        let mut added = Vec::new();
        for mapped in lacking {
            let schema = mapped.schema.as_ref();
            let required = schema.is_some_and(|s| !s.optional && s.default.is_none());
            if required || mapped.key {
                return Err(Error::data(format!(
                    "Cannot ALTER TABLE {} to add missing field {}, as the field is not optional and does not have a \
                     default value",
                    self.name.qualified(),
                    mapped.name
                )));
            }
            let column = self.column(database, mapped)?;
            added.extend(column.map(|definition| format!("ADD {definition}")));
        }
        let name = self.name.quoted(self.config.quoting(D::QUOTE));
        Ok((!added.is_empty()).then(|| format!("ALTER TABLE {name} {}", added.join(", "))))
    }
}

/// The type for a schemaless value; none for null, which fits any.
pub(super) fn infer(value: &Value) -> Option<Inferred> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(_) => Inferred::Boolean,
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => Inferred::Integer,
        Value::Float32(_) | Value::Float64(_) => Inferred::Double,
        Value::Decimal(_) => Inferred::Decimal,
        Value::Array(_) | Value::Map(_) | Value::Struct(_) => Inferred::Json,
        Value::Bytes(_) => Inferred::Bytes,
        Value::Date(_) => Inferred::Date,
        Value::Time(_) => Inferred::Time,
        Value::Timestamp(_) => Inferred::Timestamp,
        Value::String(_) => Inferred::Text,
    })
}

/// A type that takes the values of both.
pub(super) fn widened(a: Option<Inferred>, b: Option<Inferred>) -> Option<Inferred> {
    use Inferred::{Boolean, Date, Decimal, Double, Integer, LongText, Text, Timestamp};
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(a), Some(b)) => Some(match (a, b) {
            (Boolean, Integer) | (Integer, Boolean) => Integer,
            (Decimal, Integer | Boolean | Double) | (Integer | Boolean | Double, Decimal) => {
                Decimal
            }
            (Double, Integer | Boolean) | (Integer | Boolean, Double) => Double,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            (LongText, _) | (_, LongText) => LongText,
            _ => Text,
        }),
    }
}

/// The fields for which the table has no column.
pub(super) fn missing<'p>(table: &Table, plan: &'p Plan) -> Vec<&'p Mapped> {
    let columns = table.columns_for(plan.mapped.iter().map(|mapped| &*mapped.name));
    let lacking = plan.mapped.iter().zip(columns).filter(|(_, column)| column.is_none());
    lacking.map(|(mapped, _)| mapped).collect()
}
