//! Transformations and predicates: what happens to a record between a connector and the log
//! (`org.apache.kafka.connect.transforms`).

mod cast;
mod cast_value;
mod date_parser;
mod extract_field;
mod field_path;
mod filter;
mod flatten;
mod header_from;
mod headers;
mod hoist_field;
mod insert_field;
mod java_regex;
mod keys;
mod mask_field;
mod part;
mod predicates;
mod regex_router;
mod replace_field;
mod set_schema_metadata;
mod shape;
mod simple_date_format;
mod timestamp_converter;
mod timestamp_router;
mod value_to_key;

use part::{OfKey, OfValue, Part};

use crate::{
    config::{ConfigSpec, Invalid},
    error::Result,
    record::Record,
    registry::Registry,
};

/// Changes records one by one, or drops them.
pub trait Transformation: Sized + Send + 'static {
    /// Its class, as people write it in `transforms.X.type`.
    const NAME: &'static str;
    /// Version shown by REST.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Configuration, see [`crate::config`].
    type Config: ConfigSpec;

    /// Checks what no single key shows; called when a configuration is submitted, before it is stored.
    fn validate(_: &Self::Config) -> Vec<Invalid> {
        Vec::new()
    }
    /// Builds it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a configuration that cannot work.
    fn new(config: Self::Config) -> Result<Self>;
    /// Changes a record in place. Its topic is set; `offset` is its place in the log, which only a record that
    /// was fetched for a sink has. After an error the record is not used any more.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::error::ErrorKind::Data) if the record is not of the shape that it expects.
    fn apply(&mut self, record: &mut Record, offset: Option<i64>) -> Result<Fate>;
}

/// Whether a record goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// To the next transformation.
    Keep,
    /// Nowhere.
    Drop,
}

/// Decides to which records a transformation is applied.
pub trait Predicate: Sized + Send + 'static {
    /// Its class, as people write it in `predicates.X.type`.
    const NAME: &'static str;
    /// Version shown by REST.
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Configuration, see [`crate::config`].
    type Config: ConfigSpec;

    /// Checks what no single key shows; called when a configuration is submitted, before it is stored.
    fn validate(_: &Self::Config) -> Vec<Invalid> {
        Vec::new()
    }
    /// Builds it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a configuration that cannot work.
    fn new(config: Self::Config) -> Result<Self>;
    /// Whether it holds for this record.
    fn test(&self, record: &Record) -> bool;
}

/// [`Transformation`] without its types.
pub trait DynTransformation: Send {
    /// See [`Transformation::apply`].
    fn apply(&mut self, record: &mut Record, offset: Option<i64>) -> Result<Fate>;
}

impl<T: Transformation> DynTransformation for T {
    fn apply(&mut self, record: &mut Record, offset: Option<i64>) -> Result<Fate> {
        Transformation::apply(self, record, offset)
    }
}

/// [`Predicate`] without its types.
pub trait DynPredicate: Send {
    /// See [`Predicate::test`].
    fn test(&self, record: &Record) -> bool;
}

impl<T: Predicate> DynPredicate for T {
    fn test(&self, record: &Record) -> bool {
        Predicate::test(self, record)
    }
}

/// The transformations and predicates of Apache Kafka.
pub(crate) fn register(registry: Registry) -> Registry {
    of_part::<OfValue>(of_part::<OfKey>(registry))
        .transformation::<headers::DropHeaders>()
        .transformation::<headers::InsertHeader>()
        .transformation::<filter::Filter>()
        .transformation::<regex_router::RegexRouter>()
        .transformation::<timestamp_router::TimestampRouter>()
        .transformation::<value_to_key::ValueToKey>()
        .predicate::<predicates::HasHeaderKey>()
        .predicate::<predicates::RecordIsTombstone>()
        .predicate::<predicates::TopicNameMatches>()
}

/// Those that exist for keys and for values.
fn of_part<P: Part>(registry: Registry) -> Registry {
    registry
        .transformation::<cast::Cast<P>>()
        .transformation::<extract_field::ExtractField<P>>()
        .transformation::<flatten::Flatten<P>>()
        .transformation::<header_from::HeaderFrom<P>>()
        .transformation::<hoist_field::HoistField<P>>()
        .transformation::<insert_field::InsertField<P>>()
        .transformation::<mask_field::MaskField<P>>()
        .transformation::<replace_field::ReplaceField<P>>()
        .transformation::<set_schema_metadata::SetSchemaMetadata<P>>()
        .transformation::<timestamp_converter::TimestampConverter<P>>()
}
