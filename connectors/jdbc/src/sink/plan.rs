//! Which parts of a record go into which columns. Records of one shape share a plan, so that the work is done once
//! for all rows of a statement.

use std::{borrow::Cow, sync::Arc};

use connect_core::{
    data::{Schema, Text, Type, Value},
    error::{Error, Result},
    record::Record,
    sink::SinkRecord,
};

use super::{
    SinkConfig,
    keys::{InsertMode, PkMode},
    named::Meaning,
};

/// Names of the key columns of `pk.mode=kafka`.
pub(super) const KAFKA_COLUMNS: [&str; 3] =
    ["__connect_topic", "__connect_partition", "__connect_offset"];

/// Where a column's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The topic's name.
    Topic,
    /// The number of the partition.
    Partition,
    /// The offset.
    Offset,
    /// The record's key itself.
    Key,
    /// The record's value itself.
    Value,
    /// A field of the key, by position.
    KeyField(usize),
    /// A field of the value, by position.
    ValueField(usize),
}

/// A field that goes into a column of its name.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// Name of field and column.
    pub name: Text,
    /// Where its value is.
    pub part: Part,
    /// Whether it is of the key.
    pub key: bool,
    /// Schema of its values; none for schemaless ones.
    pub schema: Option<Arc<Schema>>,
    /// Whether it is one of `timestamp.fields.list`.
    pub timestamp: bool,
    /// What the schema's name says of the values.
    pub meaning: Meaning,
}

impl Mapped {
    fn new(name: Text, part: Part, key: bool, schema: Option<Arc<Schema>>) -> Self {
        let meaning = schema.as_ref().map_or(Meaning::Plain, |schema| Meaning::of(schema));
        Self { name, part, key, schema, timestamp: false, meaning }
    }
}

/// What the records of a statement have in common.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Not looked at: null, or a value that is a column by itself.
    Plain,
    /// A struct of this schema.
    Struct(Arc<Schema>),
    /// A schemaless object with these keys, in this order.
    Map(Vec<Text>),
}

impl Shape {
    fn of(schema: Option<&Arc<Schema>>, value: &Value) -> Self {
        match (schema, value) {
            (Some(schema), Value::Struct(_)) => Self::Struct(Arc::clone(schema)),
            (_, Value::Map(entries)) => {
                let name = |(key, _): &(Value, Value)| match key {
                    Value::String(text) => text.clone(),
                    other => format!("{other:?}").into(),
                };
                Self::Map(entries.iter().map(name).collect())
            }
            _ => Self::Plain,
        }
    }

    fn fits(&self, schema: Option<&Arc<Schema>>, value: &Value) -> bool {
        match (self, value) {
            (Self::Struct(known), Value::Struct(_)) => {
                schema.is_some_and(|schema| Arc::ptr_eq(known, schema) || known == schema)
            }
            (Self::Map(names), Value::Map(entries)) => {
                names.len() == entries.len()
                    && names.iter().zip(entries).all(|(name, (key, _))| key.as_str() == Some(name))
            }
            (Self::Plain, Value::Struct(_) | Value::Map(_)) => false,
            (Self::Plain, _) => true,
            _ => false,
        }
    }

    /// The fields by name, with position and schema.
    fn fields(&self) -> Vec<(Text, Option<Arc<Schema>>)> {
        match self {
            Self::Plain => Vec::new(),
            Self::Struct(schema) => {
                let field =
                    |f: &connect_core::data::Field| (f.name.clone(), Some(Arc::clone(&f.schema)));
                schema.fields().iter().map(field).collect()
            }
            Self::Map(names) => names.iter().map(|name| (name.clone(), None)).collect(),
        }
    }
}

/// The mapping of records of one shape.
#[derive(Debug, Clone)]
pub struct Plan {
    key: Shape,
    value: Shape,
    /// The value is text, and a column by itself.
    text: bool,
    /// A tombstone deletes.
    pub delete: bool,
    /// Key columns first, then the others.
    pub mapped: Vec<Mapped>,
}

