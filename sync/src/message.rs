//! What a message says.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A row to write. The column's type decides what the texts mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) valor: Option<String>,
}

#[derive(Deserialize)]
struct Message<'m> {
    #[serde(borrow, default)]
    id: Option<&'m RawValue>,
    #[serde(borrow, default)]
    valor: Option<&'m RawValue>,
}

/// Reads a message; the error says why it can never be a row.
pub(crate) fn parse(value: Option<&Bytes>) -> Result<Row, String> {
    let value = value.ok_or("the message has no value")?;
    // A list would be taken for the fields in their order.
    if value.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err("the message is not a JSON object but a list".into());
    }
    let message: Message<'_> = serde_json::from_slice(value)
        .map_err(|e| format!("the message is not a JSON object: {e}"))?;
    let id = message.id.map(text).transpose()?.flatten().ok_or("the message has no id")?;
    let valor = message.valor.map(text).transpose()?.flatten();
    Ok(Row { id, valor })
}

/// A string, or a number or boolean as it is written; anything else as its JSON. Null is none.
fn text(json: &RawValue) -> Result<Option<String>, String> {
    let raw = json.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(Some).map_err(|e| e.to_string()),
        _ if raw == "null" => Ok(None),
        _ => Ok(Some(raw.to_owned())),
    }
}

/// As Node's `console.log` shows an object.
pub(crate) fn shown(row: &Row) -> String {
    let valor = row.valor.as_deref().map_or_else(|| "null".to_owned(), quoted);
    format!("{{ id: {}, valor: {valor} }}", quoted(&row.id))
}

fn quoted(text: &str) -> String {
    let quote = match (text.contains('\''), text.contains('"'), text.contains('`')) {
        (true, false, _) => '"',
        (true, true, false) => '`',
        _ => '\'',
    };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &'static str) -> Result<Row, String> {
        parse(Some(&Bytes::from_static(json.as_bytes())))
    }

    #[test]
    fn strings_and_numbers_as_written() {
        let text = row(r#"{"id":"1237","valor":"Teste de integração"}"#).unwrap();
        assert_eq!(shown(&text), "{ id: '1237', valor: 'Teste de integração' }");
        let number = row(r#"{"id":1.50,"valor":{"a":1}}"#).unwrap();
        assert_eq!((&*number.id, number.valor.as_deref()), ("1.50", Some("{\"a\":1}")));
        assert_eq!(row(r#"{"id":7}"#).unwrap().valor, None);
    }

    #[test]
    fn what_is_no_row_says_why() {
        for (json, why) in [
            ("not json", "not a JSON object"),
            ("[1]", "not a JSON object"),
            (r#"{"valor":"x"}"#, "no id"),
            (r#"{"id":null}"#, "no id"),
        ] {
            let error = row(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
        assert!(parse(None).unwrap_err().contains("no value"));
    }

    #[test]
    fn quotes_as_node_does() {
        let row = |valor: &str| Row { id: "1".into(), valor: Some(valor.into()) };
        assert_eq!(shown(&row("it's")), "{ id: '1', valor: \"it's\" }");
        assert_eq!(shown(&row("a\n\\")), "{ id: '1', valor: 'a\\n\\\\' }");
    }
}
