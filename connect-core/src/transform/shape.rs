//! What transformations have in common: requirements (`transforms.util.Requirements`), structs that are read and
//! written as `org.apache.kafka.connect.data.Struct` does it, and schemas that are changed once.

use std::{collections::HashSet, sync::Arc};

use crate::{
    data::{Field, Schema, Text, Type, Value, java},
    error::{Error, Result},
};

/// Entries of a schemaless object.
pub(super) type Entries = Vec<(Value, Value)>;

/// The class of a value without the word `class`.
pub(super) fn class_name(value: &Value) -> &'static str {
    let class = java::class(value);
    class.strip_prefix("class ").unwrap_or(class)
}

/// The entries of a schemaless object.
pub(super) fn require_map<'v>(value: &'v mut Value, purpose: &str) -> Result<&'v mut Entries> {
    match value {
        Value::Map(entries) => Ok(entries),
        other => Err(Error::data(format!(
            "Only Map objects supported in absence of schema for [{purpose}], found: {}",
            class_name(other)
        ))),
    }
}

/// The values of a struct.
pub(super) fn require_struct<'v>(
    value: &'v mut Value,
    purpose: &str,
) -> Result<&'v mut Vec<Value>> {
    match value {
        Value::Struct(values) => Ok(values),
        other => Err(Error::data(format!(
            "Only Struct objects supported for [{purpose}], found: {}",
            class_name(other)
        ))),
    }
}

/// The values of a struct, with the fields that they belong to.
pub(super) fn require_struct_of<'v, 's>(
    schema: &'s Schema,
    value: &'v mut Value,
    purpose: &str,
) -> Result<(&'s [Field], &'v mut Vec<Value>)> {
    let values = require_struct(value, purpose)?;
    let fields = schema.fields();
    if fields.len() == values.len() {
        return Ok((fields, values));
    }
    let mismatch = Error::data("Struct does not match its schema");
    Err(mismatch.context("fields", fields.len()).context("values", values.len()))
}

/// The fields of a struct's schema.
pub(super) fn fields_of(schema: &Schema) -> Result<&[Field]> {
    match &schema.ty {
        Type::Struct(fields) => Ok(fields),
        _ => Err(Error::data("Cannot list fields on non-struct type")),
    }
}

/// Sets an entry of a schemaless object.
pub(super) fn put(entries: &mut Entries, name: &Text, value: Value) {
    match entry(entries, name) {
        Some(old) => *old = value,
        None => entries.push((Value::String(name.clone()), value)),
    }
}

/// An entry of a schemaless object.
pub(super) fn entry<'e>(entries: &'e mut Entries, name: &str) -> Option<&'e mut Value> {
    entries.iter_mut().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

/// What a field that is null is read as: its default, if that is asked for.
pub(super) fn default_of(field: &Field, replace_null: bool) -> Value {
    let default = field.schema.default.as_ref().filter(|_| replace_null);
    default.cloned().unwrap_or_default()
}

/// Takes a field out of a struct and makes it ready for another one: `Struct.get` and `Struct.put`.
pub(super) fn renew(field: &Field, value: &mut Value, replace_null: bool) -> Result<()> {
    if !value.is_null() {
        return Ok(());
    }
    *value = default_of(field, replace_null);
    check_null(field, value)
}

/// [`renew`] for all fields of a struct.
pub(super) fn renew_all(fields: &[Field], values: &mut [Value], replace_null: bool) -> Result<()> {
    fields.iter().zip(values).try_for_each(|(field, value)| renew(field, value, replace_null))
}

/// `ConnectSchema.validateValue`, as far as a null is concerned.
pub(super) fn check_null(field: &Field, value: &Value) -> Result<()> {
    if !value.is_null() || field.schema.optional {
        return Ok(());
    }
    Err(Error::data(format!(
        "Invalid value: null used for required field: \"{}\", schema type: {}",
        field.name,
        type_name(&field.schema.ty)
    )))
}

