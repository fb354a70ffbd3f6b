//! The command line: every flag, its default and its unit, and only here. Every flag of the server and the client is also
//! read from the environment, as `REDPOLL_` and its name.

mod bench;

pub use bench::bench;

use crate::limits::{KIB, Limits, MAX_MAX_LINE, MAX_SPIN, MIN_MAX_LINE, MIN_QUEUE, MIN_SEND_BUFFER};
use crate::protocol::scheme::{self, Scheme};
use crate::subnet::Subnet;
use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A chat server for small hosts, and a client for it.
#[derive(Debug, Parser)]
#[command(name = "redpoll", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What the command line and the environment ask for; where that can't be, or help is asked for, this ends the
    /// program as `clap` does: exit code 2, or 0.
    #[must_use]
    pub fn read() -> Cli {
        let cli = Cli::parse();
        if let Command::Serve(options) = &cli.command
            && let Err(why) = options.check()
        {
            Cli::command().error(ErrorKind::ValueValidation, why).exit();
        }
        cli
    }
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(ServeOptions),
    /// Chat from this terminal.
    #[cfg(feature = "chat")]
    Chat(ChatOptions),
    /// Measure engines against each other, by the program redpoll-bench.
    #[command(disable_help_flag = true, disable_version_flag = true, arg = bench::words())]
    Bench,
}

/// What `redpoll serve --help` says below the flags: units, schemes, engines, the rest.
fn serve_help() -> String {
    [UNITS_HELP, &schemes_help(), ENGINES_HELP, START_HELP].concat()
}

const UNITS_HELP: &str = "\
Sizes take a unit (KiB, MiB, or KB, MB; bare: bytes), times too (ms, s, m, h; bare: seconds). Each flag is also read from
the environment: REDPOLL_MAX_LINE for --max-line, and so on.";

/// The schemes, those with the same help together: a short name in front of its help, several above it.
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
  reactor         one thread and one poller: what redpoll is
  threads         a thread for each connection, which sends to the recipients itself; here to be measured against
  threads-queued  a reader and a writer thread for each connection, and a bounded queue between; likewise. Neither has udp
";
#[cfg(not(feature = "threads"))]
const ENGINES_HELP: &str = "
Engines:
  reactor         one thread and one poller; the others need a build with the feature `threads`
";

const START_HELP: &str = "
Once all listeners are bound, a line `listening SCHEME://ADDRESS` for each goes to standard output; the log goes to standard
error. SIGTERM and SIGINT (Ctrl-C) stop the server after what is queued was sent; a second one stops it at once.

Examples:
  redpoll serve                                      on this machine only
  redpoll serve --listen 0.0.0.0:12345               for the whole network
  redpoll serve --listen [::]:12345 --max-line 1KiB  IPv4 and IPv6, shorter lines
  nc 127.0.0.1 12345                                 and type: #alice

Exit codes: 0 stopped as asked, 1 failed (a port in use, say), 2 wrong flags.";

