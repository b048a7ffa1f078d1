//! Which tables are copied.

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

/// Those of the tables that the configuration asks for, in their order.
///
/// # Errors
/// If two of them have the same bare name, and so the same topic.
pub fn chosen(found: Vec<Found>, config: &SourceConfig, quote: Quote) -> Result<Vec<TableName>> {
    let compile = |list: &[String]| list.iter().map(|text| whole(text)).collect::<Result<Vec<_>>>();
    let (include, exclude) = (compile(&config.include_list)?, compile(&config.exclude_list)?);
    let matches = |list: &[Regex], name: &str| list.iter().any(|regex| regex.is_match(name));
    let wanted = |Found { table, kind }: &Found| {
        let named = |list| listed(list, quote, &table.schema, &table.name);
        let qualified = table.qualified();
        config.table_types.iter().any(|ty| ty.eq_ignore_ascii_case(kind))
            && if !include.is_empty() {
                matches(&include, &qualified) && !matches(&exclude, &qualified)
            } else if !config.whitelist.is_empty() {
                // As the JVM's: with a whitelist, the blacklist is ignored.
                named(&config.whitelist)
            } else {
                !named(&config.blacklist)
            }
    };
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
    Ok(tables)
}
