//! The command line: every flag, its default and its unit, and only here.

use clap::{Args, Parser, Subcommand};

/// A chat server for small hosts, and a client for it.
#[derive(Debug, Parser)]
#[command(name = "redpoll", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Chat from this terminal.
    #[cfg(feature = "chat")]
    Chat(ChatOptions),
}

/// The flags of `redpoll chat`.
#[cfg(feature = "chat")]
#[derive(Debug, Args)]
pub struct ChatOptions {
    /// The server: HOST, HOST:PORT, or a bare port's host left out as :PORT
    #[arg(value_name = "HOST[:PORT]", default_value = "127.0.0.1:12345", env = "REDPOLL_ADDR")]
    pub address: String,
    /// The name to register with; asked for if it isn't given
    #[arg(long, value_name = "NAME", env = "REDPOLL_NICK")]
    pub nick: Option<String>,
}
