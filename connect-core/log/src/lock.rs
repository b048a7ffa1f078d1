//! One process at a time: a lock on a file beside the log, which the kernel gives up when its holder dies.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
};

use connect_core::error::{Error, Result};

use crate::error;

/// Held for as long as the log is open.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a directory.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) naming the directory and the process that holds it.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let failed = |e| error::io("cannot lock the log", &path, e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder's id only makes the message better.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    own if own == std::process::id().to_string() => "this process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(Error::config(format!(
                    "The log in {} is in use by {holder}: stop it, or choose another directory",
                    dir.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        file.set_len(0).map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}
