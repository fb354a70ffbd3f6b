//! Flags to command; nothing else.

use redpoll::cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::read().command {
        Command::Serve(options) => redpoll::engine::serve(&options),
        #[cfg(feature = "chat")]
        Command::Chat(options) => redpoll::client::run(&options.into()),
        Command::Bench => redpoll::cli::bench(),
    }
}