impl Plan {
    /// Maps the fields of a record.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](connect_core::error::ErrorKind::Data) if the record lacks what the configuration needs.
    pub fn new(config: &SinkConfig, record: &Record) -> Result<Self> {
        let key = Shape::of(record.key_schema.as_ref(), &record.key);
        let value = Shape::of(record.value_schema.as_ref(), &record.value);
        let delete = record.value.is_null();
        let text = matches!(record.value, Value::String(_));
        if !delete && !text && value == Shape::Plain {
            return Err(Error::data(format!(
                "Sink connector '{}' requires records with a non-null Struct value: an object with a field for each \
                 column, or text for the column {}; but it is {}",
                config.name,
                config.string_column,
                record.value.kind()
            )));
        }
        if text && config.pk_mode == PkMode::RecordValue {
            return Err(Error::data(
                "pk.mode=record_value needs an object as value, but it is STRING",
            ));
        }
        if text && !(config.fields_whitelist.is_empty() && config.timestamp_fields.is_empty()) {
            return Err(Error::data(
                "fields.whitelist and timestamp.fields.list need an object as value, but it is STRING",
            ));
        }
        if config.pk_mode == PkMode::None
            && matches!(config.insert_mode, InsertMode::Upsert | InsertMode::Update)
        {
            return Err(Error::refused(format!(
                "Write to table for topic {} in {} mode requires key field names to be known, check the primary key \
                 configuration: pk.mode=kafka, record_key or record_value",
                record.topic.as_deref().unwrap_or_default(),
                format!("{:?}", config.insert_mode).to_uppercase(),
            )));
        }
        let mut plan = Self { key, value, text, delete, mapped: Vec::new() };
        plan.map_key(config, record)?;
        if text {
            plan.map_text(config, record)?;
        } else if !delete {
            plan.map_value(config);
        }
        Ok(plan)
    }

    /// Whether another record is of the same shape.
    pub fn fits(&self, config: &SinkConfig, record: &Record) -> bool {
        let key = config.pk_mode != PkMode::RecordKey
            || self.key.fits(record.key_schema.as_ref(), &record.key);
        key && self.delete == record.value.is_null()
            && self.text == matches!(record.value, Value::String(_))
            && self.value.fits(record.value_schema.as_ref(), &record.value)
    }

    /// Where the value has a field of this name.
    pub fn value_position(&self, mapped: &Mapped) -> Option<usize> {
        self.value.fields().iter().position(|(name, _)| *name == mapped.name)
    }

    fn map_key(&mut self, config: &SinkConfig, record: &Record) -> Result<()> {
        let mut add = |name: &str, part: Part, schema: Option<Arc<Schema>>| {
            self.mapped.push(Mapped::new(name.into(), part, true, schema));
        };
        let given = &config.pk_fields;
        match config.pk_mode {
            PkMode::None => {}
            PkMode::Kafka => {
                let parts = [
                    (Part::Topic, Type::String),
                    (Part::Partition, Type::Int32),
                    (Part::Offset, Type::Int64),
                ];
                for (i, (part, ty)) in parts.into_iter().enumerate() {
                    let name = given.get(i).map_or(KAFKA_COLUMNS[i], String::as_str);
                    add(name, part, Some(Arc::new(Schema::new(ty))));
                }
            }
            PkMode::RecordKey => {
                let fields = self.key.fields();
                match (&record.key, fields.is_empty()) {
                    (Value::Null, _) => {
                        return Err(Error::data(format!(
                            "Sink connector '{}' is configured with 'delete.enabled={}' and 'pk.mode=record_key' and \
                             therefore requires records with a non-null key, but the key is null",
                            config.name, config.delete_enabled
                        )));
                    }
                    (_, true) => match given.as_slice() {
                        [name] => add(name, Part::Key, record.key_schema.clone()),
                        _ => {
                            return Err(Error::data(
                                "Need exactly one PK column defined since the key schema for records is a primitive type",
                            )
                            .context("pk.fields", given.join(",")));
                        }
                    },
                    (_, false) => {
                        choose(given, &fields, "key", |name, at, schema| {
                            add(name, Part::KeyField(at), schema);
                        })?;
                    }
                }
            }
            PkMode::RecordValue => {
                choose(given, &self.value.fields(), "value", |name, at, schema| {
                    add(name, Part::ValueField(at), schema);
                })?;
            }
        }
        Ok(())
    }

