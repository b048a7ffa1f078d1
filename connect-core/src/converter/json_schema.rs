//! Schemas as JSON, in the field order of `JsonConverter.asJsonSchema`.

use std::{collections::HashSet, sync::Arc};

use bytes::BytesMut;
use serde_json::Value as Json;

use super::{json_decode, json_encode::Encoder};
use crate::{
    data::{Field, Schema, Text, Type},
    error::{Error, Result},
};

/// Writes a schema.
pub(super) fn to_json(schema: &Schema, encoder: &Encoder) -> Result<String> {
    let mut out = BytesMut::new();
    write(schema, None, encoder, &mut out)?;
    String::from_utf8(out.into()).map_err(|e| Error::internal("schema is not UTF-8").with_source(e))
}

fn write(
    schema: &Schema,
    field: Option<&Text>,
    encoder: &Encoder,
    out: &mut BytesMut,
) -> Result<()> {
    let put = |out: &mut BytesMut, text: &str| out.extend_from_slice(text.as_bytes());
    put(out, "{\"type\":\"");
    put(out, type_name(&schema.ty));
    put(out, "\"");
    match &schema.ty {
        Type::Array(items) => {
            put(out, ",\"items\":");
            write(items, None, encoder, out)?;
        }
        Type::Map(keys, values) => {
            put(out, ",\"keys\":");
            write(keys, None, encoder, out)?;
            put(out, ",\"values\":");
            write(values, None, encoder, out)?;
        }
        Type::Struct(fields) => {
            put(out, ",\"fields\":[");
            for (i, field) in fields.iter().enumerate() {
                put(out, if i == 0 { "" } else { "," });
                write(&field.schema, Some(&field.name), encoder, out)?;
            }
            put(out, "]");
        }
        _ => {}
    }
    put(out, if schema.optional { ",\"optional\":true" } else { ",\"optional\":false" });
    let text = |out: &mut BytesMut, key: &str, value: &str| {
        put(out, key);
        Encoder::text(value, out);
    };
    if let Some(name) = &schema.name {
        text(out, ",\"name\":", name);
    }
    if let Some(version) = schema.version {
        put(out, &format!(",\"version\":{version}"));
    }
    if let Some(doc) = &schema.doc {
        text(out, ",\"doc\":", doc);
    }
    for (i, (name, value)) in schema.parameters.iter().enumerate() {
        put(out, if i == 0 { ",\"parameters\":{" } else { "," });
        Encoder::text(name, out);
        text(out, ":", value);
    }
    if !schema.parameters.is_empty() {
        put(out, "}");
    }
    if let Some(default) = &schema.default {
        put(out, ",\"default\":");
        encoder.value(Some(schema), default, out)?;
    }
    if let Some(field) = field {
        text(out, ",\"field\":", field);
    }
    put(out, "}");
    Ok(())
}

fn type_name(ty: &Type) -> &'static str {
    match ty {
        Type::Int8 => "int8",
        Type::Int16 => "int16",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Float32 => "float",
        Type::Float64 => "double",
        Type::Boolean => "boolean",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Array(_) => "array",
        Type::Map(..) => "map",
        Type::Struct(_) => "struct",
    }
}

/// Reads a schema; JSON null is none.
pub(super) fn from_json(
    json: &Json,
    replace_null_with_default: bool,
) -> Result<Option<Arc<Schema>>> {
    if json.is_null() {
        return Ok(None);
    }
    read(json, replace_null_with_default).map(|schema| Some(Arc::new(schema)))
}

fn read(json: &Json, replace_null_with_default: bool) -> Result<Schema> {
    let inner = |key, missing: &'static str| {
        let part = json.get(key).filter(|part| !part.is_null());
        let part = part.ok_or_else(|| Error::data(missing))?;
        read(part, replace_null_with_default).map(Arc::new)
    };
    let ty =
        json["type"].as_str().ok_or_else(|| Error::data("Schema must contain 'type' field"))?;
    let ty = match ty {
        "int8" => Type::Int8,
        "int16" => Type::Int16,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "float" => Type::Float32,
        "double" => Type::Float64,
        "boolean" => Type::Boolean,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "array" => Type::Array(inner("items", "Array schema did not specify the element type")?),
        "map" => Type::Map(
            inner("keys", "Map schema did not specify the key type")?,
            inner("values", "Map schema did not specify the value type")?,
        ),
        "struct" => Type::Struct(read_fields(&json["fields"], replace_null_with_default)?),
        unknown => return Err(Error::data(format!("Unknown schema type: {unknown}"))),
    };
    let text = |value: &Json| value.as_str().map(Text::from);
    let mut schema = Schema {
        optional: json["optional"].as_bool().unwrap_or(false),
        name: text(&json["name"]),
        version: json["version"].as_i64().and_then(|v| i32::try_from(v).ok()),
        doc: text(&json["doc"]),
        ..Schema::new(ty)
    };
    for (name, value) in json["parameters"].as_object().into_iter().flatten() {
        let value = text(value).ok_or_else(|| {
            Error::data("Schema parameters must have string values.").context("parameter", name)
        })?;
        schema.parameters.push((name.as_str().into(), value));
    }
    if let Some(default) = json.get("default") {
        let message = bytes::Bytes::from(default.to_string());
        let replace = replace_null_with_default;
        let default = json_decode::with_schema(&schema, &message, &message, replace)?;
        schema.default = Some(default).filter(|default| !default.is_null());
    }
    Ok(schema)
}

fn read_fields(json: &Json, replace_null_with_default: bool) -> Result<Vec<Field>> {
    let fields = json
        .as_array()
        .ok_or_else(|| Error::data("Struct schema's \"fields\" argument is not an array."))?;
    let mut names = HashSet::with_capacity(fields.len());
    let field = |json: &'_ Json| {
        let name = json["field"].as_str().ok_or_else(|| {
            Error::data("Struct schema's field name not specified properly").context("field", json)
        })?;
        if !names.insert(name.to_owned()) {
            let message = format!("Cannot create field because of field name duplication {name}");
            return Err(Error::data(message));
        }
        Ok(Field { name: name.into(), schema: Arc::new(read(json, replace_null_with_default)?) })
    };
    fields.iter().map(field).collect()
}
