//! What is written, and how.
//!
//! All rows of a statement come as one parameter a column, a `text[]`, and are cast to the columns' own types: whatever
//! PostgreSQL reads from text fits.

use async_trait::async_trait;
use connect_core::{
    data::{Schema, Type as ConnectType, logical},
    error::{Error, Result},
};
use connectors_jdbc::{
    datetime::Years,
    names::{Quote, TableName},
    sink::{
        SinkConfig,
        cell::{Cells, Format},
        database::{AtOnce, Bound, Inferred, OffsetRow, Operation, SinkDatabase, Write},
        named::{bits_length, debezium},
        table::{Column, Fill, Table},
    },
    source::keys::CalendarSystem,
    zone::Zone,
};
use tokio_postgres::error::SqlState;

use crate::{
    connection,
    errors::{error, written},
    params::{Literals, Values},
    session::{Parameter, Session},
    target::describe,
};

/// Longest name of a table or column, in bytes (`NAMEDATALEN - 1`); the database cuts longer ones.
pub(crate) const MAX_NAME: usize = 63;

/// A connection to PostgreSQL that is written.
pub struct PostgresWriter {
    client: Session,
    /// Schema of tables that are named without one.
    schema: String,
    /// The parameters; kept for their memory.
    values: Vec<Values>,
    repeated: bool,
}

impl PostgresWriter {
    async fn run(&self, sql: &str, doing: &'static str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| error(doing, e))
    }
}

/// `unnest($1, $2, ...) AS s(c1, c2, ...)`.
fn rows(count: usize) -> String {
    let list =
        |prefix: &str| (1..=count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>().join(",");
    format!("unnest({}) AS s({})", list("$"), list("c"))
}

/// The statement for rows of these columns.
fn sql(write: &Write<'_>) -> Option<String> {
    let quoting = write.config.quoting(Quote::Double);
    let name = |(_, column): &Bound<'_>| quoting.identifier(&column.name);
    let position = |bound: &Bound<'_>| write.columns.iter().position(|b| b.1.name == bound.1.name);
    // Without its length, which a cast would cut the value to: the column refuses what does not fit.
    let value = |bound: &Bound<'_>| {
        format!("s.c{}::{}", position(bound).map_or(0, |at| at + 1), bound.1.cast)
    };
    let table = write.table.quoted(quoting);
    let rows = rows(write.columns.len());
    let is = |bound: &Bound<'_>| format!("q.{}={}", name(bound), value(bound));
    let keys = || write.keys().map(is).collect::<Vec<_>>().join(" AND ");
    // Of an identity column that is GENERATED ALWAYS the record's value counts too.
    let identity = write.inserted().any(|(_, column)| column.fill == Fill::IdentityAlways);
    let insert = || {
        format!(
            "INSERT INTO {table} ({}) {}SELECT {} FROM {rows}",
            write.inserted().map(name).collect::<Vec<_>>().join(","),
            if identity { "OVERRIDING SYSTEM VALUE " } else { "" },
            write.inserted().map(value).collect::<Vec<_>>().join(","),
        )
    };
    Some(match write.operation {
        Operation::Insert => insert(),
        Operation::Upsert => {
            let set = write.others().map(|bound| format!("{0}=EXCLUDED.{0}", name(bound)));
            let set = set.collect::<Vec<_>>().join(",");
            let action = match set.is_empty() {
                true => "DO NOTHING".to_owned(),
                false => format!("DO UPDATE SET {set}"),
            };
            let keys = write.keys().map(name).collect::<Vec<_>>().join(",");
            format!("{} ON CONFLICT ({keys}) {action}", insert())
        }
        Operation::Update => {
            let set = write.others().map(|bound| format!("{}={}", name(bound), value(bound)));
            let set = set.collect::<Vec<_>>().join(",");
            if set.is_empty() {
                return None;
            }
            format!("UPDATE {table} AS q SET {set} FROM {rows} WHERE {}", keys())
        }
        Operation::Delete => format!("DELETE FROM {table} AS q USING {rows} WHERE {}", keys()),
    })
}

/// The type for values of one of Debezium's types.
fn named_type(schema: &Schema) -> Option<String> {
    let ty = match debezium(schema)? {
        "time.Date" | "time.IsoDate" => "DATE",
        "time.Time" | "time.MicroTime" | "time.NanoTime" | "time.IsoTime" => "TIME",
        "time.Timestamp" | "time.MicroTimestamp" | "time.NanoTimestamp" | "time.IsoTimestamp" => {
            "TIMESTAMP"
        }
        "time.ZonedTime" => "TIMETZ",
        "time.ZonedTimestamp" => "TIMESTAMPTZ",
        "time.Interval" | "time.MicroDuration" => "INTERVAL",
        "data.VariableScaleDecimal" => "NUMERIC",
        "data.Bits" => match bits_length(schema) {
            Some(length) => return Some(format!("BIT({length})")),
            None => "VARBIT",
        },
        "data.Json" => "JSONB",
        "data.Xml" => "XML",
        "data.Uuid" => "UUID",
        "data.Tsvector" | "data.TsVector" => "TSVECTOR",
        "data.geometry.Point" => "POINT",
        "data.geometry.Geometry" => "GEOMETRY",
        "data.geometry.Geography" => "GEOGRAPHY",
        _ => return None,
    };
    Some(ty.to_owned())
}

