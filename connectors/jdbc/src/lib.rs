//! What the connectors that are compatible with the JDBC ones share, without IO: configuration keys, `jdbc:` URLs,
//! names and quoting, offsets, and the tasks themselves, over traits of what differs between databases.

pub mod connection;
pub mod datetime;
pub mod names;
pub mod sink;
pub mod source;
pub mod url;
pub mod zone;

use connect_core::config::{Invalid, Properties};

/// Class names of the JDBC source connectors that people's configurations have.
pub const SOURCE_CLASSES: &[&str] =
    &["io.confluent.connect.jdbc.JdbcSourceConnector", "io.aiven.connect.jdbc.JdbcSourceConnector"];
/// Class names of the JDBC sink connectors that people's configurations have.
pub const SINK_CLASSES: &[&str] =
    &["io.confluent.connect.jdbc.JdbcSinkConnector", "io.aiven.connect.jdbc.JdbcSinkConnector"];
/// Dialects of the JVM's connectors, with the databases that there is a connector for here.
const DIALECTS: &[(&str, &[&str])] = &[
    ("PostgreSqlDatabaseDialect", &["postgresql"]),
    ("MySqlDatabaseDialect", &["mysql", "mariadb"]),
    ("GenericDatabaseDialect", &["postgresql", "mysql", "mariadb"]),
];

/// Whether the configuration's URL has one of these sub-protocols.
pub fn claims(properties: &Properties, protocols: &[&str]) -> bool {
    let url = properties.get("connection.url").and_then(|url| url.trim().strip_prefix("jdbc:"));
    url.and_then(|url| url.split_once(':')).is_some_and(|(protocol, _)| {
        protocols.iter().any(|known| known.eq_ignore_ascii_case(protocol))
    })
}

/// Whether the class is Aiven's, whose keys differ in places.
fn is_aiven(properties: &Properties) -> bool {
    properties.get("connector.class").is_some_and(|class| class.trim().starts_with("io.aiven."))
}

/// What is wrong with `dialect.name`.
fn check_dialect(name: &str, protocol: &str) -> Option<Invalid> {
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    let known = DIALECTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let why = match known {
        None => format!(
            "Invalid dialect; expected one of {}",
            DIALECTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        ),
        Some((_, protocols)) if !protocols.contains(&protocol) => {
            format!("Invalid dialect: it is not that of a jdbc:{protocol}: URL")
        }
        Some(_) => return None,
    };
    Some(Invalid::value("dialect.name", name, &why))
}
