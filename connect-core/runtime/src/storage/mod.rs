//! Backing stores: what the worker remembers, in Connect's own topics and formats.

mod cluster;
mod configs;
mod log;
mod offsets;
mod statuses;

#[cfg(test)]
pub(crate) use cluster::written;
pub(crate) use cluster::{
    Answer, Assignment, ClusterStore, OffsetChanges, Refused, Replaces, Report, Request,
    RestartOrder, Told, Work,
};
pub(crate) use configs::{ConfigStore, Stored};
pub(crate) use log::StateLog;
pub(crate) use offsets::{ConnectorOffsets, OffsetStore};
pub(crate) use statuses::{StatusChange, StatusStore, Subject};
