//! `org.apache.kafka.connect.file.FileStreamSourceConnector`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use connect_core::{CONNECT_VERSION, data::Type, prelude::*, source::OffsetChange};
use serde_json::Value as Json;
use tokio::task::JoinHandle;

use crate::{
    input::{Followed, Piece, Stream},
    lines::Lines,
    print::Print,
};

/// Pause before a file is looked for, or at, again.
const IDLE: Duration = Duration::from_secs(1);
/// A batch ends with the line that fills it, even if there are fewer lines than asked for.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// No message may be that large; without a bound, a file without line ends would fill the memory.
const MAX_LINE_BYTES: usize = 256 * 1024 * 1024;

fn batch_size() -> i32 {
    2000
}

/// Keys of the file source.
#[derive(Clone, Deserialize, JsonSchema)]
pub struct FileStreamSourceConfig {
    /// Source filename. If not specified, the standard input will be used.
    #[schemars(extend("x-importance" = "HIGH"))]
    file: Option<String>,
    /// The topic to publish data to.
    #[schemars(length(min = 1), extend("x-importance" = "HIGH"))]
    topic: String,
    /// The maximum number of records the source task can read from the file each time it is polled.
    #[serde(rename = "batch.size", default = "batch_size")]
    #[schemars(extend("x-importance" = "LOW"))]
    batch_size: i32,
}

/// Reads the lines of a text file, and waits for more.
///
/// The position is counted in bytes. A file that is shorter than the position at which to read on, or that is cut or
/// replaced, also while nobody reads it, is read from its start.
pub struct FileStreamSource(FileStreamSourceConfig);

/// The file, as Connect's offsets name it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilePartition {
    filename: Option<String>,
}

/// Bytes of the lines that were read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileOffset {
    position: u64,
    /// The file that they are of.
    #[serde(flatten)]
    print: Option<Print>,
}

#[async_trait]
impl SourceConnector for FileStreamSource {
    const NAME: &'static str = "org.apache.kafka.connect.file.FileStreamSourceConnector";
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = FileStreamSourceConfig;
    type Task = FileStreamSourceTask;

    /// What came from the standard input does not come again.
    fn exactly_once(config: &FileStreamSourceConfig) -> bool {
        config.file.as_ref().is_some_and(|file| !file.is_empty())
    }
    async fn connect(config: FileStreamSourceConfig) -> Result<Self> {
        Ok(Self(config))
    }
    async fn partitions(&self) -> Result<Vec<FilePartition>> {
        Ok(vec![FilePartition { filename: self.0.file.clone() }])
    }
    async fn task(
        &self,
        assigned: Vec<Assigned<FileStreamSourceTask>>,
    ) -> Result<FileStreamSourceTask> {
        let offset = assigned.into_iter().next().and_then(|assigned| assigned.offset);
        let (position, print) = offset.map_or((0, None), |offset| (offset.position, offset.print));
        let reader = Reader {
            input: Input::Unknown,
            file: self.0.file.clone(),
            lines: Lines::default(),
            position,
            print,
            topic: self.0.topic.as_str().into(),
            batch_size: self.0.batch_size.max(1) as usize,
            schema: Arc::new(Schema::new(Type::String)),
            idle: false,
        };
        Ok(FileStreamSourceTask(Work::Ready(Box::new(reader))))
    }

    async fn alter_offsets(
        config: &FileStreamSourceConfig,
        offsets: &[OffsetChange],
    ) -> Result<bool> {
        if config.file.is_none() {
            return Err(Error::config(
                "Offsets cannot be modified if the 'file' configuration is unspecified. This is because stdin is \
                 used for input and offsets are not tracked.",
            ));
        }
        // Null is taken for anything, so that an operator can clean up garbage.
        for (partition, offset) in offsets {
            if let Some(offset) = offset.as_ref().filter(|offset| !offset.is_null()) {
                check(partition, offset).map_err(Error::config)?;
            }
        }
        Ok(true)
    }
}

fn check(partition: &Json, offset: &Json) -> Result<(), &'static str> {
    let position = offset
        .get("position")
        .ok_or("Offset objects should either be null or contain the key 'position'")?;
    let position = position
        .as_i64()
        .ok_or("The value for the 'position' key in the offset is expected to be a Long value")?;
    if position < 0 {
        return Err(
            "The value for the 'position' key in the offset should be a non-negative value",
        );
    }
    if partition.is_null() {
        return Err("Partition objects cannot be null");
    }
    let named = partition.get("filename").is_some();
    named.then_some(()).ok_or("Partition objects should contain the key 'filename'")
}

/// Reads on from its position.
pub struct FileStreamSourceTask(Work);

type Outcome = Result<Polled<SourceBatch<FileStreamSourceTask>>>;

/// Files are read by blocking calls, on a thread that may block; a poll that is dropped leaves its work to the next.
enum Work {
    Ready(Box<Reader>),
    Running(JoinHandle<(Box<Reader>, Outcome)>),
    Lost,
}

