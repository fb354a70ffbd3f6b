//! The command line: all flags with their defaults and units are defined here. Each flag of the server and the client
//! is also read from the environment, as `REDPOLL_` and its name.

mod bench;
pub mod environment;

pub use bench::bench;

use crate::limits::{KIB, Limits, MAX_MAX_LINE, MAX_SPIN, MIN_MAX_LINE, MIN_QUEUE, MIN_SEND_BUFFER};
use crate::protocol::scheme::{self, Scheme};
use crate::subnet::Subnet;
use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// A chat server for small hosts, and a client for it.
#[derive(Debug, Parser)]
#[command(name = "redpoll", version, propagate_version = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the command line and the environment. Exits with code 2 if they are invalid, and with 0 after help.
    #[must_use]
    pub fn read() -> Cli {
        let cli = Cli::try_parse().unwrap_or_else(|error| {
            if let Some(variable) = environment::cause(&error, std::env::args_os()) {
                // The exit code says it too, where standard error is closed.
                let _ =
                    writeln!(io::stderr(), "note: the value is that of the environment variable {variable}");
            }
            error.exit()
        });
        if let Command::Serve(options) = &cli.command
            && let Err(why) = options.check()
        {
            Cli::command().error(ErrorKind::ValueValidation, why).exit();
        }
        cli
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(ServeOptions),
    /// Chat from this terminal.
    #[cfg(feature = "chat")]
    Chat(ChatOptions),
    /// Run the benchmark: the program redpoll-bench.
    #[command(disable_help_flag = true, disable_version_flag = true, arg = bench::arguments())]
    Bench,
}

/// Returns the help after the flags of `redpoll serve`: units, schemes, engines, start and stop.
fn serve_help() -> String {
    [UNITS_HELP, &schemes_help(), ENGINES_HELP, START_HELP].concat()
}

const UNITS_HELP: &str = "\
Sizes take a unit: KiB, MiB, KB or MB; the default is bytes. Times take units: ms, s, m, h or
d, also together (1h30m); the default is seconds.
Each flag is also read from the environment, for example --max-line from REDPOLL_MAX_LINE. The command line takes
precedence.";

/// Returns the help for the schemes. Schemes with the same text are listed together above it.
fn schemes_help() -> String {
    let mut help = String::from("\n\nSchemes:\n");
    for same in scheme::TABLE.chunk_by(|one, other| one.help == other.help) {
        let names = same.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        let text = same[0].help.replace('\n', "\n            ");
        help += &match same.len() {
            1 => format!("  {names:<8}  {text}\n"),
            _ => format!("  {names}\n            {text}\n"),
        };
    }
    help
}

#[cfg(feature = "threads")]
const ENGINES_HELP: &str = "
Engines:
  reactor         one thread and one poller
  threads         a thread per connection, which sends to the recipients directly; for comparison; without udp
  threads-queued  a reader and a writer thread per connection with a bounded queue between; for comparison; without udp
";
#[cfg(not(feature = "threads"))]
const ENGINES_HELP: &str = "
Engines:
  reactor         one thread and one poller; other engines need a build with the feature `threads`
";

const START_HELP: &str = "
When all listeners are bound, the server prints a line `listening SCHEME://ADDRESS` for each to standard output. It logs
to standard error. SIGTERM or SIGINT (Ctrl-C) stops the server after flushing the queues; a second one stops it at once.

Examples:
  redpoll serve                                      listen on this machine only
  redpoll serve --listen 0.0.0.0:12345               listen on all IPv4 addresses
  redpoll serve --listen [::]:12345 --max-line 1KiB  listen on IPv4 and IPv6, with shorter lines
  nc 127.0.0.1 12345                                 connect; then type #alice to register

Exit codes: 0 stopped by a signal or an operator, 1 failed (for example: port in use), 2 invalid flags.";

