//! Flags to command; nothing else.

use clap::Parser;
use redpoll::cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => redpoll::engine::serve(&options),
        #[cfg(feature = "chat")]
        Command::Chat(options) => redpoll::client::run(&options),
    }
}
