//! `redpoll chat`: the client for people at a terminal and for scripts. The map:
//!
//! - `address`, `connection`: where the server is, and the only socket; network bytes become safe lines there.
//! - `line`: a line from the server as a typed value. `words`: refusals in words. `view`: what a person sees.
//! - `session`: what is known and what follows from a line or a keystroke; no I/O. `roster`: who is here.
//! - `terminal`, `screen`: line editing, and printing above it. `network`: the threads beside it. `backoff`: when to
//!   connect again.
//! - `pipe`: all of it where there is no terminal.
//!
//! Public is what another front end can be built on: values without I/O.

mod address;
pub mod backoff;
mod connection;
pub mod line;
mod network;
mod pipe;
pub mod roster;
mod screen;
pub mod session;
mod terminal;
pub mod view;
pub mod words;

pub use address::Address;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// Where to connect, and as which user.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub address: Address,
    /// The name to register with; asked for where there is none.
    pub nick: Option<String>,
}

/// Runs the client: line editing if standard input and output are terminals, a plain pipe otherwise.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return pipe::run(options);
    }
    match terminal::run(options) {
        Ok(Some(code)) => code,
        Ok(None) => pipe::run(options),
        Err(error) => {
            eprintln!("redpoll: this terminal doesn't work: {error}");
            ExitCode::FAILURE
        }
    }
}
