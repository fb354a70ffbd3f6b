//! Parses the flags and runs the command.

use redpoll::cli::{Cli, Command};
#[cfg(feature = "chat")]
use redpoll::{cli::ChatOptions, client::Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::read().command {
        Command::Serve(options) => redpoll::engine::serve(&options),
        #[cfg(feature = "chat")]
        Command::Chat(ChatOptions { address, nick }) => redpoll::client::run(&Options { address, nick }),
        Command::Bench => redpoll::cli::bench(),
    }
}