    fn map_text(&mut self, config: &SinkConfig, record: &Record) -> Result<()> {
        let name = Text::from(config.string_column.as_str());
        if self.mapped.iter().any(|mapped| mapped.name == name) {
            return Err(Error::refused(format!(
                "string.output.value.column.name is {name}, which is a column of the key"
            )));
        }
        let schema = record.value_schema.clone();
        self.mapped.push(Mapped::new(name, Part::Value, false, schema));
        Ok(())
    }

    fn map_value(&mut self, config: &SinkConfig) {
        let keys = self.mapped.len();
        let fields: Vec<Text> = self.value.fields().into_iter().map(|(name, _)| name).collect();
        for (at, (name, schema)) in self.value.fields().into_iter().enumerate() {
            if self.mapped[..keys].iter().any(|mapped| mapped.name == name) {
                continue;
            }
            let wanted = &config.fields_whitelist;
            if wanted.is_empty() || listed(wanted, &name, &fields) {
                let timestamp = listed(&config.timestamp_fields, &name, &fields);
                let part = Part::ValueField(at);
                let mapped = Mapped { timestamp, ..Mapped::new(name, part, false, schema) };
                // A key that an object has twice counts once, with its last value.
                match self.mapped[keys..].iter_mut().find(|other| other.name == mapped.name) {
                    Some(other) => *other = mapped,
                    None => self.mapped.push(mapped),
                }
            }
        }
    }
}

/// Whether a list names the field; in another case too, as columns are found, unless that is another field's name.
fn listed(list: &[String], name: &str, fields: &[Text]) -> bool {
    let is_other = |entry: &str| fields.iter().any(|field| **field == *entry);
    list.iter().any(|entry| {
        entry == name || (entry.to_lowercase() == name.to_lowercase() && !is_other(entry))
    })
}

/// The chosen fields, or all.
fn choose(
    given: &[String],
    fields: &[(Text, Option<Arc<Schema>>)],
    of: &str,
    mut add: impl FnMut(&str, usize, Option<Arc<Schema>>),
) -> Result<()> {
    if given.is_empty() {
        for (at, (name, schema)) in fields.iter().enumerate() {
            add(name, at, schema.clone());
        }
    }
    for name in given {
        let at = fields.iter().position(|(field, _)| field == name.as_str()).ok_or_else(|| {
            Error::data(format!("pk.fields names a field that the record's {of} does not have"))
                .context("field", name)
        })?;
        add(name, at, fields[at].1.clone());
    }
    Ok(())
}

/// Finds the values of records.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    /// Whether null stands for the default of its field (`replace.null.with.default`).
    pub replace_null: bool,
}

impl Values {
    /// A record's value for a column.
    pub fn of<'r>(self, record: &'r SinkRecord, mapped: &'r Mapped) -> Cow<'r, Value> {
        let found = match mapped.part {
            Part::Topic => Some(Cow::Owned(Value::String(record.origin.topic.clone()))),
            Part::Partition => Some(Cow::Owned(Value::Int32(record.origin.partition))),
            Part::Offset => Some(Cow::Owned(Value::Int64(record.offset))),
            Part::Key => Some(Cow::Borrowed(&record.record.key)),
            Part::Value => Some(Cow::Borrowed(&record.record.value)),
            Part::KeyField(at) => field(&record.record.key, at).map(Cow::Borrowed),
            Part::ValueField(at) => field(&record.record.value, at).map(Cow::Borrowed),
        };
        let value = found.unwrap_or(Cow::Owned(Value::Null));
        if self.replace_null && value.is_null() {
            let default = mapped.schema.as_ref().and_then(|schema| schema.default.as_ref());
            return default.map_or(value, Cow::Borrowed);
        }
        value
    }
}

/// A field by position, of a struct or an object.
fn field(value: &Value, at: usize) -> Option<&Value> {
    match value {
        Value::Struct(values) => values.get(at),
        Value::Map(entries) => entries.get(at).map(|(_, value)| value),
        _ => None,
    }
}
