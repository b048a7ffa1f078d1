//! Connect's data model: values, and the schemas that describe them (`org.apache.kafka.connect.data`).

pub(crate) mod calendar;
mod decimal;
pub mod java;
mod schema;
mod value;
pub mod values;

pub use decimal::Decimal;
pub(crate) use decimal::MAX_SCALE;
pub use schema::{Field, Schema, Type, logical};
pub use value::Value;

/// UTF-8 text, a slice of shared bytes: cloning it copies nothing, and text that was fetched shares the memory
/// of its message.
pub type Text = bytestring::ByteString;
