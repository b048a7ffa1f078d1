//! Connections, and what PostgreSQL's errors mean.

use connect_core::error::{Error, Result};
use connectors_jdbc::source::SourceConfig;
use tokio_postgres::{Client, Config, NoTls, config::TargetSessionAttrs, error::SqlState};

const DEFAULT_PORT: u16 = 5432;

/// Connects to the first of the URL's hosts that answers.
pub(crate) async fn connect(config: &SourceConfig) -> Result<Client> {
    let mut options = Config::new();
    for (host, port) in config.url.addresses(DEFAULT_PORT, &config.resolve) {
        options.host(host).port(port);
    }
    options.dbname(&config.url.database);
    options.application_name(config.url.parameter("ApplicationName").unwrap_or("ferrovia"));
    options.connect_timeout(std::time::Duration::from_secs(10));
    options.target_session_attrs(TargetSessionAttrs::Any);
    if let Some(user) = config.user.as_ref().or(config.url.user.as_ref()) {
        options.user(user);
    }
    if let Some(password) = config.password.as_ref().or(config.url.password.as_ref()) {
        options.password(password.expose());
    }
    let mut settings = String::from("-c datestyle=ISO -c timezone=UTC -c extra_float_digits=1");
    if let Some(schema) = config.url.parameter("currentSchema") {
        // In the startup options a backslash escapes a blank or another backslash.
        let escaped = schema.replace('\\', "\\\\").replace(' ', "\\ ");
        settings.push_str(&format!(" -c search_path={escaped}"));
    }
    options.options(settings);
    let (client, connection) = options.connect(NoTls).await.map_err(|e| error("connecting", e))?;
    // The driver's own task: it moves bytes until the client is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

/// What the error means: a retriable one of the connection or the moment, or a refusal.
pub(crate) fn error(doing: &'static str, error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return Error::connection("cannot reach PostgreSQL")
            .context("doing", doing)
            .with_source(error);
    };
    let class = &db.code().code()[..2];
    let moment = matches!(class, "08" | "40" | "53" | "55" | "57" | "58")
        // A table that was dropped may come back, or the next look at the tables takes it off the list.
        || *db.code() == SqlState::UNDEFINED_TABLE;
    let message = format!("PostgreSQL refused: {}", db.message());
    let refused = if moment { Error::connection(message) } else { Error::refused(message) };
    refused.context("doing", doing).context("sqlstate", db.code().code()).with_source(error)
}