/// The flags of `redpoll serve`. 0 means what the help says, never \"nothing\".
#[derive(Debug, Args)]
#[command(after_help = serve_help())]
pub struct ServeOptions {
    /// Where to listen, any number of times: SCHEME://HOST:PORT, unix://PATH, or HOST:PORT for line; port 0 takes a
    /// free one. What the schemes are stands below
    #[arg(long, value_name = "URL", env = "REDPOLL_LISTEN", value_delimiter = ' ',
          default_value = "line://127.0.0.1:12345", value_parser = ListenUrl::parse)]
    pub listen: Vec<ListenUrl>,
    /// How bytes are moved; what the values are stands below
    #[arg(
        long,
        value_name = "ENGINE",
        env = "REDPOLL_ENGINE",
        default_value = "reactor",
        hide_possible_values = true
    )]
    pub engine: Engine,
    /// Longest line, its CR and LF included; 128 bytes to 64 KiB
    #[arg(long, value_name = "SIZE", env = "REDPOLL_MAX_LINE", default_value = "4KiB", value_parser = max_line)]
    max_line: usize,
    /// Unsent bytes for one connection above which, for 2 s or at eight times as many, it is too slow; 8 KiB or more
    #[arg(long, value_name = "SIZE", env = "REDPOLL_QUEUE", default_value = "256KiB", value_parser = queue)]
    queue: usize,
    /// Memory for unsent bytes of all connections together, above which the largest queue goes; --queue or more
    #[arg(long, value_name = "SIZE", env = "REDPOLL_QUEUE_TOTAL", default_value = "64MiB", value_parser = size)]
    queue_total: usize,
    /// Bytes that the kernel may hold for one connection (SO_SNDBUF), 4 KiB or more; 0: as the kernel likes
    #[arg(long, value_name = "SIZE", env = "REDPOLL_SEND_BUFFER", default_value = "128KiB", value_parser = send_buffer)]
    send_buffer: usize,
    /// Connections at a time; 0: as many as descriptors allow, less 32 and the listeners
    #[arg(long, value_name = "N", env = "REDPOLL_MAX_CONNECTIONS", default_value_t = 0)]
    pub max_connections: usize,
    /// Connections of one address at a time (IPv6: of one /64), those from this machine not counted; 0: no limit
    #[arg(long, value_name = "N", env = "REDPOLL_MAX_PER_ADDRESS", default_value_t = 64)]
    max_per_address: usize,
    /// A network whose addresses have no such limit, any number of times: 10.0.0.0/8, 2001:db8::/32, or one address
    #[arg(long, value_name = "NET", env = "REDPOLL_TRUST", value_delimiter = ' ')]
    trust: Vec<Subnet>,
    /// Time to give a name in; 0: for ever
    #[arg(long, value_name = "TIME", env = "REDPOLL_REGISTER_TIMEOUT", default_value = "60s", value_parser = register_timeout)]
    register_timeout: Duration,
    /// Lines a second from one connection; above that it isn't read until it may go on, and loses nothing. 0: no limit
    #[arg(long, value_name = "N", env = "REDPOLL_RATE", default_value_t = 20)]
    rate: u32,
    /// Lines that it may send at once before that; 1 or more
    #[arg(long, value_name = "N", env = "REDPOLL_BURST", default_value = "200", value_parser = burst)]
    burst: u32,
    /// Rooms at a time, the lobby counted; 0: no limit
    #[arg(long, value_name = "N", env = "REDPOLL_MAX_ROOMS", default_value_t = 1024)]
    max_rooms: usize,
    /// Rooms that one connection may be in; 0: no limit
    #[arg(long, value_name = "N", env = "REDPOLL_MAX_ROOMS_PER_CONNECTION", default_value_t = 64)]
    max_rooms_per_connection: usize,
    /// Members of a room above which it tells no comings and goings; 0: it always does
    #[arg(long, value_name = "N", env = "REDPOLL_QUIET_ABOVE", default_value_t = 256)]
    quiet_above: usize,
    /// Time to flush what is queued for a connection that is closed, or for all when the server stops; 0: no time
    #[arg(long, value_name = "TIME", env = "REDPOLL_DRAIN", default_value = "5s", value_parser = duration)]
    drain: Duration,
    /// Tell everyone each line that is typed at the server's own terminal
    #[arg(long, env = "REDPOLL_CONSOLE", value_parser = BoolishValueParser::new())]
    pub console: bool,
    /// Let udp listen on addresses that are neither loopback nor private, where forged addresses can come from anywhere
    #[arg(long, env = "REDPOLL_UDP_PUBLIC", value_parser = BoolishValueParser::new())]
    pub udp_public: bool,
    /// Microseconds to look for more without sleeping after something has come, at most 1000000: less latency for a
    /// whole processor while there is traffic; 0: sleep at once
    #[arg(long, value_name = "MICROSECONDS", env = "REDPOLL_SPIN", default_value = "0", value_parser = spin)]
    pub spin: Duration,
    /// What the log says: only what failed, or also what needs a look, what happens, or every connection; one of error,
    /// warn, info, debug
    #[arg(
        long,
        value_name = "LEVEL",
        env = "REDPOLL_LOG",
        default_value = "info",
        hide_possible_values = true
    )]
    pub log: LogLevel,
    /// How it says so: as text, or one JSON object a line; one of text, json
    #[arg(
        long,
        value_name = "FORMAT",
        env = "REDPOLL_LOG_FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// How long nothing comes before a message without LF counts as whole, for classic, nickname and relay; 1ms or more
    #[arg(long, value_name = "TIME", env = "REDPOLL_PAUSE", default_value = "50ms", value_parser = pause)]
    pause: Duration,
}

impl ServeOptions {
    /// What flags must keep to of each other.
    fn check(&self) -> Result<(), String> {
        if self.queue_total < self.queue {
            return Err(format!(
                "--queue-total {} is less than --queue {}: one queue alone would be above it",
                self.queue_total, self.queue
            ));
        }
        Ok(())
    }

    /// The limits that the flags ask for; connections are not clamped yet.
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
            pause: self.pause,
        }
    }
}

/// How the server moves bytes. The hub, the parsers and the limits are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// One thread, one poller.
    Reactor,
    /// A thread for each connection; who speaks sends to the recipients, under the hub's lock.
    #[cfg(feature = "threads")]
    Threads,
    /// A reader and a writer thread for each connection, with a bounded queue between; no one sends under the lock.
    #[cfg(feature = "threads")]
    ThreadsQueued,
}

/// How grave something must be for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What whoever runs the server should look at: limits that are reached, connections that are refused.
    Warn,
    /// What happens: who comes and goes, and what operators do.
    Info,
    /// Every connection, with a name or without.
    Debug,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// Where to listen, and what is spoken there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenUrl {
    /// The scheme.
    pub door: Scheme,
    /// The rest.
    pub place: Place,
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port of this machine.
    Port {
        /// A name or an address, without brackets.
        host: String,
        /// 0 for a free one.
        port: u16,
    },
    /// A socket file.
    File(PathBuf),
}

