//! `org.apache.kafka.connect.data.Values`: text of any value, and the value that a text means.

mod infer;
mod text;
mod tokens;

pub use infer::parse;
pub use text::to_text;