/// The flags of `redpoll serve`. The help of each flag defines the meaning of 0.
#[derive(Debug, Args)]
#[command(after_help = serve_help())]
pub struct ServeOptions {
    /// Address to listen on: SCHEME://HOST:PORT, unix://PATH, or HOST:PORT for line; repeat for more listeners. Port 0
    /// assigns a free port. Schemes are listed below
    #[arg(help_heading = "Listening", long, value_name = "URL", env = "REDPOLL_LISTEN", value_delimiter = ' ',
          default_value = "line://127.0.0.1:12345", value_parser = ListenUrl::parse)]
    pub listen: Vec<ListenUrl>,
    /// Maximum length of a line including CR and LF; 128 bytes to 64 KiB
    #[arg(help_heading = "Limits", long, value_name = "SIZE", env = "REDPOLL_MAX_LINE", default_value = "4KiB", value_parser = max_line)]
    max_line: usize,
    /// Maximum unsent bytes for one connection; it is closed after 2 s above this, or above 8 times this; minimum 8 KiB
    #[arg(help_heading = "Limits", long, value_name = "SIZE", env = "REDPOLL_QUEUE", default_value = "256KiB", value_parser = queue)]
    queue: usize,
    /// Maximum unsent bytes of all connections; above it, the one with the largest queue is closed; minimum --queue
    #[arg(help_heading = "Limits", long, value_name = "SIZE", env = "REDPOLL_QUEUE_TOTAL", default_value = "64MiB", value_parser = size)]
    queue_total: usize,
    /// Bytes that the kernel may buffer for one connection (SO_SNDBUF); minimum 4 KiB; 0: the kernel's default
    #[arg(help_heading = "Limits", long, value_name = "SIZE", env = "REDPOLL_SEND_BUFFER", default_value = "128KiB", value_parser = send_buffer)]
    send_buffer: usize,
    /// Maximum connections at a time; 0: the descriptor limit minus 32 and the listeners
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "N",
        env = "REDPOLL_MAX_CONNECTIONS",
        default_value_t = 0
    )]
    pub max_connections: usize,
    /// Maximum connections of one address (IPv6: /64) at a time; loopback is exempt; 0: no limit
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "N",
        env = "REDPOLL_MAX_PER_ADDRESS",
        default_value_t = 64
    )]
    max_per_address: usize,
    /// Network that is exempt from --max-per-address: 10.0.0.0/8, 2001:db8::/32, or one address; repeat for more
    #[arg(
        help_heading = "Listening",
        long,
        value_name = "NET",
        env = "REDPOLL_TRUST",
        value_delimiter = ' '
    )]
    trust: Vec<Subnet>,
    /// Maximum time from accept to registration; minimum 1s; 0: no limit
    #[arg(help_heading = "Limits", long, value_name = "TIME", env = "REDPOLL_REGISTER_TIMEOUT", default_value = "60s", value_parser = register_timeout)]
    register_timeout: Duration,
    /// Lines per second from one connection; above that, reading from it is delayed and no line is lost; 0: no limit
    #[arg(help_heading = "Rate", long, value_name = "N", env = "REDPOLL_RATE", default_value_t = 20)]
    rate: u32,
    /// Lines that a connection may send at once before --rate applies; minimum 1
    #[arg(help_heading = "Rate", long, value_name = "N", env = "REDPOLL_BURST", default_value = "200", value_parser = burst)]
    burst: u32,
    /// Maximum rooms at a time, including the lobby; 0: no limit
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "N",
        env = "REDPOLL_MAX_ROOMS",
        default_value_t = 1024
    )]
    max_rooms: usize,
    /// Maximum rooms of one connection, including the lobby; 0: no limit
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "N",
        env = "REDPOLL_MAX_ROOMS_PER_CONNECTION",
        default_value_t = 64
    )]
    max_rooms_per_connection: usize,
    /// Members of a room above which the room sends no presence (joined, left, renamed); 0: no limit
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "N",
        env = "REDPOLL_QUIET_ABOVE",
        default_value_t = 256
    )]
    quiet_above: usize,
    /// Maximum time to flush the queue of a closing connection, or all queues when the server stops; 0: no time
    #[arg(help_heading = "Shutdown", long, value_name = "TIME", env = "REDPOLL_DRAIN", default_value = "5s", value_parser = duration)]
    drain: Duration,
    /// Announce each line typed at the server's own terminal to all users
    #[arg(help_heading = "Listening", long, env = "REDPOLL_CONSOLE", value_parser = BoolishValueParser::new())]
    pub console: bool,
    /// Allow udp on addresses that are neither loopback nor private, where any network can forge source addresses
    #[arg(help_heading = "Listening", long, env = "REDPOLL_UDP_PUBLIC", value_parser = BoolishValueParser::new())]
    pub udp_public: bool,
    /// Level of the log: error (failures), warn (also limits reached), info (also users and operators), debug (also
    /// every connection)
    #[arg(
        help_heading = "Logging",
        long,
        value_name = "LEVEL",
        env = "REDPOLL_LOG",
        default_value = "info",
        hide_possible_values = true
    )]
    pub log: LogLevel,
    /// Format of the log: text, or json (one object per line)
    #[arg(
        help_heading = "Logging",
        long,
        value_name = "FORMAT",
        env = "REDPOLL_LOG_FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// Frame timeout of classic, nickname and relay: time without input that ends a message without LF; minimum 1ms
    #[arg(help_heading = "Limits", long, value_name = "TIME", env = "REDPOLL_PAUSE", default_value = "50ms", value_parser = frame_timeout)]
    pause: Duration,
    /// Engine that moves the bytes; engines are listed below
    #[arg(
        help_heading = "Measuring",
        long,
        value_name = "ENGINE",
        env = "REDPOLL_ENGINE",
        default_value = "reactor",
        hide_possible_values = true
    )]
    pub engine: Engine,
    /// Microseconds to poll without sleeping after an event: less latency, but a whole processor while there is
    /// traffic; at most 1000000; 0: sleep at once
    #[arg(help_heading = "Measuring", long, value_name = "MICROSECONDS", env = "REDPOLL_SPIN", default_value = "0", value_parser = spin)]
    pub spin: Duration,
}

