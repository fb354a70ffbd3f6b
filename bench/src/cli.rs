//! The flags of `redpoll-bench`, and of the child processes that it starts. They aren't read from the environment.

use crate::payload::{MAX_SIZE, MIN_SIZE};
use crate::{baseline, scenario};
use clap::{Args, Parser, Subcommand, ValueEnum};
use redpoll::cli::size;
use std::path::PathBuf;
use std::time::Duration;

const BENCH_HELP: &str = "\
Each engine runs as a child on a CPU of its own, the generator on another. Runs take turns: each engine once, then each
once more. Every message that arrives is held against what was sent; a lost, doubled, reordered, damaged or misdelivered
one fails the run. CPU time is the server's own, from its process clock.

Scenarios:
  relay     50 pairs both ways, 64 messages in flight each     parsing, look-up, copying
  many      500 pairs both ways, 1 in flight each              system calls per message
  pingpong  1 pair, 1 in flight                                latency
  fanout    one room of 1,000, 10 senders, 4 in flight each    cost per delivery
  stalled   fanout in 1 KiB, 10 members not reading, or all    what the others feel
  idle      10,000 registered, silent, then a burst            memory per connection, wake-ups
  churn     connect, register, leave, 50 at once               CPU per cycle
  ramp      many at 10 to 10,000 connections                   how cost grows

Engines:
  reactor         one thread, one poller
  threads         a thread per connection
  threads-queued  a thread per connection to read, another to write
  limit           moves bytes without looking at them: what a single-threaded reactor can't beat. In churn it only
                  answers as many bytes (notices off) or only accepts and closes (notices on)

Examples:
  redpoll-bench --quick                                    a first look, in a minute
  redpoll-bench --out results                              everything, in ten: JSON, plots and a report
  redpoll-bench --scenario fanout --size 1KiB --runs 7 --engine reactor,limit
  redpoll-bench --scenario ramp --engine reactor --engine threads
  redpoll-bench --target line://127.0.0.1:12345 --pid 4711 --scenario relay
                                                           a server that runs already (--rate 0, please)

`redpoll bench FLAGS` runs this program with these flags.

Exit codes: 0 done, 1 a message was wrong, or something broke, 2 wrong flags.";

/// Measure the engines of redpoll against each other.
#[derive(Debug, Parser)]
#[command(name = "redpoll-bench", after_help = BENCH_HELP, args_conflicts_with_subcommands = true,
          disable_help_subcommand = true)]
pub struct Options {
    /// What to measure in place of scenarios.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Engines to measure, any number of times or with commas
    #[arg(long, value_name = "ENGINE", value_delimiter = ',', value_enum)]
    pub engine: Vec<scenario::Engine>,
    /// Scenarios, any number of times or with commas; all where none is given
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',', value_enum)]
    pub scenario: Vec<scenario::Scenario>,
    /// Connections, in place of each scenario's own number
    #[arg(long, value_name = "N", value_parser = members)]
    pub connections: Option<usize>,
    /// Bytes of a message's payload, in place of each scenario's own
    #[arg(long, value_name = "SIZE", value_parser = payload)]
    pub size: Option<usize>,
    /// Rounds, in each of which every engine runs once [default: 5, of ramp 3, of idle 1; with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// Length of the measured part of a run [default: 1, with --quick 0.25]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// All of it in a minute: one round, short runs, fewer connections
    #[arg(long)]
    pub quick: bool,
    /// The program with the engines to measure: a smaller build, or another version [default: the one that runs
    /// `redpoll bench`, else the `redpoll` beside this program, else the one on PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub server: Option<PathBuf>,
    /// Measure a server that is running, in place of engines: line://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with = "engine")]
    pub target: Option<String>,
    /// The process of that server, where it is on this machine, to read its CPU time and memory
    #[arg(long, value_name = "PID", requires = "target")]
    pub pid: Option<u32>,
    /// Write results and report into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl Options {
    /// Returns the number of rounds: the number on the command line, else at most `enough`.
    #[must_use]
    pub fn runs(&self, enough: usize) -> usize {
        self.runs.map_or(if self.quick { 1 } else { enough.min(5) }, usize::from)
    }

    /// Returns the length of the measured part of a run.
    #[must_use]
    pub fn seconds(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_millis(if self.quick { 250 } else { 1000 }))
    }
}

