//! What tells a file from another one under the same name.

use std::{
    fs::File,
    io::Result,
    os::unix::fs::{FileExt, MetadataExt},
};

use serde::{Deserialize, Serialize};

/// Most bytes of the beginning, and of what stands before the position, that are compared.
const LENGTH: usize = 4096;

/// The file that a position is in. Offsets of the JVM's connector have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print {
    /// Number of the file in its file system.
    #[serde(rename = "ferrovia.inode")]
    inode: u64,
    /// Checksum of its first bytes, up to the position.
    #[serde(rename = "ferrovia.head")]
    head: u32,
    /// Checksum of the bytes before the position.
    #[serde(rename = "ferrovia.tail")]
    tail: u32,
}

impl Print {
    /// That of a file as it is read up to this position.
    ///
    /// # Errors
    /// If the file cannot be read, or is shorter.
    pub(crate) fn of(file: &File, position: u64) -> Result<Self> {
        let length = usize::try_from(position).map_or(LENGTH, |position| position.min(LENGTH));
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        let head = crc32fast::hash(&bytes);
        file.read_exact_at(&mut bytes, position - length as u64)?;
        Ok(Self { inode: file.metadata()?.ino(), head, tail: crc32fast::hash(&bytes) })
    }
}
