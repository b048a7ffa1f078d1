//! `org.apache.kafka.connect.file.FileStreamSinkConnector`.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    sync::{Arc, Mutex, PoisonError},
};

use connect_core::{CONNECT_VERSION, data::java, prelude::*, source::OffsetChange};

/// Keys of the file sink.
#[derive(Deserialize, JsonSchema)]
pub struct FileStreamSinkConfig {
    /// Destination filename. If not specified, the standard output will be used.
    #[schemars(extend("x-importance" = "HIGH"))]
    file: Option<String>,
}

/// Appends the text of every value to a file, a line each.
pub struct FileStreamSink(FileStreamSinkConfig);

#[async_trait]
impl SinkConnector for FileStreamSink {
    const NAME: &'static str = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = FileStreamSinkConfig;
    type Task = FileStreamSinkTask;

    async fn connect(config: FileStreamSinkConfig) -> Result<Self> {
        Ok(Self(config))
    }

    async fn task(&self) -> Result<FileStreamSinkTask> {
        let Some(path) = &self.0.file else { return Ok(FileStreamSinkTask(None)) };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|e| {
            let message = format!("Couldn't find or create file '{path}' for FileStreamSinkTask");
            Error::refused(message).with_source(e)
        })?;
        Ok(FileStreamSinkTask(Some(Arc::new(Mutex::new(file)))))
    }

    async fn alter_offsets(_: &FileStreamSinkConfig, _: &[OffsetChange]) -> Result<bool> {
        Ok(true)
    }
}

/// Appends batches; without a file, prints them.
pub struct FileStreamSinkTask(Option<Arc<Mutex<File>>>);

#[async_trait]
impl SinkTask for FileStreamSinkTask {
    async fn put(&mut self, batch: &SinkBatch) -> Result<Delivered> {
        let mut text = String::new();
        for sink in &batch.records {
            java::append(sink.record.value_schema.as_deref(), &sink.record.value, &mut text);
            text.push('\n');
        }
        let file = self.0.clone();
        let written = tokio::task::spawn_blocking(move || match file {
            Some(file) => append(&file.lock().unwrap_or_else(PoisonError::into_inner), &text),
            None => print(&text),
        });
        written.await.map_err(|e| Error::internal("the writer failed").with_source(e))??;
        Ok(Delivered::All)
    }
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| Error::refused("cannot write to the standard output").with_source(e))
}

/// Writes all of it, or nothing where the file can be cut again.
fn append(file: &File, text: &str) -> Result<()> {
    let cannot = |e| Error::connection("cannot write the file").with_source(e);
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        // A pipe or a device: it can neither be synchronised nor cut.
        let mut file = file;
        return file.write_all(text.as_bytes()).map_err(|e| cannot(e).retriable(false));
    }
    // Other tasks append to the same file: none may write between what is written and what is cut.
    let lock = Lock::new(file).map_err(cannot)?;
    let before = file.metadata().map_err(cannot)?.len();
    let written = write(file, text.as_bytes()).and_then(|()| file.sync_data());
    let Err(error) = written else { return Ok(()) };
    let undone = file.set_len(before);
    drop(lock);
    Err(match undone {
        Ok(()) => cannot(error),
        Err(_) => Error::refused("cannot write the file, and a part of the batch is in it")
            .context("size before", before)
            .with_source(error),
    })
}

fn write(mut file: &File, text: &[u8]) -> std::io::Result<()> {
    file.write_all(text)
}

/// An advisory lock, where the file system has them.
struct Lock<'f>(&'f File);

impl<'f> Lock<'f> {
    fn new(file: &'f File) -> std::io::Result<Self> {
        match file.lock() {
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
            _ => Ok(Self(file)),
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // Closing the file unlocks it at the latest.
        let _ = self.0.unlock();
    }
}
