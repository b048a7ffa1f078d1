//! A whole source connector: the lines of a text file.
use std::{path::PathBuf, time::Duration};

use connect_core::prelude::*;

/// Where to read and where to write.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct Config {
    /// File to read.
    file: PathBuf,
    /// Topic to write to.
    topic: String,
}

/// Reads a text file, one record per line, and waits for more lines.
pub struct Lines(Config);

#[async_trait]
impl SourceConnector for Lines {
    const NAME: &'static str = "LinesSource";
    type Config = Config;
    type Task = LinesTask;

    async fn connect(config: Config) -> Result<Self> {
        Ok(Self(config))
    }
    async fn partitions(&self) -> Result<Vec<PathBuf>> {
        Ok(vec![self.0.file.clone()])
    }
    async fn task(&self, assigned: Vec<Assigned<LinesTask>>) -> Result<LinesTask> {
        let next = assigned.first().and_then(|assigned| assigned.offset).unwrap_or(0);
        Ok(LinesTask { config: self.0.clone(), next })
    }
}

/// Reads on from the next line.
pub struct LinesTask {
    config: Config,
    next: usize,
}

#[async_trait]
impl SourceTask for LinesTask {
    type Partition = PathBuf;
    type Offset = usize;

    async fn poll(&mut self) -> Result<Polled<SourceBatch<Self>>> {
        let text = std::fs::read_to_string(&self.config.file)
            .map_err(|e| Error::connection("cannot read the file").with_source(e))?;
        let records: Vec<_> = text.lines().skip(self.next).take(1000).map(Record::text).collect();
        if records.is_empty() {
            return Ok(Polled::Idle(Duration::from_millis(100)));
        }
        self.next += records.len();
        let Config { file, topic } = &self.config;
        Ok(Polled::Batch(SourceBatch::new(file, self.next, topic.as_str(), records)))
    }
}
