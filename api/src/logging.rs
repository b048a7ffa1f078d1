//! What the process writes to its log, and how `/admin/loggers` changes it while it runs.

use std::{str::FromStr, sync::Arc};

use anyhow::Context;
use connect_core_runtime::loggers::{Level, Levels, Loggers, ROOT};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, reload, util::SubscriberInitExt};

use tracing_subscriber::Layer;

/// Our own parts, which are there to be set from the start.
const PARTS: &[&str] = &[
    "api",
    "connect_core_kafka",
    "connect_core_log",
    "connect_core_runtime",
    "connectors_file",
    "connectors_mysql",
    "connectors_postgres",
];

/// Loggers of the JVM's worker, and what has their part here.
const APACHE: &[(&str, &[&str])] = &[
    ("org.apache.kafka.clients", &["connect_core_kafka", "librdkafka"]),
    ("org.apache.kafka.connect.runtime.rest", &["api"]),
    ("org.apache.kafka.connect.runtime", &["connect_core_runtime"]),
    ("org.apache.kafka.connect", &["connect_core_runtime", "connect_core_kafka", "api"]),
    ("io.confluent.connect.jdbc", &["connectors_mysql", "connectors_postgres"]),
    ("io.aiven.connect.jdbc", &["connectors_mysql", "connectors_postgres"]),
];

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Fatal | Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace | Level::All => LevelFilter::TRACE,
    }
}

fn level(filter: LevelFilter) -> Level {
    Level::parse(&filter.to_string()).unwrap_or(Level::Off)
}

fn targets(levels: &Levels) -> Targets {
    let root = levels.get(ROOT).map_or(Level::Info, |root| root.level);
    let mut targets = Targets::new().with_default(filter(root));
    // Names of the JVM first: one of our own says more.
    for (apache, ours) in APACHE {
        if let Some(logger) = levels.get(*apache) {
            targets = targets.with_targets(ours.iter().map(|name| (*name, filter(logger.level))));
        }
    }
    let ours = levels.iter().filter(|(name, logger)| {
        let untouched = logger.last_modified.is_none() && PARTS.contains(&name.as_str());
        *name != ROOT && !untouched
    });
    targets.with_targets(ours.map(|(name, l)| (name.replace('.', "::"), filter(l.level))))
}

/// Writes the log to standard error from now on, as `directives` say (`info`, `warn,connect_core_runtime=debug`).
///
/// # Errors
/// If the directives cannot be read, or the process has a log already.
pub(crate) fn start(directives: &str) -> anyhow::Result<Arc<Loggers>> {
    let given = Targets::from_str(directives)
        .with_context(|| format!("{directives:?} does not say what to log; try info"))?;
    let root = given.default_level().map_or(Level::Off, level);
    let mut levels: Vec<(String, Level)> =
        PARTS.iter().map(|part| ((*part).to_owned(), root)).collect();
    levels.extend(given.iter().map(|(name, l)| (name.replace("::", "."), level(l))));
    levels.push((ROOT.to_owned(), root));
    let (layer, handle) = reload::Layer::new(given);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(layer);
    tracing_subscriber::registry().with(lines).try_init()?;
    Ok(Arc::new(Loggers::new(levels, move |levels| {
        if let Err(error) = handle.reload(targets(levels)) {
            tracing::error!(%error, "cannot change what is logged");
        }
    })))
}

#[cfg(test)]
mod tests {
    use tracing::Level as Severity;

    use super::*;

    #[test]
    fn levels_become_targets_also_those_of_the_jvms_loggers() {
        let loggers = Loggers::new([(ROOT.to_owned(), Level::Warn)], |_| {});
        loggers.set("a.b", Level::Debug);
        loggers.set("org.apache.kafka.connect", Level::Trace);
        loggers.set("org.apache.kafka.connect.runtime.rest", Level::Off);
        let targets = targets(&loggers.all());
        assert!(targets.would_enable("a::b::c", &Severity::DEBUG));
        assert!(!targets.would_enable("a", &Severity::INFO));
        assert!(targets.would_enable("connect_core_runtime::worker", &Severity::TRACE));
        assert!(targets.would_enable("other", &Severity::WARN));
    }
}
