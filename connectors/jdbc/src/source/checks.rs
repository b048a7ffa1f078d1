//! What no single key of the source shows, in the words of the JVM's connector where it has any.

use connect_core::{
    config::{Invalid, java_trim},
    error::{Error, Result},
};
use regex::Regex;

use super::{
    SourceConfig,
    keys::{Isolation, Mode},
};
use crate::{check_dialect, zone::Zone};

/// Longest name of a topic.
const MAX_TOPIC: usize = 249;
/// Longest name of a channel, in bytes: NAMEDATALEN less one.
const MAX_CHANNEL: usize = 63;

/// What is wrong between keys.
pub fn contradictions(config: &SourceConfig) -> Vec<Invalid> {
    let mut invalid = Vec::new();
    let Some(mode) = config.mode else {
        return vec![Invalid::new("mode", "Query mode must be specified")];
    };
    invalid.extend(check_dialect(&config.dialect, &config.url.protocol));
    if Zone::of(&config.timezone).is_none() {
        let why = "Invalid time zone identifier";
        invalid.push(Invalid::value("db.timezone", &config.timezone, why));
    }
    if config.isolation == Isolation::SqlServerSnapshot {
        let why =
            "is of SQL Server alone; READ_COMMITTED, REPEATABLE_READ or SERIALIZABLE expected";
        invalid.push(Invalid::value("transaction.isolation.mode", "SQL_SERVER_SNAPSHOT", why));
    }
    check_topic(config, &mut invalid);
    check_query(config, mode, &mut invalid);
    check_tables(config, mode, &mut invalid);
    invalid
}

/// What is wrong with listening for notifications, on a database that may not have any.
pub fn notification(config: &SourceConfig, protocols: &[&str], notifies: bool) -> Vec<Invalid> {
    let channel = config.channel();
    let mut invalid = Vec::new();
    if !notifies {
        let why = format!("is of PostgreSQL alone, not of {}", protocols.join(" or "));
        invalid.extend(channel.map(|name| Invalid::value("notify.channel", name, &why)));
        if config.notify_trigger {
            invalid.push(Invalid::value("notify.install.trigger", "true", &why));
        }
        return invalid;
    }
    if let Some(name) = channel.filter(|name| name.len() > MAX_CHANNEL || name.contains('\0')) {
        let why = "a channel's name has at most 63 bytes";
        invalid.push(Invalid::value("notify.channel", name, why));
    }
    if config.notify_trigger && channel.is_none() {
        let why = "must be given with notify.install.trigger";
        invalid.push(Invalid::value("notify.channel", "", why));
    }
    if config.notify_trigger && config.query().is_some() {
        let why = "which tables a query reads is not known: notify the channel yourself, or install triggers yourself";
        invalid.push(Invalid::value("notify.install.trigger", "true", why));
    }
    invalid
}

fn check_topic(config: &SourceConfig, invalid: &mut Vec<Invalid>) {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let prefix = config.topic_prefix.trim();
    if prefix.len() > MAX_TOPIC || !prefix.chars().all(legal) {
        let why =
            "The topic prefix must be at most 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'";
        invalid.push(Invalid::value("topic.prefix", prefix, why));
    }
}

fn check_query(config: &SourceConfig, mode: Mode, invalid: &mut Vec<Invalid>) {
    let masked =
        config.query_masked.as_ref().is_some_and(|query| !query.expose().trim().is_empty());
    if masked && !config.query.trim().is_empty() {
        let why = "Only one of 'query' and 'query.masked' may be given. Remove one.";
        invalid.push(Invalid::new("query", why));
        invalid.push(Invalid::new("query.masked", why));
    }
    let Some(query) = config.query() else { return };
    let key = if masked { "query.masked" } else { "query" };
    let lists = [&config.whitelist, &config.blacklist, &config.include_list, &config.exclude_list];
    if lists.iter().any(|list| !list.is_empty()) {
        let why = "Do not specify table filtering configs with 'query'. Remove table.whitelist / \
                   table.blacklist / table.include.list / table.exclude.list or query.";
        invalid.push(Invalid::new(key, why));
    }
    let first =
        java_trim(query).split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    if !first.eq_ignore_ascii_case("select") {
        invalid.push(Invalid::new(
            key,
            "Only SELECT statements are supported: the query must start with SELECT",
        ));
    }
    if mode.increments() && config.incrementing_column.is_empty() {
        let why = "incrementing.column.name must be given with a query in this mode";
        invalid.push(Invalid::value("incrementing.column.name", "", why));
    }
}

