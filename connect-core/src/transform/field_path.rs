//! Names of fields, and paths to nested ones (`transforms.field.SingleFieldPath`).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::data::Text;

/// How a field is named (`transforms.field.FieldSyntaxVersion`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub(super) enum FieldSyntaxVersion {
    /// A field of the outermost struct or map.
    #[default]
    V1,
    /// A path with dots; a name that has dots stands between backticks.
    V2,
}

/// The names to follow, at least one. The error is the JVM's message.
pub(super) fn parse(path: &str, version: FieldSyntaxVersion) -> Result<Vec<Text>, String> {
    if version == FieldSyntaxVersion::V1 {
        return Ok(vec![path.into()]);
    }
    let mut steps = Vec::new();
    let mut rest = path;
    loop {
        let Some(quoted) = rest.strip_prefix('`') else {
            match rest.split_once('.') {
                Some((step, after)) => {
                    steps.push(step.into());
                    rest = after;
                    continue;
                }
                None => steps.push(rest.into()),
            }
            return Ok(steps);
        };
        let start = path.len() - rest.len();
        let (step, after) = unquote(quoted).ok_or_else(|| {
            // Java counts UTF-16 units.
            let at = path[..start].encode_utf16().count();
            format!(
                "Incomplete backtick pair in path: [{path}], consider adding a backslash before backtick at \
                 position {at} to escape it"
            )
        })?;
        steps.push(step.into());
        match after {
            Some(after) => rest = after,
            None => return Ok(steps),
        }
    }
}

/// The name up to the backtick that ends it, and what follows the dot after it. Only a backtick before a dot or at
/// the end can end a name, and not after a backslash.
fn unquote(text: &str) -> Option<(String, Option<&str>)> {
    let (mut name, mut start, mut from) = (String::new(), 0, 0);
    loop {
        let at = from + text[from..].find('`')?;
        let escaped = text[..at].ends_with('\\');
        match (text[at + 1..].chars().next(), escaped) {
            (None, true) => return None,
            (None, false) => {
                name.push_str(&text[start..at]);
                return Some((name, None));
            }
            (Some('.'), true) => {
                name.push_str(&text[start..at - 1]);
                name.push('`');
                start = at + 1;
            }
            (Some('.'), false) => {
                name.push_str(&text[start..at]);
                return Some((name, Some(&text[at + 2..])));
            }
            _ => {}
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let v2 = |path| parse(path, FieldSyntaxVersion::V2);
        for (path, steps) in [
            ("a", vec!["a"]),
            ("a.b.c", vec!["a", "b", "c"]),
            ("a.", vec!["a", ""]),
            (".a", vec!["", "a"]),
            ("`a.b`.c", vec!["a.b", "c"]),
            ("a.`b.c`", vec!["a", "b.c"]),
            ("a`b.c", vec!["a`b", "c"]),
            ("`a`b`.c", vec!["a`b", "c"]),
            ("`a\\`.b`.c", vec!["a`.b", "c"]),
            ("`a`.", vec!["a", ""]),
        ] {
            assert_eq!(v2(path).unwrap(), steps, "{path}");
        }
        assert_eq!(parse("a.b", FieldSyntaxVersion::V1).unwrap(), ["a.b"]);
        assert_eq!(
            v2("é.`b").unwrap_err(),
            "Incomplete backtick pair in path: [é.`b], consider adding a backslash before backtick at position 2 to \
             escape it"
        );
        assert!(v2("`a\\`").is_err());
    }
}
