//! `connect`: a worker with every connector that is shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    api::cli::main(connectors::registry())
}
