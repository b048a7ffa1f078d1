//! What no single key of the sink shows, in the words of the JVM's connector where it has any.

use connect_core::config::Invalid;

use super::{
    SinkConfig,
    keys::{OffsetsStorage, PkMode},
    naming,
};
use crate::{check_dialect, source::checks::custom_class, zone::Zone};

/// Kinds of tables that can be written.
const TABLE_TYPES: &[&str] = &["TABLE", "PARTITIONED TABLE", "VIEW"];

/// What is wrong between keys.
pub fn contradictions(config: &SinkConfig) -> Vec<Invalid> {
    let mut invalid = Vec::new();
    invalid.extend(check_dialect(&config.dialect, &config.url.protocol));
    if config.delete_enabled && config.pk_mode != PkMode::RecordKey {
        let why = "Primary key mode must be 'record_key' when delete support is enabled";
        invalid.push(Invalid::new("pk.mode", why));
        invalid.push(Invalid::new("delete.enabled", why));
    }
    let kafka = config.pk_mode == PkMode::Kafka;
    let enough = |count| count == 3 || (count == 0 && !config.aiven);
    if kafka && !enough(config.pk_fields.len()) {
        let why = "must name three columns for topic, partition and offset";
        invalid.push(Invalid::value("pk.fields", &config.pk_fields.join(","), why));
    }
    if Zone::of(&config.timezone).is_none() {
        let why = "Invalid time zone identifier";
        invalid.push(Invalid::value("db.timezone", &config.timezone, why));
    }
    for kind in &config.table_types {
        if !TABLE_TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            let why = format!("must be one of {}", TABLE_TYPES.join(", "));
            invalid.push(Invalid::value("table.types", kind, &why));
        }
    }
    for entry in &config.topics_to_tables {
        if naming::mapping(entry).is_none() {
            let why = "expected topic:table";
            invalid.push(Invalid::value("topics.to.tables.mapping", entry, why));
        }
    }
    if config.offsets_storage == OffsetsStorage::Target && config.name.is_empty() {
        let why = "needs the connector's name, under which the offsets are kept";
        invalid.push(Invalid::value("offsets.storage", "target", why));
    }
    invalid
}

/// Keys that were given and have no meaning here.
pub fn without_meaning(config: &SinkConfig, known: &[&str]) -> Vec<String> {
    let mut keys = Vec::new();
    let mut add = |key: &str, given: bool| keys.extend(given.then(|| key.to_owned()));
    add("mssql.use.merge.holdlock", config.mssql_holdlock.is_some());
    add("trim.sensitive.log", config.trim_log.is_some());
    add("jdbc.credentials.provider.class", custom_class(&config.credentials_provider));
    let unknown = |name: &&str| !known.iter().any(|known| known.eq_ignore_ascii_case(name));
    let parameters = config.connection.parameters().filter(unknown);
    keys.extend(parameters.map(|name| format!("connection parameter {name}")));
    keys
}
