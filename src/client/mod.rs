//! `redpoll chat`.

use crate::cli::ChatOptions;
use std::process::ExitCode;

/// Runs the client.
#[must_use]
pub fn run(_options: &ChatOptions) -> ExitCode {
    ExitCode::SUCCESS
}
