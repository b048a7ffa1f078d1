//! Reads configuration values as `ConfigDef.parseType` does, and checks lists as `ConfigDef`'s validators do.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};

use crate::{
    config::Invalid,
    error::{Error, Result},
};

/// Default of `replace.null.with.default`.
pub(super) fn yes() -> bool {
    true
}

/// A STRING, without the white space around it.
pub(super) fn trimmed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(String::deserialize(deserializer)?.trim().to_owned())
}

/// A STRING that may be missing; the empty one is given.
pub(super) fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    trimmed(deserializer).map(Some)
}

/// A LIST with its empty elements, which validators refuse.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = trimmed(deserializer)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.split(',').map(|item| item.trim().to_owned()).collect())
}

/// A list as Java prints it.
pub(super) fn shown(list: &[String]) -> String {
    format!("[{}]", list.join(", "))
}

/// `ConfigDef.ValidList.anyNonDuplicateValues`.
pub(super) fn distinct(key: &str, list: &[String], may_be_empty: bool) -> Option<Invalid> {
    let mut seen = HashSet::new();
    let why = if list.is_empty() && !may_be_empty {
        "must not be empty. Valid values include: any non-empty value"
    } else if !list.iter().all(|item| seen.insert(item)) {
        "values must not be duplicated."
    } else if list.iter().any(String::is_empty) {
        "values must not be empty."
    } else {
        return None;
    };
    Some(Invalid::list(key, why))
}

/// `NonEmptyListValidator`.
pub(super) fn non_empty(key: &str, list: &[String]) -> Option<Invalid> {
    list.is_empty().then(|| Invalid::value(key, "[]", "Empty list"))
}

/// `ConfigDef.ValidString.in`, which is particular about case.
pub(super) fn one_of(key: &str, value: &str, choices: &[&str]) -> Option<Invalid> {
    let why = || format!("String must be one of: {}", choices.join(", "));
    (!choices.contains(&value)).then(|| Invalid::value(key, value, &why()))
}

/// Fails with all that is wrong.
pub(super) fn none(invalid: Vec<Invalid>) -> Result<()> {
    if invalid.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = invalid.iter().map(Invalid::message).collect();
    Err(Error::config(all.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_key_of_the_connector() {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let message = |invalid: Option<Invalid>| {
            invalid
                .map(|invalid| invalid.below("transforms.a.", true).message())
                .unwrap_or_default()
        };
        for (bad, why) in [
            (list(&["x", "x"]), "values must not be duplicated."),
            (list(&["x", ""]), "values must not be empty."),
            (list(&[]), "must not be empty. Valid values include: any non-empty value"),
        ] {
            let expected = format!("Configuration 'transforms.a.fields' {why}");
            assert_eq!(message(distinct("fields", &bad, false)), expected);
        }
        assert_eq!(message(distinct("fields", &[], true)), "");
    }
}