impl ListenUrl {
    /// `SCHEME://HOST:PORT`, `unix://PATH`, or `HOST:PORT` for the line protocol; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// Which part is wrong, in words.
    pub fn parse(url: &str) -> Result<ListenUrl, String> {
        let (scheme, address) = url.split_once("://").unwrap_or((Scheme::Line.name(), url));
        let Some(door) = Scheme::named(scheme) else {
            let schemes: Vec<&str> = Scheme::ALL.into_iter().map(Scheme::name).collect();
            return Err(format!("there is no scheme `{scheme}`; schemes are: {}", schemes.join(", ")));
        };
        let place = match door {
            Scheme::Unix if address.is_empty() => {
                return Err("the path is missing: unix:///run/redpoll.sock".into());
            }
            Scheme::Unix => Place::File(address.into()),
            _ => port(address)?,
        };
        Ok(ListenUrl { door, place })
    }
}

fn port(address: &str) -> Result<Place, String> {
    let (host, port) = address.rsplit_once(':').ok_or("the port is missing: HOST:PORT")?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host,
        None if host.contains(':') => {
            return Err(format!("an IPv6 address stands in brackets: [{host}]:{port}"));
        }
        None => host,
    };
    if host.is_empty() {
        return Err("the host is missing: HOST:PORT, with 0.0.0.0 or [::] for every address".into());
    }
    let port = port.parse().map_err(|_| format!("`{port}` is not a port: a number from 0 to 65535"))?;
    Ok(Place::Port { host: host.to_owned(), port })
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.door.name())?;
        match &self.place {
            Place::Port { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Port { host, port } => write!(f, "{host}:{port}"),
            Place::File(path) => path.display().fmt(f),
        }
    }
}

/// The flags of `redpoll chat`.
#[cfg(feature = "chat")]
#[derive(Debug, Args)]
#[command(after_help = CHAT_HELP)]
pub struct ChatOptions {
    /// The server: HOST, HOST:PORT (IPv6 in brackets), or :PORT on this machine
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

/// In milliseconds.
const TIME_UNITS: [(&str, usize); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A whole number and one of these units, `bare` where there is none.
fn with_unit(text: &str, units: &[(&str, usize)], bare: usize) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let known = || units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join(", ");
    let scale = match unit.trim() {
        "" => bare,
        unit => {
            units
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(|| format!("no unit `{unit}`; units are {}", known()))?
                .1
        }
    };
    let number: usize =
        number.parse().map_err(|_| "a whole number is wanted, with or without a unit".to_owned())?;
    number.checked_mul(scale).ok_or_else(|| "that is too much".to_owned())
}

/// Reads a size in bytes, with a unit of [`ServeOptions`]'s help or without one.
///
/// # Errors
/// What is wrong with it.
pub fn size(text: &str) -> Result<usize, String> {
    with_unit(text, &SIZE_UNITS, 1)
}

/// The same of a time; without a unit it is in seconds.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    Ok(Duration::from_millis(with_unit(text, &TIME_UNITS, 1000)? as u64))
}

fn at_least(least: usize, size: usize) -> Result<usize, String> {
    if size >= least { Ok(size) } else { Err(format!("at least {least} bytes")) }
}

fn max_line(text: &str) -> Result<usize, String> {
    let size = at_least(MIN_MAX_LINE, size(text)?)?;
    if size <= MAX_MAX_LINE { Ok(size) } else { Err(format!("at most {MAX_MAX_LINE} bytes")) }
}

fn queue(text: &str) -> Result<usize, String> {
    let size = at_least(MIN_QUEUE, size(text)?)?;
    /// Positions within a queue are 32 bits, and it may grow to eight times this.
    const MOST: usize = 256 * KIB * KIB;
    if size <= MOST { Ok(size) } else { Err(format!("at most {MOST} bytes")) }
}

fn send_buffer(text: &str) -> Result<usize, String> {
    match size(text)? {
        0 => Ok(0),
        size => at_least(MIN_SEND_BUFFER, size),
    }
}

fn register_timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if !short.is_zero() && short < Duration::from_secs(1) => Err("at least 1s, or 0".to_owned()),
        time => Ok(time),
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time.is_zero() => Err("at least 1ms".to_owned()),
        time => Ok(time),
    }
}

fn spin(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(micros) if Duration::from_micros(micros) <= MAX_SPIN => Ok(Duration::from_micros(micros)),
        _ => Err(format!("a whole number of microseconds, at most {}", MAX_SPIN.as_micros())),
    }
}

fn burst(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(lines) => Ok(lines),
        Err(_) => Err("a whole number is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_values_are_held() {
        assert!(max_line("127").is_err() && max_line("128").is_ok() && max_line("1MiB").is_err());
        assert!(queue("8191").is_err() && queue("8KiB").is_ok());
        assert!(send_buffer("1").is_err() && send_buffer("0").is_ok());
        assert!(register_timeout("999ms").is_err() && register_timeout("0").is_ok());
        assert!(burst("0").is_err() && burst("1").is_ok() && burst("x").is_err());
    }
}
