//! The example plugins: the conformance suite, and their life behind the REST API of a real worker on the embedded log.

mod plugins;
mod worker;
