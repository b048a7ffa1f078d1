//! Backing stores: what the worker remembers, in Connect's own topics and formats.

mod configs;
mod log;
mod offsets;
mod statuses;

pub(crate) use configs::{ConfigStore, Stored};
pub(crate) use log::StateLog;
pub(crate) use offsets::OffsetStore;
pub(crate) use statuses::{StatusStore, Statuses, Subject};
