//! The example plugins: the conformance suite, and their life behind the REST API of a real worker on the embedded log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

mod plugins;
mod told;
mod worker;
