//! Ctrl-C: the first one ends the command in an orderly way, the second at once.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use xtask_servers::wait_until;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// What a shell reports of a command that Ctrl-C ended.
const EXIT_CODE: i32 = 130;

/// From now on Ctrl-C and SIGTERM only make [`check`] fail.
pub fn install() -> Result<()> {
    Ok(ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            // Children die with us: see xtask_servers::Process.
            exit(EXIT_CODE);
        }
    })?)
}

/// Whether somebody pressed Ctrl-C.
pub fn happened() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Fails once somebody pressed Ctrl-C.
pub fn check() -> Result<()> {
    if happened() {
        bail!("interrupted");
    }
    Ok(())
}

/// Like [`wait_until`], but ends early on Ctrl-C and on an error of the condition.
pub fn wait<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    wait_until(what, deadline, || check().and_then(|()| condition()).transpose())?
}