impl ServeOptions {
    /// Checks the flags that depend on each other.
    fn check(&self) -> Result<(), String> {
        if self.queue_total < self.queue {
            return Err(format!(
                "--queue-total {} is less than --queue {}; raise --queue-total or lower --queue",
                self.queue_total, self.queue
            ));
        }
        Ok(())
    }

    /// Returns the limits from the flags. `max_connections` is not clamped yet.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let unless_0 = |number: usize| (number > 0).then_some(number);
        Limits {
            max_line: self.max_line,
            queue: self.queue,
            queue_total: self.queue_total,
            send_buffer: unless_0(self.send_buffer),
            max_connections: self.max_connections,
            max_per_address: unless_0(self.max_per_address),
            trusted: self.trust.clone(),
            rate: (self.rate > 0).then_some(self.rate),
            burst: self.burst,
            register_timeout: (!self.register_timeout.is_zero()).then_some(self.register_timeout),
            max_rooms: unless_0(self.max_rooms),
            max_rooms_per_connection: unless_0(self.max_rooms_per_connection),
            quiet_above: unless_0(self.quiet_above),
            drain: self.drain,
            frame_timeout: self.pause,
        }
    }
}

/// The engine that moves bytes. All engines use the same hub, parsers and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// One thread, one poller.
    Reactor,
    /// A thread per connection. The thread of the sender sends to the recipients, under the hub's lock.
    #[cfg(feature = "threads")]
    Threads,
    /// A reader and a writer thread per connection, with a bounded queue between. No thread sends under the lock.
    #[cfg(feature = "threads")]
    ThreadsQueued,
}

/// The level of the log; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// Conditions that the operator should check: limits that are reached, connections that are rejected.
    Warn,
    /// Users that register and leave, and actions of operators.
    Info,
    /// Every connection, registered or not.
    Debug,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

/// The address and the scheme of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl {
    /// The scheme.
    pub scheme: Scheme,
    /// The address.
    pub address: ListenAddress,
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP or UDP port.
    Port {
        /// A host name or an address without brackets.
        host: String,
        /// 0 assigns a free port.
        port: u16,
    },
    /// A socket file.
    File(PathBuf),
}