fn check_tables(config: &SourceConfig, mode: Mode, invalid: &mut Vec<Invalid>) {
    let legacy = [
        ("table.whitelist", !config.whitelist.is_empty()),
        ("table.blacklist", !config.blacklist.is_empty()),
        ("incrementing.column.name", !config.incrementing_column.is_empty()),
        ("timestamp.column.name", !config.timestamp_columns.is_empty()),
    ];
    let newer = [
        ("table.include.list", &config.include_list),
        ("table.exclude.list", &config.exclude_list),
        ("timestamp.columns.mapping", &config.timestamp_mapping),
        ("incrementing.column.mapping", &config.incrementing_mapping),
    ];
    let given: Vec<&str> = legacy.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    let newer: Vec<_> = newer.iter().filter(|(_, list)| !list.is_empty()).collect();
    for (key, list) in &newer {
        if !given.is_empty() {
            let why = format!("{key} cannot be used together with {}", given.join(", "));
            invalid.push(Invalid::new(*key, &*why));
            invalid.extend(given.iter().map(|given| Invalid::new(*given, &*why)));
        }
        for entry in list.iter() {
            let bad = match key.ends_with("mapping") {
                true => Mapping::parse(entry).err(),
                false => whole(entry).err(),
            };
            invalid.extend(bad.map(|e| Invalid::value(key, entry, e.message())));
        }
    }
    if config.include_list.is_empty() && !config.exclude_list.is_empty() {
        let why = "table.exclude.list needs table.include.list";
        invalid.push(Invalid::new("table.exclude.list", why));
    }
    if mode.has_timestamp()
        && config.timestamp_columns.is_empty()
        && config.timestamp_mapping.is_empty()
    {
        let why = "must be given in this mode";
        invalid.push(Invalid::value("timestamp.column.name", "", why));
    }
    let chosen = config.query().is_some() || !given.is_empty() || !newer.is_empty();
    if !chosen && !config.aiven {
        let why = "At least one table filtering or query configuration must be specified: table.whitelist, \
                   table.blacklist, table.include.list, incrementing.column.name, timestamp.column.name or query";
        invalid.push(Invalid::new("table.whitelist", why));
    }
    if config.aiven && !config.whitelist.is_empty() && !config.blacklist.is_empty() {
        let why = "table.whitelist and table.blacklist are exclusive";
        invalid.push(Invalid::new("table.whitelist", why));
        invalid.push(Invalid::new("table.blacklist", why));
    }
}

/// Keys that were given and have no meaning here.
pub fn without_meaning(config: &SourceConfig, known: &[&str]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut add = |key: &str, given: bool| keys.extend(given.then(|| key.to_owned()));
    add("max.buffer.size", config.max_buffer_size.is_some());
    add("poll.linger.ms", config.poll_linger.is_some());
    add("table.monitoring.startup.polling.limit.ms", config.startup_limit.is_some());
    add("jdbc.credentials.provider.class", custom_class(&config.credentials_provider));
    let unknown = |name: &&str| !known.iter().any(|known| known.eq_ignore_ascii_case(name));
    keys.extend(
        config
            .connection
            .parameters()
            .filter(unknown)
            .map(|name| format!("connection parameter {name}")),
    );
    keys
}

/// Whether a credentials provider is another class than the default.
pub(crate) fn custom_class(class: &str) -> bool {
    !class.trim().is_empty() && !class.ends_with("DefaultJdbcCredentialsProvider")
}

/// A regular expression of a whole name.
///
/// # Errors
/// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) with what is wrong with it.
pub fn whole(text: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{text})$"))
        .map_err(|e| Error::config(format!("not a regular expression: {e}")).context("text", text))
}

