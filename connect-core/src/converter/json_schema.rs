//! Schemas as JSON, in the field order of `JsonConverter.asJsonSchema`.

use std::sync::Arc;

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
pub(super) fn from_json(json: &Json) -> Result<Option<Arc<Schema>>> {
    if json.is_null() { Ok(None) } else { read(json).map(|schema| Some(Arc::new(schema))) }
}

fn read(json: &Json) -> Result<Schema> {
    let part = |key: &'static str| {
        let part = json.get(key).filter(|part| !part.is_null());
        part.ok_or_else(|| {
            Error::data(format!("Schema must contain '{key}'")).context("schema", json)
        })
    };
    let inner = |key| read(part(key)?).map(Arc::new);
    let ty = match part("type")?.as_str() {
        Some("int8") => Type::Int8,
        Some("int16") => Type::Int16,
        Some("int32") => Type::Int32,
        Some("int64") => Type::Int64,
        Some("float") => Type::Float32,
        Some("double") => Type::Float64,
        Some("boolean") => Type::Boolean,
        Some("string") => Type::String,
        Some("bytes") => Type::Bytes,
        Some("array") => Type::Array(inner("items")?),
        Some("map") => Type::Map(inner("keys")?, inner("values")?),
        Some("struct") => Type::Struct(read_fields(part("fields")?)?),
        _ => return Err(Error::data("Unknown schema type").context("type", &json["type"])),
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
    if let Some(default) = json.get("default").filter(|default| !default.is_null()) {
        let message = bytes::Bytes::from(default.to_string());
        schema.default = Some(json_decode::with_schema(&schema, &message, &message, false)?);
    }
    Ok(schema)
}

fn read_fields(json: &Json) -> Result<Vec<Field>> {
    let fields = json
        .as_array()
        .ok_or_else(|| Error::data("Struct schema's \"fields\" argument is not an array."))?;
    let field = |json: &Json| {
        let name = json["field"].as_str().ok_or_else(|| {
            Error::data("Struct schema's field name not specified properly").context("field", json)
        })?;
        Ok(Field { name: name.into(), schema: Arc::new(read(json)?) })
    };
    fields.iter().map(field).collect()
}
