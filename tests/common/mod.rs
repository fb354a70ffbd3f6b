//! Starts the built program for one test. The kit does the work; only cargo's tests of the package know the path of the
//! program.
#![allow(dead_code, unused_imports, reason = "each test uses the part that it needs")]

pub use redpoll_kit::program::{DEADLINE, Folder, Server, uninterrupted};
use std::ffi::OsStr;
use std::process::Command;

/// Returns a command for the program, without environment variables that would set its flags.
pub fn redpoll() -> Command {
    redpoll_kit::program::command(env!("CARGO_BIN_EXE_redpoll"))
}

/// Starts `redpoll serve` with these flags, on a port that the system chooses.
pub fn serve<F: AsRef<OsStr>>(flags: impl IntoIterator<Item = F>) -> Server {
    Server::run(redpoll().args(["serve", "--listen", "127.0.0.1:0"]).args(flags))
}
