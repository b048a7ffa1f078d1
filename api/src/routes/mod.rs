//! The resources, one file each.

pub(crate) mod connectors;
pub(crate) mod plugins;
pub(crate) mod root;
