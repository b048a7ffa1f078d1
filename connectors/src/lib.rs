//! Every connector that is shipped, a feature for each system.

use connect_core::registry::Registry;

/// The connectors of the enabled features.
pub fn registry() -> Registry {
    let registry = Registry::default();
    #[cfg(feature = "file")]
    let registry = registry
        .source::<connectors_file::FileStreamSource>()
        .sink::<connectors_file::FileStreamSink>();
    #[cfg(feature = "postgres")]
    let registry = registry
        .source::<connectors_postgres::PostgresSource>()
        .sink::<connectors_postgres::PostgresSink>();
    #[cfg(feature = "mysql")]
    let registry =
        registry.source::<connectors_mysql::MySqlSource>().sink::<connectors_mysql::MySqlSink>();
    registry
}