/// The commands of `redpoll-bench`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a server for drift while people chat, come and go, don't read and send garbage.
    Soak(SoakOptions),
    /// The baseline engine, which only this program starts.
    #[command(name = "limit", hide = true)]
    Baseline(BaselineOptions),
}

const SOAK_HELP: &str = "\
One server, on a CPU of its own, with limits of a small host, which are printed; and all at once, drawn from the seed:
  16 members that send 8 lines a second to one another, and 4 of them as many to the lobby: every message is verified,
    and timed from when it was due
  25 connections a second that register, enter a room, speak, and leave by /quit, a half-close, a reset or a plain close
  8 members of a room that receives 36 KB a second, which stop reading for 0.5 to 14 s: closed as too slow, or sent all
  10 connections a second that send random bytes, endless lines, NULs, broken UTF-8, half lines or single bytes, close
    at once, or never register
  an operator that asks for /stats with each sample

A sample is taken every 5 s, but 60 of them at least and 720 at most. In the end all leave. It fails if
  a message was lost, doubled, reordered, damaged or misdelivered, or an answer was not as it should be
  the server ended, or closed a connection that it should not close
  resident memory has grown by more than 1 MiB from the first tenth of the samples to the last, by their medians; a
    tenth before them is warm-up and isn't looked at
  2 s after all have gone more or fewer descriptors are open than before they came, connections are told, or more than
    1 MiB more is resident
Latency is told, not judged: it depends on what else the machine does. Bounds of memory are the reactor's; the other
engines have stacks and an allocator's arenas for each thread besides, and may pass them.

Examples:
  redpoll-bench soak --minutes 30 --out soak    samples go to soak/soak.csv as they are taken
  redpoll-bench soak --engine threads

Exit codes: 0 nothing to complain about, 1 something, or interrupted, 2 wrong flags.";

/// The flags of `redpoll-bench soak`.
#[derive(Debug, Args)]
#[command(after_help = SOAK_HELP)]
pub struct SoakOptions {
    /// How long, in minutes; 0.02 to 10080
    #[arg(long = "minutes", value_name = "N", default_value = "5", value_parser = minutes)]
    pub time: Duration,
    /// The engine to watch
    #[arg(long, value_name = "ENGINE", default_value = "reactor", value_enum)]
    engine: redpoll::cli::Engine,
    /// The program to watch [default: as without `soak`]
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
    /// Peers and their actions are the same for the same seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Write samples into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl SoakOptions {
    /// Returns the value for `--engine`.
    #[must_use]
    pub fn engine(&self) -> String {
        self.engine.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }
}

/// The flags of the baseline engine.
#[derive(Debug, Args)]
pub struct BaselineOptions {
    /// What it does with connections
    #[arg(long, value_enum)]
    pub mode: baseline::Mode,
    /// Bytes of an answer
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub bytes: usize,
}

fn members(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(members @ 2..=10_000) => Ok(members),
        _ => Err("a number from 2 to 10000".to_owned()),
    }
}

fn payload(text: &str) -> Result<usize, String> {
    let size = size(text)?;
    if (MIN_SIZE..=MAX_SIZE).contains(&size) {
        return Ok(size);
    }
    Err(format!(
        "{MIN_SIZE} to {MAX_SIZE} bytes: sender, sequence and checksum travel in the payload, in one line"
    ))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let in_bounds = |time: &Duration| (0.01..=3600.0).contains(&time.as_secs_f64());
    seconds.filter(in_bounds).ok_or_else(|| "a number of seconds from 0.01 to 3600".to_owned())
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse().ok().filter(|minutes| (0.02..=10_080.0).contains(minutes));
    let minutes: f64 = minutes.ok_or_else(|| "a number of minutes from 0.02 to 10080".to_owned())?;
    Ok(Duration::from_secs_f64(minutes * 60.0))
}
