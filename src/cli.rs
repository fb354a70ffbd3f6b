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
#[command(after_help = CHAT_HELP)]
pub struct ChatOptions {
    /// The server: HOST, HOST:PORT, [IPV6]:PORT, or :PORT on this machine
    #[arg(value_name = "HOST[:PORT]", default_value = "127.0.0.1:12345", env = "REDPOLL_ADDR")]
    pub address: crate::client::Address,
    /// The name to register with; asked for on a terminal if it isn't given
    #[arg(long, value_name = "NAME", env = "REDPOLL_NICK")]
    pub nick: Option<String>,
}

#[cfg(feature = "chat")]
const CHAT_HELP: &str = "\
What to type:
  hello              say it in the current room, the lobby at first
  @bob:hi            tell bob alone; @alice,bob:hi tells both
  &dev               enter the room dev (it's made on first use); plain text goes there now
  &dev:done          say it in dev without going there
  /who  /rooms       who is in this room, which rooms there are
  /nick NAME         take another name; /leave leaves the current room; /help tells all
  exit               or quit, or Ctrl-D: leave

TAB completes names, rooms and commands. NO_COLOR=1 turns colours off.

Examples:
  redpoll chat --nick alice
  redpoll chat chat.example:12345
  printf '#a\\n@b:hi\\n' | redpoll chat      plain lines in, plain lines out: the first registers as a

Exit codes: 0 done, 1 cannot connect, kicked or refused, 2 wrong flags.";
