//! Where the bytes come from: a file that is followed as it grows, or a stream such as the standard input.

use std::{
    fs::{File, Metadata},
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use connect_core::error::{Error, Result};
use tokio::sync::mpsc::{self, Receiver, error::TryRecvError};

use crate::print::Print;

const CHUNK: usize = 64 * 1024;

/// What there was to read.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// Nothing now.
    Nothing,
    /// The file was cut or another took its place: what comes next is at its start. Cut says that the unfinished line
    /// is no longer in the file.
    Restarted {
        cut: bool,
    },
}

/// A file, opened when it is there, read from a position.
pub(crate) struct Followed {
    path: String,
    file: Option<File>,
    position: u64,
    buffer: Vec<u8>,
    /// What the file was up to a position in it that was delivered.
    delivered: Option<(u64, Print)>,
    /// Whether that is still so is to be looked at before more is read.
    unsure: bool,
    /// When the file was last changed, as of the last look.
    modified: (i64, i64),
}

impl Followed {
    pub(crate) fn new(path: String, position: u64, print: Option<Print>) -> Self {
        let delivered = print.map(|print| (position, print));
        Self {
            path,
            file: None,
            position,
            buffer: vec![0; CHUNK],
            delivered,
            unsure: true,
            modified: (0, 0),
        }
    }

    /// What tells the file up to this position, which was delivered, from others.
    pub(crate) fn print(&mut self, position: u64) -> Option<Print> {
        // A file that was cut meanwhile is found out at the next look.
        let print = self.file.as_ref().and_then(|file| Print::of(file, position).ok())?;
        self.delivered = Some((position, print.clone()));
        Some(print)
    }

    /// Has the file looked at before the next bytes are read.
    pub(crate) fn suspect(&mut self) {
        self.unsure = true;
    }

    /// Whether the open file is not the one, or no longer the one, that was read: it was cut and filled again, or another
    /// took its place while nobody read.
    fn other(&self) -> bool {
        let (Some(file), Some((position, print))) = (&self.file, &self.delivered) else {
            return false;
        };
        Print::of(file, *position).ok().as_ref() != Some(print)
    }

    fn refused(&self, error: std::io::Error) -> Error {
        Error::refused("cannot read the file").context("file", &self.path).with_source(error)
    }

    pub(crate) fn read(&mut self) -> Result<Piece> {
        if self.file.is_none() && !self.open()? {
            return Ok(Piece::Nothing);
        }
        if std::mem::take(&mut self.unsure) {
            self.modified = self
                .file
                .as_ref()
                .map(modified)
                .transpose()
                .map_err(|e| self.refused(e))?
                .unwrap_or_default();
            if self.other() {
                return Ok(self.restart(true));
            }
        }
        if let Some(bytes) = self.read_open()? {
            return Ok(Piece::Bytes(bytes));
        }
        let Some(cut) = self.restarted()? else { return Ok(Piece::Nothing) };
        // What was appended to the old file before another took its place.
        if !cut && let Some(bytes) = self.read_open()? {
            return Ok(Piece::Bytes(bytes));
        }
        Ok(self.restart(cut))
    }

    fn restart(&mut self, cut: bool) -> Piece {
        (self.file, self.position, self.delivered) = (None, 0, None);
        tracing::warn!(
            file = self.path,
            cut,
            "the file was cut or replaced: reading it from the start"
        );
        Piece::Restarted { cut }
    }

    /// False if there is no such file.
    fn open(&mut self) -> Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.refused(error)),
        };
        // Beyond the end of a file that has become shorter there is nothing, and then its size is looked at.
        file.seek(SeekFrom::Start(self.position)).map_err(|e| self.refused(e))?;
        self.file = Some(file);
        Ok(true)
    }

    fn read_open(&mut self) -> Result<Option<Bytes>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let read = loop {
            match file.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = read.map_err(|e| self.refused(e))?;
        self.position += read as u64;
        Ok((read > 0).then(|| Bytes::copy_from_slice(&self.buffer[..read])))
    }

    /// Whether there is nothing to read, as far as the file's size and place tell.
    pub(crate) fn is_at_its_end(&self) -> bool {
        // One that was filled again may be as long as it was.
        let ends = |file: &File| {
            let same = |open: &Metadata| (open.mtime(), open.mtime_nsec()) == self.modified;
            file.metadata().is_ok_and(|open| open.len() == self.position && same(&open))
        };
        self.file.as_ref().is_some_and(ends) && matches!(self.restarted(), Ok(None))
    }

    /// Whether the file at the path is no longer the one that is open, or is shorter than what was read: then
    /// whether it was cut.
    fn restarted(&self) -> Result<Option<bool>> {
        let Some(file) = &self.file else { return Ok(None) };
        let open = file.metadata().map_err(|e| self.refused(e))?;
        if open.len() < self.position {
            return Ok(Some(true));
        }
        match std::fs::metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) == (open.dev(), open.ino()) => Ok(None),
            Ok(_) => Ok(Some(false)),
            // Moved away, and no other in its place yet: more may still be appended to it.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.refused(error)),
        }
    }
}

/// When a file was last changed.
fn modified(file: &File) -> std::io::Result<(i64, i64)> {
    let found = file.metadata()?;
    Ok((found.mtime(), found.mtime_nsec()))
}

/// A stream that cannot be set back, read by a thread of its own since no read of it can be given up.
#[derive(Clone)]
pub(crate) struct Stream(Arc<Mutex<Receiver<std::io::Result<Bytes>>>>);

impl Stream {
    /// The standard input, one for the process: a task that is started again reads on.
    pub(crate) fn stdin() -> Self {
        static STDIN: OnceLock<Stream> = OnceLock::new();
        STDIN.get_or_init(|| Self::new(|| Ok(std::io::stdin()))).clone()
    }

    /// A pipe or a device, which may be waiting for its writer.
    pub(crate) fn open(path: String) -> Self {
        Self::new(move || File::open(path))
    }

    fn new<R: Read>(open: impl FnOnce() -> std::io::Result<R> + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(16);
        std::thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            let mut stream = match open() {
                Ok(stream) => stream,
                Err(error) => return drop(sender.blocking_send(Err(error))),
            };
            loop {
                let piece = match stream.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => Ok(Bytes::copy_from_slice(&buffer[..read])),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if sender.blocking_send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Self(Arc::new(Mutex::new(receiver)))
    }

    pub(crate) fn read(&self) -> Result<Piece> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).try_recv() {
            Ok(Ok(bytes)) => Ok(Piece::Bytes(bytes)),
            Ok(Err(error)) => Err(Error::refused("cannot read the input").with_source(error)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(Piece::Nothing),
        }
    }
}
