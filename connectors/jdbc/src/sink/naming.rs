//! Which table a topic goes to.

use std::collections::HashMap;

use connect_core::{
    data::Text,
    error::{Error, Result},
};

use super::{SinkConfig, database::SinkDatabase};
use crate::names::{Quote, TableName};

/// An entry of `topics.to.tables.mapping`.
pub(super) fn mapping(entry: &str) -> Option<(&str, &str)> {
    let (topic, table) = entry.split_once(':')?;
    let (topic, table) = (topic.trim(), table.trim());
    (!topic.is_empty() && !table.is_empty()).then_some((topic, table))
}

/// The tables of topics. Two topics share one only where the configuration says so in words: by `table.name.format`, by
/// `topics.to.tables.mapping`, or by a transformation that gives their records one topic.
#[derive(Debug, Default)]
pub(super) struct Destinations(HashMap<Text, (String, TableName)>);

impl Destinations {
    /// The table of a topic.
    ///
    /// # Errors
    /// If there is a mapping that does not have the topic, no name is left, or another topic's table of another name is
    /// the same to the database.
    pub(super) fn table<D: SinkDatabase>(
        &mut self,
        database: &D,
        config: &SinkConfig,
        topic: &Text,
    ) -> Result<TableName> {
        if let Some((_, table)) = self.0.get(topic) {
            return Ok(table.clone());
        }
        let of = |topic: &str| -> Result<(String, TableName)> {
            let text = formatted(config, topic)?;
            let table = database.table(parts(config, D::QUOTE, topic, &text)?, config)?;
            Ok((text, table))
        };
        let found = of(topic)?;
        let mut others: Vec<(&str, (String, TableName))> = Vec::new();
        // Also the topics that other tasks read.
        for other in config.topics.iter().filter(|other| ***other != **topic) {
            others.extend(of(other).ok().map(|found| (other.as_str(), found)));
        }
        others.extend(self.0.iter().map(|(other, found)| (&**other, found.clone())));
        let twin = others
            .iter()
            .find(|(_, (text, table))| *text != found.0 && database.same_table(table, &found.1));
        if let Some((other, _)) = twin {
            return Err(Error::config(format!(
                "the topics {other} and {topic} would both be written to the table {}; use table.name.format or a \
                 transformation to give each a table of its own",
                found.1.qualified()
            )));
        }
        self.0.insert(topic.clone(), found.clone());
        Ok(found.1)
    }
}

/// The name of a topic's table as the configuration has it.
fn formatted(config: &SinkConfig, topic: &str) -> Result<String> {
    let mapped = config.topics_to_tables.iter().filter_map(|entry| mapping(entry));
    let mapped = mapped.into_iter().find(|(known, _)| *known == topic).map(|(_, table)| table);
    match mapped {
        Some(table) => Ok(table.to_owned()),
        None if !config.topics_to_tables.is_empty() => Err(Error::refused(format!(
            "topic {topic} couldn't be found in the topics to tables mapping"
        ))),
        None => Ok(config.table_name_format.replace("${topic}", topic)),
    }
}

/// The parts of the name of a topic's table, the table itself last.
fn parts(config: &SinkConfig, quote: Quote, topic: &str, text: &str) -> Result<Vec<String>> {
    let normal = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let name = match config.normalize_names && config.topics_to_tables.is_empty() {
        true => text.replace(normal, "_"),
        false => text.to_owned(),
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