/// As `Schema.Type` spells it.
pub(super) fn type_name(ty: &Type) -> &'static str {
    match ty {
        Type::Int8 => "INT8",
        Type::Int16 => "INT16",
        Type::Int32 => "INT32",
        Type::Int64 => "INT64",
        Type::Float32 => "FLOAT32",
        Type::Float64 => "FLOAT64",
        Type::Boolean => "BOOLEAN",
        Type::String => "STRING",
        Type::Bytes => "BYTES",
        Type::Array(_) => "ARRAY",
        Type::Map(..) => "MAP",
        Type::Struct(_) => "STRUCT",
    }
}

/// A schema as Java prints it.
pub(super) fn shown(schema: &Schema) -> String {
    let ty = type_name(&schema.ty);
    match &schema.name {
        Some(name) => format!("Schema{{{name}:{ty}}}"),
        None => format!("Schema{{{ty}}}"),
    }
}

/// A schema of this type with name, version, documentation and parameters of another (`SchemaUtil.copySchemaBasics`).
pub(super) fn basics_of(source: &Schema, ty: Type) -> Schema {
    Schema {
        name: source.name.clone(),
        version: source.version,
        doc: source.doc.clone(),
        parameters: source.parameters.clone(),
        ..Schema::new(ty)
    }
}

/// A struct of these fields, whose names must differ (`SchemaBuilder.field`).
pub(super) fn struct_of(fields: Vec<Field>) -> Result<Type> {
    let mut names = HashSet::with_capacity(fields.len());
    for Field { name, .. } in &fields {
        if name.is_empty() {
            return Err(Error::data("fieldName cannot be null."));
        }
        if !names.insert(&**name) {
            return Err(Error::data(format!(
                "Cannot create field because of field name duplication {name}"
            )));
        }
    }
    Ok(Type::Struct(fields))
}

/// What was made of a schema, made once: the last few, by the address of the schema, which is kept as long.
pub(super) struct PerSchema<T> {
    entries: Vec<(Arc<Schema>, T)>,
}

impl<T> PerSchema<T> {
    /// As many as the JVM's transformations keep.
    const MOST: usize = 16;

    pub(super) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// What belongs to this schema.
    pub(super) fn get(
        &mut self,
        schema: &Arc<Schema>,
        make: impl FnOnce(&Arc<Schema>) -> Result<T>,
    ) -> Result<&T> {
        let at = match self.entries.iter().position(|(known, _)| Arc::ptr_eq(known, schema)) {
            Some(at) => at,
            // Equal schemas share what was made, so that what follows sees one address too.
            None => match self.entries.iter().position(|(known, _)| known == schema) {
                Some(at) => {
                    self.entries[at].0 = Arc::clone(schema);
                    at
                }
                None => {
                    let made = make(schema)?;
                    self.entries.truncate(Self::MOST - 1);
                    self.entries.push((Arc::clone(schema), made));
                    self.entries.len() - 1
                }
            },
        };
        // The last used is first, the least recently used is last.
        self.entries[..=at].rotate_right(1);
        Ok(&self.entries[0].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_for_equal_schemas_and_only_so_many_are_kept() {
        let schema =
            |version| Arc::new(Schema { version: Some(version), ..Schema::new(Type::Int8) });
        let mut cache = PerSchema::new();
        let first = schema(0);
        assert_eq!(*cache.get(&first, |_| Ok(0)).unwrap(), 0);
        assert_eq!(*cache.get(&first, |_| panic!("known")).unwrap(), 0);
        assert_eq!(*cache.get(&schema(0), |_| panic!("an equal one is known")).unwrap(), 0);
        for version in 1..16 {
            cache.get(&schema(version), |_| Ok(version)).unwrap();
        }
        assert_eq!(*cache.get(&schema(0), |_| panic!("not yet forgotten")).unwrap(), 0);
        cache.get(&schema(16), |_| Ok(16)).unwrap();
        assert_eq!(*cache.get(&schema(0), |_| panic!("used lately")).unwrap(), 0);
        assert_eq!(*cache.get(&schema(1), |_| Ok(-1)).unwrap(), -1, "the oldest was forgotten");
        assert_eq!(cache.entries.len(), 16);
    }
}
