//! A record as clients send it, and what is wrong with one that cannot be taken, in the words of FastAPI.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

/// Longest id in bytes: Cassandra's limit for a key.
const MAX_ID: usize = 65_535;

/// What carga takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Key, not empty.
    pub id: String,
    /// Value.
    pub valor: String,
}

impl Record {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The value of `detail` in FastAPI's answer 422.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Value> {
        if body.is_empty() {
            return Err(json!([{
                "type": "missing", "loc": ["body"], "msg": "Field required", "input": null
            }]));
        }
        let whole: &RawValue = serde_json::from_slice(body).map_err(|e| invalid_json(body, &e))?;
        // A map and not a struct: of a key that is given twice the last one counts, as everywhere in Python.
        let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(whole.get()) else {
            return Err(json!([{
                "type": "model_attributes_type",
                "loc": ["body"],
                "msg": "Input should be a valid dictionary or object to extract fields from",
                "input": whole,
            }]));
        };
        let mut wrong = Vec::new();
        let id = field(&fields, "id", whole, &mut wrong);
        let valor = field(&fields, "valor", whole, &mut wrong);
        if let Some(id) = &id {
            wrong.extend(length_of_id(id));
        }
        match (id, valor) {
            (Some(id), Some(valor)) if wrong.is_empty() => Ok(Self { id, valor }),
            _ => Err(Value::Array(wrong)),
        }
    }
}

/// A string, or a number as it is written.
fn field(
    fields: &BTreeMap<String, &RawValue>,
    name: &str,
    whole: &RawValue,
    wrong: &mut Vec<Value>,
) -> Option<String> {
    let Some(raw) = fields.get(name).map(|raw| raw.get()) else {
        let loc = ["body", name];
        wrong.push(json!({"type": "missing", "loc": loc, "msg": "Field required", "input": whole}));
        return None;
    };
    if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Some(raw.to_owned());
    }
    if let Ok(text) = serde_json::from_str(raw) {
        return Some(text);
    }
    wrong.push(json!({
        "type": "string_type",
        "loc": ["body", name],
        "msg": "Input should be a valid string",
        "input": fields[name],
    }));
    None
}

fn length_of_id(id: &str) -> Option<Value> {
    let (kind, msg, ctx) = if id.is_empty() {
        ("string_too_short", "String should have at least 1 character", json!({"min_length": 1}))
    } else if id.len() > MAX_ID {
        (
            "string_too_long",
            "String should have at most 65535 characters",
            json!({"max_length": MAX_ID}),
        )
    } else {
        return None;
    };
    Some(json!({"type": kind, "loc": ["body", "id"], "msg": msg, "input": id, "ctx": ctx}))
}

fn invalid_json(body: &[u8], error: &serde_json::Error) -> Value {
    let before: usize =
        body.split_inclusive(|b| *b == b'\n').take(error.line().max(1) - 1).map(<[u8]>::len).sum();
    json!([{
        "type": "json_invalid",
        "loc": ["body", before + error.column().saturating_sub(1)],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error.to_string()},
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(body: &str) -> (String, String) {
        let Record { id, valor } = Record::parse(body.as_bytes()).unwrap();
        (id, valor)
    }

    #[test]
    fn numbers_are_taken_as_written() {
        let cases = [
            (r#"{"id":"1237","valor":"Teste de integração"}"#, "1237", "Teste de integração"),
            (r#"{"id":1,"valor":1.50}"#, "1", "1.50"),
            (
                r#"{"valor":-0,"id":123456789012345678901234567890}"#,
                "123456789012345678901234567890",
                "-0",
            ),
            (r#"{"id":"1","valor":1e400}"#, "1", "1e400"),
            (r#" {"id":"1","id":"2","valor":"\u00e7\n","x":[]} "#, "2", "ç\n"),
        ];
        for (body, id, valor) in cases {
            assert_eq!(taken(body), (id.to_owned(), valor.to_owned()), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_fastapi_says_it() {
        let detail = |body: &str| Record::parse(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            detail(r#"{"id": "1"}"#),
            r#"[{"type":"missing","loc":["body","valor"],"msg":"Field required","input":{"id":"1"}}]"#
        );
        assert_eq!(
            detail(r#"{"id": null, "valor": [1, 2.50]}"#),
            r#"[{"type":"string_type","loc":["body","id"],"msg":"Input should be a valid string","input":null},{"type":"string_type","loc":["body","valor"],"msg":"Input should be a valid string","input":[1,2.5]}]"#
        );
        assert_eq!(
            detail("[]"),
            r#"[{"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[]}]"#
        );
        assert_eq!(
            detail(""),
            r#"[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]"#
        );
        assert!(detail("{}").contains(r#"["body","id"]"#));
        assert!(detail(r#"{"id":"","valor":""}"#).contains("string_too_short"));
        assert!(
            detail(&json!({"id": "x".repeat(65_536), "valor": ""}).to_string())
                .contains("string_too_long")
        );
        let invalid = detail("{\n\"id\": 1,}");
        assert!(invalid.contains(r#""type":"json_invalid","loc":["body",10]"#), "{invalid}");
        assert!(detail("\u{0}").contains("json_invalid"));
        assert!(Record::parse(&[b'"', 0xff, b'"']).is_err());
    }
}
