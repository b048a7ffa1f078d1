//! Levels of loggers, as `/admin/loggers` shows and changes them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// How much is logged; the names are Log4j's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "names say it")]
pub enum Level {
    Off,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    All,
}

impl Level {
    const ALL: [Self; 8] = [
        Self::Off,
        Self::Fatal,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
        Self::All,
    ];

    /// As REST shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
            Self::All => "ALL",
        }
    }
    /// Reads a name in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

/// The level of a logger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggerLevel {
    /// Level.
    pub level: Level,
    /// When it was set, in milliseconds since the epoch; none if it is as it was at the start.
    pub last_modified: Option<i64>,
}

/// Levels by logger. A logger's name is a path with dots, such as `connect_core_runtime.worker`; `root` is everything.
pub type Levels = BTreeMap<String, LoggerLevel>;

/// Name of the logger of everything.
pub const ROOT: &str = "root";

/// The process's loggers. Whoever writes the log is told of every change.
pub struct Loggers {
    levels: Mutex<Levels>,
    apply: Box<dyn Fn(&Levels) + Send + Sync>,
}

impl Loggers {
    /// Loggers with the levels of the start; `apply` is called with all levels when one has changed.
    pub fn new(
        start: impl IntoIterator<Item = (String, Level)>,
        apply: impl Fn(&Levels) + Send + Sync + 'static,
    ) -> Self {
        let level = |(name, level)| (name, LoggerLevel { level, last_modified: None });
        let mut levels: Levels = start.into_iter().map(level).collect();
        let root = LoggerLevel { level: Level::Info, last_modified: None };
        levels.entry(ROOT.to_owned()).or_insert(root);
        Self { levels: Mutex::new(levels), apply: Box::new(apply) }
    }

    /// All levels; a logger that is OFF is left out, as by the JVM.
    pub fn all(&self) -> Levels {
        let mut levels = self.lock().clone();
        levels.retain(|_, logger| logger.level != Level::Off);
        levels
    }

    /// The level of a logger; `root` in any case.
    pub fn get(&self, name: &str) -> Option<LoggerLevel> {
        self.lock().get(canonical(name)).copied()
    }

    /// Sets the level of a logger and of those whose names begin with its name, as the JVM does; one that is not known is made. Returns the names of those that
    /// have changed.
    pub fn set(&self, name: &str, level: Level) -> Vec<String> {
        let name = canonical(name);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last_modified = Some(now.as_millis() as i64);
        let mut levels = self.lock();
        if !levels.contains_key(name) {
            // So that a new logger counts as changed, unless its level is what it had from above.
            let inherited = effective(&levels, name);
            levels.insert(name.to_owned(), inherited);
        }
        let mut changed = Vec::new();
        for (known, logger) in levels.iter_mut() {
            if (name == ROOT || known.starts_with(name)) && logger.level != level {
                *logger = LoggerLevel { level, last_modified };
                changed.push(known.clone());
            }
        }
        if !changed.is_empty() {
            (self.apply)(&levels);
        }
        changed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Loggers {
    /// Loggers of which nobody hears.
    fn default() -> Self {
        Self::new([], |_| {})
    }
}

fn canonical(name: &str) -> &str {
    if name.eq_ignore_ascii_case(ROOT) { ROOT } else { name }
}

/// What a logger that has no level of its own logs.
fn effective(levels: &Levels, name: &str) -> LoggerLevel {
    let mut name = name;
    while let Some((above, _)) = name.rsplit_once('.') {
        if let Some(level) = levels.get(above) {
            return LoggerLevel { last_modified: None, ..*level };
        }
        name = above;
    }
    let root = levels.get(ROOT).map_or(Level::Info, |root| root.level);
    LoggerLevel { level: root, last_modified: None }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn setting_a_logger_sets_those_below_and_names_what_changed() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let start = [("a.b".to_owned(), Level::Warn), ("c".to_owned(), Level::Warn)];
        let loggers = Loggers::new(start, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(loggers.set("a", Level::Debug), ["a", "a.b"]);
        assert_eq!(loggers.set("a", Level::Debug), [""; 0]);
        assert_eq!(loggers.get("c").unwrap().level, Level::Warn);
        assert!(loggers.get("a.b").unwrap().last_modified.is_some());
        assert_eq!(loggers.get("ROOT").unwrap().last_modified, None);
        assert_eq!(loggers.set("Root", Level::Warn), ["a", "a.b", "root"]);
        assert_eq!(loggers.set("c", Level::Off), ["c"]);
        assert!(!loggers.all().contains_key("c"));
        assert_eq!(calls.load(Ordering::Relaxed), 3);
        assert_eq!(Level::parse("trace"), Some(Level::Trace));
        assert_eq!(Level::parse("nope"), None);
    }
}
