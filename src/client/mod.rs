//! `redpoll chat`: the client for people at a terminal and for scripts. The map:
//!
//! - `address`, `connection`: where the server is, and the only socket; network bytes become safe lines there.
//! - `line`: a line from the server as a typed value. `words`: refusals in words. `view`: what a person sees.
//! - `session`: what is known and what follows from a line or a keystroke; no I/O. `roster`: who is here.
//! - `terminal`, `screen`: line editing, and printing above it. `pipe`: everything else. `backoff`: when to try again.

mod address;
mod connection;
mod line;
mod pipe;

pub use address::Address;

use crate::cli::ChatOptions;
use std::process::ExitCode;

/// Runs the client: line editing if standard input and output are terminals, a plain pipe otherwise.
#[must_use]
pub fn run(options: &ChatOptions) -> ExitCode {
    pipe::run(options)
}
