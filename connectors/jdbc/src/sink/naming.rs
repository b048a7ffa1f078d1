//! Which table a topic goes to.

use connect_core::error::{Error, Result};

use super::SinkConfig;
use crate::names::Quote;

/// An entry of `topics.to.tables.mapping`.
pub(super) fn mapping(entry: &str) -> Option<(&str, &str)> {
    let (topic, table) = entry.split_once(':')?;
    let (topic, table) = (topic.trim(), table.trim());
    (!topic.is_empty() && !table.is_empty()).then_some((topic, table))
}

/// The parts of the name of a topic's table, the table itself last.
///
/// # Errors
/// If there is a mapping that doesn't have the topic, or no name is left.
pub(super) fn parts(config: &SinkConfig, quote: Quote, topic: &str) -> Result<Vec<String>> {
    let mapped = config.topics_to_tables.iter().filter_map(|entry| mapping(entry));
    let mapped = mapped.into_iter().find(|(known, _)| *known == topic).map(|(_, table)| table);
    let name = match mapped {
        Some(table) => table.to_owned(),
        None if !config.topics_to_tables.is_empty() => {
            return Err(Error::refused(format!(
                "topic {topic} couldn't be found in the topics to tables mapping"
            )));
        }
        None => {
            let table = config.table_name_format.replace("${topic}", topic);
            match config.normalize_names {
                true => table.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_"),
                false => table,
            }
        }
    };
    let parts = config.quoting(quote).split(&name);
    if parts.iter().any(String::is_empty) || parts.len() > 3 {
        return Err(Error::refused(format!(
            "destination table name {name} for topic {topic} is invalid: table, schema.table or \
             catalog.schema.table expected"
        )));
    }
    Ok(parts)
}
