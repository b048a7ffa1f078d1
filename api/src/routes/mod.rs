//! The resources, one file each, and the table of all of them.

mod connector;
mod connectors;
mod lifecycle;
mod loggers;
mod offsets;
mod openapi;
mod plugins;
mod root;
mod topics;

pub use openapi::document as openapi;

use axum::Router;

use crate::{Shared, resource::Resource};

/// Which part of the API a listener serves (`admin.listeners`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    All,
    /// All but the loggers.
    Connectors,
    /// The loggers alone.
    Admin,
}

/// Every resource of a part.
pub(crate) fn resources(part: Part) -> Vec<Resource> {
    let mut all = Vec::new();
    if part != Part::Admin {
        all.extend(root::resources());
        all.extend(connectors::resources());
        all.extend(connector::resources());
        all.extend(lifecycle::resources());
        all.extend(topics::resources());
        all.extend(offsets::resources());
        all.extend(plugins::resources());
        all.extend(openapi::resources());
    }
    if part != Part::Connectors {
        all.extend(loggers::resources());
    }
    all
}

/// The routes of a part.
pub(crate) fn routes(part: Part) -> Router<Shared> {
    resources(part).into_iter().fold(Router::new(), |router, resource| resource.mount(router))
}
