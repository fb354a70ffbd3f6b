//! The built program, started for one test. What starts it is in the kit, which doesn't know where it is.
#![allow(dead_code, unused_imports, reason = "each test uses the part that it needs")]

pub use redpoll_kit::program::{DEADLINE, Folder, Server, uninterrupted};
use std::ffi::OsStr;
use std::process::Command;

/// The program, without the variables that would set its flags.
pub fn redpoll() -> Command {
    redpoll_kit::program::command(env!("CARGO_BIN_EXE_redpoll"))
}

/// `redpoll serve` with these flags, on a port that the system chooses.
pub fn serve<F: AsRef<OsStr>>(flags: impl IntoIterator<Item = F>) -> Server {
    Server::run(redpoll().args(["serve", "--listen", "127.0.0.1:0"]).args(flags))
}
