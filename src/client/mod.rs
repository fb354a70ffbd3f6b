//! `redpoll chat`: the client, interactive on a terminal and plain in a pipe. The modules:
//!
//! - `address`, `connection`: the server's address, and the socket; received bytes become safe lines there.
//! - `line`: a parsed line from the server. `refusal_text`: messages for refusals. `view`: formatting of rows.
//! - `session`: the state, and the effects of a received or typed line; no I/O. `roster`: known users and rooms.
//! - `terminal`, `screen`: line editing, and printing above the edited line. `network`: the threads that read and
//!   write. `backoff`: delays before reconnecting.
//! - `pipe`: the client without a terminal.
//!
//! Public modules do no I/O, so that another front end can be built on them.

mod address;
pub mod backoff;
mod connection;
pub mod line;
mod network;
mod pipe;
pub mod refusal_text;
pub mod roster;
mod screen;
pub mod session;
mod terminal;
pub mod view;

pub use address::Address;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// The options of `redpoll chat`.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's address.
    pub address: Address,
    /// The name to register with, or NAME:PASSWORD; `None` asks the user on a terminal.
    pub nick: Option<String>,
}

/// Runs the client: with line editing if standard input and output are terminals, as a plain pipe otherwise.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return pipe::run(options);
    }
    match terminal::run(options) {
        Ok(Some(code)) => code,
        Ok(None) => pipe::run(options),
        Err(error) => {
            eprintln!("redpoll: can't use this terminal: {error}; `redpoll chat | cat` works without one");
            ExitCode::FAILURE
        }
    }
}
