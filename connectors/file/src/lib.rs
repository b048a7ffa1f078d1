//! The connectors that come with Apache Kafka: `FileStreamSourceConnector` reads the lines of a file as they are
//! appended, `FileStreamSinkConnector` appends a line for each record.

mod input;
mod lines;
mod print;
mod sink;
mod source;

pub use sink::FileStreamSink;
pub use source::FileStreamSource;
