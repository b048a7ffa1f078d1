//! A worker with the shipped connectors and the examples: what a plugin author builds.

use std::process::ExitCode;

fn main() -> ExitCode {
    api::cli::main(connectors::registry().merge(examples::registry()))
}
