//! A whole sink connector: appends values to a text file.
use std::{fs::OpenOptions, io::Write, path::PathBuf};

use connect_core::prelude::*;

/// Where to write.
#[derive(Deserialize, JsonSchema)]
pub struct Config {
    /// File to append to.
    file: PathBuf,
    /// Text before each value.
    #[serde(default)]
    prefix: String,
}

/// Appends a line for each record.
pub struct Append(Config);

#[async_trait]
impl SinkConnector for Append {
    const NAME: &'static str = "AppendSink";
    type Config = Config;
    type Task = AppendTask;

    async fn connect(config: Config) -> Result<Self> {
        Ok(Self(config))
    }
    async fn task(&self) -> Result<AppendTask> {
        Ok(AppendTask { file: self.0.file.clone(), prefix: self.0.prefix.clone() })
    }
}

/// Appends batches, each in one write.
pub struct AppendTask {
    file: PathBuf,
    prefix: String,
}

#[async_trait]
impl SinkTask for AppendTask {
    async fn put(&mut self, batch: &SinkBatch) -> Result<Delivered> {
        let mut text = String::new();
        for sink in &batch.records {
            let value =
                sink.record.value.as_str().ok_or_else(|| Error::data("the value is no text"))?;
            text += &format!("{}{value}\n", self.prefix);
        }
        let write = |mut file: std::fs::File| {
            file.write_all(text.as_bytes()).and_then(|()| file.sync_data())
        };
        let written = OpenOptions::new().create(true).append(true).open(&self.file).and_then(write);
        written.map_err(|e| Error::connection("cannot write the file").with_source(e))?;
        Ok(Delivered::All)
    }
}
