//! Plugins as people write them: a source and a sink of one file each. `src/bin/custom-worker.rs` registers them.

pub mod append_sink;
pub mod lines_source;

use connect_core::registry::Registry;

/// The example plugins.
pub fn registry() -> Registry {
    Registry::default().source::<lines_source::Lines>().sink::<append_sink::Append>()
}