/// An entry of `timestamp.columns.mapping` or `incrementing.column.mapping`: `regex:[column|column]` or `regex:column`.
pub struct Mapping {
    tables: Regex,
    /// The columns.
    pub columns: Vec<String>,
}

impl Mapping {
    /// Reads an entry.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) with what is wrong with it.
    pub fn parse(entry: &str) -> Result<Self> {
        let form = || Error::config("expected regex:[column|column] or regex:column");
        let (tables, columns) = entry.rsplit_once(':').ok_or_else(form)?;
        let columns = columns.trim();
        let inner = columns.strip_prefix('[').and_then(|c| c.strip_suffix(']')).unwrap_or(columns);
        let columns: Vec<String> = inner.split('|').map(|c| c.trim().to_owned()).collect();
        if columns.iter().any(String::is_empty) {
            return Err(form());
        }
        Ok(Self { tables: whole(tables.trim())?, columns })
    }

    /// Whether the entry is for the table of this qualified name.
    pub fn matches(&self, table: &str) -> bool {
        self.tables.is_match(table)
    }
}

#[cfg(test)]
mod tests {
    use connect_core::config::{Properties, parse};

    use super::*;

    fn invalid(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let base = [("connection.url", "jdbc:postgresql://h/d")];
        let pairs = base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let config = parse::<SourceConfig>(&pairs.collect::<Properties>()).unwrap();
        contradictions(&config).into_iter().map(|i| (i.key.clone(), i.message())).collect()
    }

    #[test]
    fn contradictions_name_key_and_what_is_right() {
        let table = ("table.whitelist", "t");
        for (pairs, key, text) in [
            (vec![table], "mode", "Query mode must be specified"),
            (vec![table, ("mode", "bulk"), ("query", "SELECT 1")], "query", "Do not specify table"),
            (vec![("mode", "bulk"), ("query", "DELETE FROM t")], "query", "SELECT"),
            (
                vec![("mode", "bulk"), ("query", "SELECT 1"), ("query.masked", "SELECT 2")],
                "query",
                "one of",
            ),
            (
                vec![("mode", "incrementing"), ("query", "SELECT 1")],
                "incrementing.column.name",
                "must be",
            ),
            (vec![table, ("mode", "timestamp")], "timestamp.column.name", "must be given"),
            (
                vec![table, ("mode", "bulk"), ("topic.prefix", "a b")],
                "topic.prefix",
                "topic prefix",
            ),
            (
                vec![table, ("mode", "bulk"), ("db.timezone", "Mars/Base")],
                "db.timezone",
                "Invalid time zone",
            ),
            (
                vec![table, ("mode", "bulk"), ("dialect.name", "Nope")],
                "dialect.name",
                "Invalid dialect",
            ),
            (
                vec![table, ("mode", "bulk"), ("dialect.name", "MySqlDatabaseDialect")],
                "dialect.name",
                "jdbc:postgresql",
            ),
            (
                vec![table, ("mode", "bulk"), ("table.include.list", "a")],
                "table.include.list",
                "together",
            ),
            (
                vec![("mode", "bulk"), ("table.include.list", "(")],
                "table.include.list",
                "regular expression",
            ),
            (vec![("mode", "bulk"), ("table.exclude.list", "a")], "table.exclude.list", "needs"),
            (vec![("mode", "bulk")], "table.whitelist", "At least one"),
            (
                vec![
                    ("mode", "timestamp"),
                    ("table.include.list", "a"),
                    ("timestamp.columns.mapping", "a:[]"),
                ],
                "timestamp.columns.mapping",
                "expected",
            ),
        ] {
            let found = invalid(&pairs);
            assert!(
                found.iter().any(|(k, m)| k == key && m.contains(text)),
                "{pairs:?}: {found:?}"
            );
        }
        assert_eq!(invalid(&[table, ("mode", "BULK"), ("topic.prefix", " a- ")]), []);
    }

    #[test]
    fn mappings_are_read() {
        let mapping = Mapping::parse(r"public\.a:b.*:[x|y]").unwrap();
        assert_eq!((mapping.columns.len(), mapping.matches("public.a:bc")), (2, true));
        assert!(!Mapping::parse("t:x").unwrap().matches("tt"));
    }
}
