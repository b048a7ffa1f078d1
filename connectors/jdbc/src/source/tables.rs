//! Which tables are copied.

use std::collections::HashMap;

use connect_core::error::{Error, Result};
use regex::Regex;

use super::{SourceConfig, checks::whole};
use crate::names::{Quote, TableName, listed};

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub table: TableName,
    /// `TABLE`, `VIEW` and so on, as the JVM's driver calls it.
    pub kind: String,
}

/// What the lists of a configuration say of tables.
struct Lists<'c> {
    config: &'c SourceConfig,
    quote: Quote,
    /// Name of the database, which may stand before that of the schema.
    catalog: Option<&'c str>,
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl<'c> Lists<'c> {
    fn new(config: &'c SourceConfig, quote: Quote, catalog: Option<&'c str>) -> Result<Self> {
        let compile =
            |list: &[String]| list.iter().map(|text| whole(text)).collect::<Result<Vec<_>>>();
        let (include, exclude) = (compile(&config.include_list)?, compile(&config.exclude_list)?);
        Ok(Self { config, quote, catalog, include, exclude })
    }

    fn named(&self, list: &[String], table: &TableName) -> bool {
        let (schema, name) = (table.schema.as_str(), table.name.as_str());
        listed(list, self.quote, schema, name)
            || self.catalog.is_some_and(|catalog| {
                let plain = format!("{catalog}.{schema}.{name}");
                let quoted = self.quote.always().qualified(&[catalog, schema, name]);
                list.iter().any(|entry| *entry == plain || *entry == quoted)
            })
    }

    fn is_of_a_kind(&self, kind: &str) -> bool {
        self.config.table_types.iter().any(|ty| ty.eq_ignore_ascii_case(kind))
    }

    fn want(&self, table: &TableName) -> bool {
        let matches = |list: &[Regex]| list.iter().any(|regex| regex.is_match(&table.qualified()));
        if !self.include.is_empty() {
            matches(&self.include) && !matches(&self.exclude)
        } else if !self.config.whitelist.is_empty() {
            // As the JVM's: with a whitelist, the blacklist is ignored.
            self.named(&self.config.whitelist, table)
        } else {
            !self.named(&self.config.blacklist, table)
        }
    }
}

/// What of the lists matches no table, if anything does not.
///
/// # Errors
/// For an expression that is none.
pub fn unmatched(
    found: &[Found],
    config: &SourceConfig,
    quote: Quote,
    catalog: Option<&str>,
) -> Result<Option<String>> {
    let lists = Lists::new(config, quote, catalog)?;
    let types = config.table_types.join(",");
    let missing = |key: &str, entry: &str, matches: &dyn Fn(&TableName) -> bool| {
        let mut named = found.iter().filter(|found| matches(&found.table)).peekable();
        let first = named.peek().copied();
        if named.any(|found| lists.is_of_a_kind(&found.kind)) {
            return None;
        }
        Some(match first {
            None => format!("{entry} of {key} matches no table that this user can see"),
            Some(Found { table, kind }) => format!(
                "{entry} of {key} matches {}, which is a {kind}, and table.types is {types}",
                table.qualified()
            ),
        })
    };
    let by_name = config.whitelist.iter().filter_map(|entry| {
        let list = std::slice::from_ref(entry);
        missing("table.whitelist", entry, &|table| lists.named(list, table))
    });
    let by_expression =
        config.include_list.iter().zip(&lists.include).filter_map(|(entry, regex)| {
            missing("table.include.list", entry, &|table| regex.is_match(&table.qualified()))
        });
    let mut missing: Vec<String> = match config.include_list.is_empty() {
        true => by_name.collect(),
        false => by_expression.collect(),
    };
    let none =
        !found.iter().any(|found| lists.is_of_a_kind(&found.kind) && lists.want(&found.table));
    if none {
        missing.insert(0, format!("No table is chosen, so nothing is read (table.types={types})"));
    }
    Ok((!missing.is_empty()).then(|| missing.join("; ")))
}

/// Those of the tables that the configuration asks for, in their order.
///
/// # Errors
/// If two of them have the same topic.
pub fn chosen(
    found: Vec<Found>,
    config: &SourceConfig,
    quote: Quote,
    catalog: Option<&str>,
) -> Result<Vec<TableName>> {
    let lists = Lists::new(config, quote, catalog)?;
    let wanted = |Found { table, kind }: &Found| lists.is_of_a_kind(kind) && lists.want(table);
    let mut tables: Vec<TableName> = Vec::new();
    for Found { table, .. } in found.into_iter().filter(wanted) {
        match tables.iter().find(|other| other.name == table.name) {
            None => tables.push(table),
            // Without its schema, a name is the one that the session's search path leads to.
            Some(_) if !config.qualify_names => {}
            Some(twin) => {
                return Err(Error::config(format!(
                    "The connector uses the unqualified table name as the topic name and has detected duplicate \
                     unqualified table names: {} and {}. This could lead to mixed data types in the topic and \
                     downstream processing errors. Narrow table.whitelist or schema.pattern.",
                    twin.qualified(),
                    table.qualified()
                )));
            }
        }
    }
    // What a transformation makes of the topics is its own affair.
    if !config.transforms {
        let mut topics: HashMap<String, &TableName> = HashMap::new();
        for table in &tables {
            let topic = topic(config, &table.name);
            if let Some(twin) = topics.insert(topic.clone(), table) {
                return Err(Error::config(format!(
                    "The tables {} and {} would share the topic {topic}: what a topic's name may not hold becomes an \
                     underscore. Read one of them by another connector with another topic.prefix, or set the topics by a \
                     transformation (transforms).",
                    twin.qualified(),
                    table.qualified()
                )));
            }
        }
    }
    Ok(tables)
}

/// The topic of a table: what Kafka does not allow in a name becomes an underscore.
pub fn topic(config: &SourceConfig, table: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let table: String = table.chars().map(legal).collect();
    format!("{}{table}", config.topic_prefix.trim())
}