/// The JVM's type of a column (`PostgreSqlDatabaseDialect.getSqlType`).
fn sql_type(schema: &Schema) -> String {
    if let Some(named) = named_type(schema) {
        return named;
    }
    let ty = match (schema.logical_name(), &schema.ty) {
        (Some(logical::DECIMAL), _) => "DECIMAL",
        (Some(logical::DATE), _) => "DATE",
        (Some(logical::TIME), _) => "TIME",
        (Some(logical::TIMESTAMP), _) => "TIMESTAMP",
        (_, ConnectType::Int8 | ConnectType::Int16) => "SMALLINT",
        (_, ConnectType::Int32) => "INT",
        (_, ConnectType::Int64) => "BIGINT",
        (_, ConnectType::Float32) => "REAL",
        (_, ConnectType::Float64) => "DOUBLE PRECISION",
        (_, ConnectType::Boolean) => "BOOLEAN",
        (_, ConnectType::String) => "TEXT",
        (_, ConnectType::Bytes) => "BYTEA",
        (_, ConnectType::Array(item)) => match item.ty {
            ConnectType::Map(..) | ConnectType::Struct(_) if named_type(item).is_none() => "JSONB",
            _ => return format!("{}[]", sql_type(item)),
        },
        (_, ConnectType::Map(..) | ConnectType::Struct(_)) => "JSONB",
    };
    ty.to_owned()
}

