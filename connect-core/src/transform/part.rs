//! Key or value: most transformations exist for each, as `X$Key` and `X$Value`.

use std::sync::Arc;

use crate::{
    data::{Schema, Value},
    record::Record,
};

/// The part of a record that a transformation works on.
pub(super) trait Part: Send + 'static {
    /// Whether it is the key.
    const KEY: bool;

    /// Schema and value of this part.
    fn of(record: &mut Record) -> (&mut Option<Arc<Schema>>, &mut Value) {
        if Self::KEY {
            (&mut record.key_schema, &mut record.key)
        } else {
            (&mut record.value_schema, &mut record.value)
        }
    }
}

/// `$Key`.
pub(super) struct OfKey;
/// `$Value`.
pub(super) struct OfValue;

impl Part for OfKey {
    const KEY: bool = true;
}
impl Part for OfValue {
    const KEY: bool = false;
}

/// The name of a class in `org.apache.kafka.connect.transforms` that exists for keys and for values.
macro_rules! name_of_part {
    ($part:ty, $class:literal) => {
        if <$part as $crate::transform::part::Part>::KEY {
            concat!("org.apache.kafka.connect.transforms.", $class, "$Key")
        } else {
            concat!("org.apache.kafka.connect.transforms.", $class, "$Value")
        }
    };
}
pub(super) use name_of_part;