#[async_trait]
impl SourceTask for FileStreamSourceTask {
    type Partition = FilePartition;
    type Offset = FileOffset;

    async fn poll(&mut self) -> Outcome {
        // A thread for each look at each of a thousand files that don't grow would cost more than everything else.
        if let Work::Ready(reader) = &self.0
            && reader.has_nothing()
        {
            return Ok(Polled::Idle(IDLE));
        }
        if let Work::Ready(_) = &self.0
            && let Work::Ready(mut reader) = std::mem::replace(&mut self.0, Work::Lost)
        {
            self.0 = Work::Running(tokio::task::spawn_blocking(move || {
                let outcome = reader.poll();
                (reader, outcome)
            }));
        }
        let Work::Running(running) = &mut self.0 else {
            return Err(Error::internal("the reader of the file is gone"));
        };
        let finished = running.await;
        let (reader, outcome) = finished
            .map_err(|e| Error::internal("the reader of the file failed").with_source(e))?;
        self.0 = Work::Ready(reader);
        outcome
    }
}

enum Input {
    /// Not looked at yet.
    Unknown,
    File(Followed),
    Stream(Stream),
}

struct Reader {
    input: Input,
    file: Option<String>,
    lines: Lines,
    /// Bytes of the lines delivered.
    position: u64,
    /// The file that the position is in, until it is opened.
    print: Option<Print>,
    topic: Text,
    batch_size: usize,
    schema: Arc<Schema>,
    /// Whether the last poll found nothing.
    idle: bool,
}

impl Reader {
    /// Whether everything was delivered at the last poll, and no more has come.
    fn has_nothing(&self) -> bool {
        self.idle && matches!(&self.input, Input::File(file) if file.is_at_its_end())
    }

    fn poll(&mut self) -> Outcome {
        let mut records = Vec::new();
        let mut size = 0;
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis());
        let timestamp = Some(timestamp as i64);
        if let Input::File(file) = &mut self.input {
            file.suspect();
        }
        loop {
            while records.len() < self.batch_size {
                let Some((line, taken)) = self.lines.next() else { break };
                self.position += taken as u64;
                size += taken;
                records.push(Record { timestamp, ..self.record(line) });
            }
            if records.len() >= self.batch_size || size >= MAX_BATCH_BYTES {
                break;
            }
            match self.read()? {
                Piece::Bytes(bytes) => self.lines.push(&bytes),
                Piece::Nothing => break,
                Piece::Restarted { cut } => {
                    let rest = self.lines.take_rest();
                    self.position = 0;
                    // The end of the file that was replaced: no line end will come.
                    if !cut && !rest.is_empty() {
                        records.push(Record { timestamp, ..self.record(rest) });
                    }
                    if !records.is_empty() {
                        break;
                    }
                }
            }
            if self.lines.waiting() > MAX_LINE_BYTES {
                return Err(Error::data("a line is too long")
                    .context("file", self.file.as_deref().unwrap_or("stdin"))
                    .context("position", self.position));
            }
        }
        self.idle = records.is_empty();
        if self.idle {
            return Ok(Polled::Idle(IDLE));
        }
        // What comes from a stream cannot be read again: it has no offset.
        let position = self.position;
        let offset = match &mut self.input {
            Input::File(file) => Some(FileOffset { position, print: file.print(position) }),
            _ => None,
        };
        let partition = FilePartition { filename: self.file.clone() };
        Ok(Polled::Batch(SourceBatch {
            partition,
            offset,
            topic: self.topic.clone(),
            records,
            unreadable: None,
        }))
    }

    fn read(&mut self) -> Result<Piece> {
        match (&mut self.input, &self.file) {
            (Input::File(file), _) => return file.read(),
            (Input::Stream(stream), _) => return stream.read(),
            (Input::Unknown, None) => self.input = Input::Stream(Stream::stdin()),
            (Input::Unknown, Some(path)) => match std::fs::metadata(path) {
                // Reading a pipe blocks.
                Ok(found) if !found.is_file() && !found.is_dir() => {
                    self.input = Input::Stream(Stream::open(path.clone()));
                }
                Ok(_) => {
                    let print = self.print.take();
                    self.input = Input::File(Followed::new(path.clone(), self.position, print));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let refused = Error::refused("cannot read the file").context("file", path);
                    return Err(refused.with_source(error));
                }
            },
        }
        match &mut self.input {
            Input::File(file) => file.read(),
            _ => Ok(Piece::Nothing),
        }
    }

    fn record(&self, line: Bytes) -> Record {
        // As Java, which puts U+FFFD for what is not UTF-8.
        let text = Text::try_from(line.clone())
            .unwrap_or_else(|_| String::from_utf8_lossy(&line).into_owned().into());
        Record::new(Arc::clone(&self.schema), Value::String(text))
    }
}