#[async_trait]
impl SinkDatabase for PostgresWriter {
    const NAME: &'static str = "PostgresSink";
    const PROTOCOLS: &'static [&'static str] = &["postgresql"];
    const QUOTE: Quote = Quote::Double;
    const PARAMETERS: &'static [&'static str] = connection::PARAMETERS;
    const TABLE_OPTIONS: &'static str = "";
    const BINARY_OPTIONS: &'static str = "";
    const EXACT_KEY: bool = true;

    async fn connect(config: &SinkConfig) -> Result<Self> {
        let client = connection::connect(&config.connection).await?;
        let row = client.one_alone("SELECT current_schema()::text", &[]).await;
        let schema: Option<String> = row.map_err(|e| error("setting up the session", e))?.get(0);
        Ok(Self {
            client,
            schema: schema.unwrap_or_else(|| "public".to_owned()),
            values: Vec::new(),
            repeated: false,
        })
    }

    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn format(config: &SinkConfig) -> Result<Format> {
        let zone = Zone::of(&config.timezone).ok_or_else(|| Error::config("Invalid time zone"))?;
        Ok(Format {
            zone,
            dates: config.date_timezone,
            legacy: config.calendar == CalendarSystem::Legacy,
            unit: config.timestamp_precision,
            years: Years::Any,
            instants: Zone::UTC,
            utc: "+00",
            infinity: true,
            long_times: false,
            untyped: config.connection.parameter("stringtype") == Some("unspecified"),
            nul: false,
            bits_are_numbers: false,
        })
    }

    fn table(&self, mut parts: Vec<String>, config: &SinkConfig) -> Result<TableName> {
        let quoting = config.quoting(Quote::Double);
        let mut name = parts.pop().unwrap_or_default();
        name.truncate((0..=MAX_NAME).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0));
        // A third part is the database, and there is no other than the connection's.
        let schema = parts.pop().unwrap_or_else(|| self.schema.clone());
        Ok(TableName { schema: quoting.folded(&schema), name: quoting.folded(&name) })
    }

    async fn describe(&mut self, name: &TableName) -> Result<Option<(String, Table)>> {
        describe(&self.client, name).await
    }

    async fn define(&mut self, sql: &str) -> Result<()> {
        let defined = self.client.run_alone(sql).await;
        defined.map_err(|e| error("changing a definition", e))
    }

    /// Triggers of foreign keys and of users, unless they come before each row, run at a statement's end; an UPDATE takes
    /// its rows in any order; and no row can meet a conflict twice.
    fn at_once(operation: Operation, table: &Table) -> AtOnce {
        match operation {
            _ if table.ties.acts => AtOnce::One,
            Operation::Insert | Operation::Delete => AtOnce::Any,
            Operation::Upsert => AtOnce::DistinctKeys,
            Operation::Update => AtOnce::One,
        }
    }

    async fn begin(&mut self) -> Result<()> {
        self.repeated = false;
        self.client.begin("", "").await.map_err(|e| error("starting a transaction", e))
    }

    async fn write(&mut self, write: &Write<'_>) -> Result<()> {
        let Some(sql) = sql(write) else { return Ok(()) };
        let count = write.columns.len();
        if self.values.len() < count {
            self.values.resize_with(count, Values::default);
        }
        for (bound, values) in write.columns.iter().zip(&mut self.values) {
            values.clear();
            for record in write.records {
                write.cell(record, *bound, values)?;
            }
        }
        let parameters: Vec<&dyn Parameter> =
            self.values[..count].iter().map(|values| values as _).collect();
        if let Err(e) = self.client.execute(&sql, &parameters).await {
            self.repeated = e.code() == Some(&SqlState::CARDINALITY_VIOLATION);
            return Err(written("writing rows", write.operation == Operation::Insert, e));
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        self.client.batch_execute("COMMIT").await.map_err(|e| written("committing", false, e))
    }

    async fn rollback(&mut self) -> Result<()> {
        self.run("ROLLBACK", "rolling back").await
    }

    fn repeated(&self) -> bool {
        self.repeated
    }

    async fn culprit(&mut self, write: &Write<'_>) -> Option<String> {
        let record = write.records.first()?;
        for bound in write.columns {
            let mut text = Vec::new();
            write.cell(record, *bound, &mut Literals(&mut text)).ok()?;
            // In brackets: the sign of a number comes after a cast.
            let probe = format!("SELECT ({})::{}", String::from_utf8(text).ok()?, bound.1.cast);
            // Whether the value can be read as the column's type: any error of it is the answer.
            if self.client.run_alone(&probe).await.is_err() {
                return Some(bound.1.name.clone());
            }
        }
        None
    }

    async fn claim(
        &mut self,
        table: &TableName,
        connector: &str,
        partitions: &[(String, i32)],
    ) -> Result<Vec<OffsetRow>> {
        let table = table.quoted(Quote::Double.always());
        let sql = format!(
            "INSERT INTO {table} AS o (connector, topic, kafka_partition, next_offset, epoch) \
             VALUES ($1, $2, $3, NULL, 1) ON CONFLICT (connector, topic, kafka_partition) \
             DO UPDATE SET epoch = o.epoch + 1 RETURNING next_offset, epoch"
        );
        let mut rows = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let row = self.client.query_one(&sql, &[&connector, topic, partition]).await;
            let row = row.map_err(|e| error("claiming offsets", e))?;
            let (topic, partition) = (topic.clone(), *partition);
            rows.push(OffsetRow { topic, partition, next: row.get(0), epoch: row.get(1) });
        }
        Ok(rows)
    }

    async fn offsets(&mut self, table: &TableName, connector: &str) -> Result<Vec<OffsetRow>> {
        let table = table.quoted(Quote::Double.always());
        let sql = format!(
            "SELECT topic, kafka_partition, next_offset, epoch FROM {table} WHERE connector = $1"
        );
        let rows = self.client.query(&sql, &[&connector]).await;
        let row = |row: tokio_postgres::Row| OffsetRow {
            topic: row.get(0),
            partition: row.get(1),
            next: row.get(2),
            epoch: row.get(3),
        };
        Ok(rows.map_err(|e| error("reading offsets", e))?.into_iter().map(row).collect())
    }

    async fn store(&mut self, table: &TableName, connector: &str, row: &OffsetRow) -> Result<bool> {
        let table = table.quoted(Quote::Double.always());
        let sql = format!(
            "UPDATE {table} SET next_offset = $1 \
             WHERE connector = $2 AND topic = $3 AND kafka_partition = $4 AND epoch = $5"
        );
        let parameters: [&dyn Parameter; 5] =
            [&row.next, &connector, &row.topic, &row.partition, &row.epoch];
        let stored = self.client.execute(&sql, &parameters).await;
        Ok(stored.map_err(|e| error("storing offsets", e))? == 1)
    }

    fn column_type(schema: &Schema, _: bool) -> String {
        sql_type(schema)
    }

    fn inferred(inferred: Inferred) -> &'static str {
        match inferred {
            Inferred::Boolean => "BOOLEAN",
            Inferred::Integer => "BIGINT",
            Inferred::Double => "DOUBLE PRECISION",
            Inferred::Decimal => "NUMERIC",
            Inferred::Text | Inferred::LongText => "TEXT",
            Inferred::Bytes => "BYTEA",
            Inferred::Json => "JSONB",
            Inferred::Date => "DATE",
            Inferred::Time => "TIME",
            Inferred::Timestamp => "TIMESTAMP",
        }
    }

    fn widened(name: &str, ty: &str, _: &Column) -> String {
        format!("ALTER COLUMN {name} TYPE {ty}")
    }

    fn literals(out: &mut Vec<u8>) -> impl Cells {
        Literals(out)
    }
}
