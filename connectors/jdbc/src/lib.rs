//! What the connectors that are compatible with the JDBC ones share, without IO: configuration keys, `jdbc:` URLs,
//! names and quoting, offsets.

pub mod names;
pub mod sink;
pub mod source;
pub mod url;

/// Class names of the JDBC source connectors that people's configurations have.
pub const SOURCE_CLASSES: &[&str] =
    &["io.confluent.connect.jdbc.JdbcSourceConnector", "io.aiven.connect.jdbc.JdbcSourceConnector"];
/// Class names of the JDBC sink connectors that people's configurations have.
pub const SINK_CLASSES: &[&str] =
    &["io.confluent.connect.jdbc.JdbcSinkConnector", "io.aiven.connect.jdbc.JdbcSinkConnector"];

/// Whether the configuration's URL has one of these sub-protocols.
pub fn claims(properties: &connect_core::config::Properties, protocols: &[&str]) -> bool {
    let url = properties.get("connection.url").and_then(|url| url.trim().strip_prefix("jdbc:"));
    url.and_then(|url| url.split_once(':')).is_some_and(|(protocol, _)| {
        protocols.iter().any(|known| known.eq_ignore_ascii_case(protocol))
    })
}
