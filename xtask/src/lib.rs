//! What the project's commands and the test of the compose topology share.

use std::path::{Path, PathBuf};

pub mod build;
pub mod compose;
pub mod gateway;
pub mod http;
pub mod images;
pub mod interrupt;
pub mod screen;

/// The project's folder.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
