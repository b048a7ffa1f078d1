//! Where the bytes come from: a file that is followed as it grows, or a stream such as the standard input.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use connect_core::error::{Error, Result};
use tokio::sync::mpsc::{self, Receiver, error::TryRecvError};

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
}

impl Followed {
    pub(crate) fn new(path: String, position: u64) -> Self {
        Self { path, file: None, position, buffer: vec![0; CHUNK] }
    }

    fn refused(&self, error: std::io::Error) -> Error {
        Error::refused("cannot read the file").context("file", &self.path).with_source(error)
    }

    pub(crate) fn read(&mut self) -> Result<Piece> {
        if self.file.is_none() && !self.open()? {
            return Ok(Piece::Nothing);
        }
        if let Some(bytes) = self.read_open()? {
            return Ok(Piece::Bytes(bytes));
        }
        let Some(cut) = self.restarted()? else { return Ok(Piece::Nothing) };
        // What was appended to the old file before another took its place.
        if !cut && let Some(bytes) = self.read_open()? {
            return Ok(Piece::Bytes(bytes));
        }
        (self.file, self.position) = (None, 0);
        tracing::warn!(
            file = self.path,
            cut,
            "the file was cut or replaced: reading it from the start"
        );
        Ok(Piece::Restarted { cut })
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
        let ends = |file: &File| file.metadata().is_ok_and(|open| open.len() == self.position);
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