impl ListenUrl {
    /// Parses `SCHEME://HOST:PORT`, `unix://PATH`, or `HOST:PORT` for line; an IPv6 address must be in brackets.
    ///
    /// # Errors
    /// A message with the invalid part.
    pub fn parse(url: &str) -> Result<ListenUrl, String> {
        let (scheme, address) = url.split_once("://").unwrap_or((Scheme::Line.name(), url));
        let Some(scheme) = Scheme::named(scheme) else {
            let schemes: Vec<&str> = Scheme::ALL.into_iter().map(Scheme::name).collect();
            return Err(format!("no scheme `{scheme}`; use one of: {}", schemes.join(", ")));
        };
        let address = match scheme {
            Scheme::Unix if address.is_empty() => {
                return Err("the path is missing; write it as in unix:///run/redpoll.sock".into());
            }
            Scheme::Unix => ListenAddress::File(address.into()),
            _ => port(address)?,
        };
        Ok(ListenUrl { scheme, address })
    }
}

fn port(address: &str) -> Result<ListenAddress, String> {
    let (host, port) = address.rsplit_once(':').ok_or("the port is missing; write HOST:PORT")?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host,
        None if host.contains(':') => {
            return Err(format!("an IPv6 address must be in brackets; write [{host}]:{port}"));
        }
        None => host,
    };
    if host.is_empty() {
        return Err("the host is missing; write HOST:PORT, with 0.0.0.0 or [::] for all addresses".into());
    }
    let port = port.parse().map_err(|_| format!("`{port}` is not a port; give a number from 0 to 65535"))?;
    Ok(ListenAddress::Port { host: host.to_owned(), port })
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        match &self.address {
            ListenAddress::Port { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            ListenAddress::Port { host, port } => write!(f, "{host}:{port}"),
            ListenAddress::File(path) => path.display().fmt(f),
        }
    }
}

/// The flags of `redpoll chat`.
#[cfg(feature = "chat")]
#[derive(Debug, Args)]
#[command(after_help = CHAT_HELP)]
pub struct ChatOptions {
    /// Address of the server: HOST, HOST:PORT (IPv6 in brackets), or :PORT on this machine
    #[arg(value_name = "HOST[:PORT]", default_value = "127.0.0.1:12345", env = "REDPOLL_ADDR")]
    pub address: crate::client::Address,
    /// Name to register with; without it, the client asks for a name if it runs on a terminal
    #[arg(long, value_name = "NAME", env = "REDPOLL_NICK")]
    pub nick: Option<String>,
}

#[cfg(feature = "chat")]
const CHAT_HELP: &str = "\
Input lines:
  hello              send to the current room, at first the lobby
  @bob:hi            send only to bob; @alice,bob:hi sends to both
  &dev               join the room dev and make it current; a missing room is created
  &dev:done          send to dev; the current room stays the same
  /who  /rooms       list the members of the current room; list the rooms
  /nick NAME         change your name
  /leave  /help      leave the current room; list all commands
  exit               quit; also: quit, Ctrl-D

TAB completes names, rooms and commands. NO_COLOR=1 turns colours off.

Examples:
  redpoll chat --nick alice
  redpoll chat chat.example:12345
  printf '#a\\n@b:hi\\n' | redpoll chat      register as a and send to b; in a pipe, lines are not formatted

Exit codes: 0 done, 1 connection failed, kicked or rejected, 2 invalid flags.";

const SIZE_UNITS: [(&str, usize); 8] = [
    ("KiB", KIB),
    ("MiB", KIB * KIB),
    ("GiB", KIB * KIB * KIB),
    ("KB", 1000),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Units in milliseconds.
const TIME_UNITS: [(&str, usize); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Parses a whole number with one of `units`. `default` is the scale without a unit.
fn parse_with_unit(text: &str, units: &[(&str, usize)], default: usize) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let known = || units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", ");
    let scale = match unit.trim() {
        "" => default,
        unit => {
            units
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(|| format!("no unit `{unit}`; use one of: {}", known()))?
                .1
        }
    };
    let number: usize =
        number.parse().map_err(|_| "not a whole number; give one, with or without a unit".to_owned())?;
    number.checked_mul(scale).ok_or_else(|| "too large; give a smaller number".to_owned())
}

/// Parses a size in bytes, with an optional unit of [`ServeOptions`]'s help.
///
/// # Errors
/// A message with the problem.
pub fn size(text: &str) -> Result<usize, String> {
    parse_with_unit(text, &SIZE_UNITS, 1)
}

/// Parses a time with an optional unit; the default is seconds.
///
/// # Errors
/// A message with the problem.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut total = Duration::ZERO;
    // `1h30m` is the sum of its parts, each of which begins with a digit after a unit.
    for part in parts(text) {
        total += Duration::from_millis(parse_with_unit(part, &TIME_UNITS, 1000)? as u64);
    }
    Ok(total)
}

/// Splits before each digit that follows a letter; a text without any is one part.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let bytes = text.as_bytes();
        let end =
            (1..bytes.len()).find(|at| bytes[*at].is_ascii_digit() && bytes[at - 1].is_ascii_alphabetic());
        rest = end.map(|end| &text[end..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

fn at_least(min: usize, size: usize) -> Result<usize, String> {
    if size >= min { Ok(size) } else { Err(format!("too small; give at least {min} bytes")) }
}

fn max_line(text: &str) -> Result<usize, String> {
    let size = at_least(MIN_MAX_LINE, size(text)?)?;
    if size <= MAX_MAX_LINE { Ok(size) } else { Err(format!("too large; give at most {MAX_MAX_LINE} bytes")) }
}

fn queue(text: &str) -> Result<usize, String> {
    let size = at_least(MIN_QUEUE, size(text)?)?;
    /// Offsets in a queue have 32 bits, and a queue may grow to 8 times `--queue`.
    const MAX_QUEUE: usize = 256 * KIB * KIB;
    if size <= MAX_QUEUE { Ok(size) } else { Err(format!("too large; give at most {MAX_QUEUE} bytes")) }
}

fn send_buffer(text: &str) -> Result<usize, String> {
    /// SO_SNDBUF is an `int`, which Linux doubles (socket(7)).
    const MAX_SEND_BUFFER: usize = i32::MAX as usize / 2;
    match size(text)? {
        0 => Ok(0),
        size if size > MAX_SEND_BUFFER => Err(format!("too large; give at most {MAX_SEND_BUFFER} bytes")),
        size => at_least(MIN_SEND_BUFFER, size),
    }
}

fn register_timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if !short.is_zero() && short < Duration::from_secs(1) => {
            Err("too short; give at least 1s, or 0 for no limit".to_owned())
        }
        time => Ok(time),
    }
}

fn frame_timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time.is_zero() => Err("too short; give at least 1ms".to_owned()),
        time => Ok(time),
    }
}

fn spin(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(micros) if Duration::from_micros(micros) <= MAX_SPIN => Ok(Duration::from_micros(micros)),
        _ => Err(format!("not valid; give a whole number of microseconds, at most {}", MAX_SPIN.as_micros())),
    }
}

fn burst(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("too small; give at least 1".to_owned()),
        Ok(lines) => Ok(lines),
        Err(_) => Err("not a whole number; give one of at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_below_minimum_are_rejected() {
        assert!(max_line("127").is_err() && max_line("128").is_ok() && max_line("1MiB").is_err());
        assert!(queue("8191").is_err() && queue("8KiB").is_ok());
        assert!(send_buffer("1").is_err() && send_buffer("0").is_ok());
        assert!(send_buffer("4GiB").is_err() && send_buffer("1023MiB").is_ok());
        assert!(register_timeout("999ms").is_err() && register_timeout("0").is_ok());
        assert!(burst("0").is_err() && burst("1").is_ok() && burst("x").is_err());
    }
}
