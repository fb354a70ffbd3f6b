//! The tables of scenarios and engines: the load of each scenario, its number of connections, and how an engine is
//! started for it. Data only; `lib.rs` runs it.

use super::child::Start;
use super::churn::{self, Cycle};
use super::idle;
use super::verifier::{Shape, Wire};
use clap::ValueEnum;
use redpoll::limits::KIB;
use std::fmt;
use std::time::Duration;

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 50 pairs both ways, 64 messages in flight each: parsing, look-up, copying
    Relay,
    /// 500 pairs both ways, 1 in flight each: system calls per message
    Many,
    /// 1 pair, 1 in flight: latency
    Pingpong,
    /// One room of 1,000, 10 senders, 4 in flight each: cost per delivery
    Fanout,
    /// The same in 1 KiB, with 10 members not reading and without: what the others feel
    Stalled,
    /// 10,000 registered, silent: memory per connection, wake-ups
    Idle,
    /// Connect, register, leave, 50 at once: CPU per cycle
    Churn,
    /// many at 10 to 10,000 connections: how cost grows
    Ramp,
}

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// One thread, one poller
    Reactor,
    /// A thread per connection
    Threads,
    /// A thread per connection to read, another to write
    ThreadsQueued,
    /// Moves bytes without looking at them: what a single-threaded reactor can't beat
    #[value(name = "limit")]
    Baseline,
}

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Members in pairs, each with `window` messages in flight.
    Pairs { window: usize },
    /// A room in which the first `senders` members send and the last `stalled` members don't read.
    Room { senders: usize, window: usize, stalled: usize },
    /// Idle, except for a burst.
    Idle,
    /// Clients connect and leave all the time.
    Churn { presence: bool },
}

/// A variant of a scenario.
#[derive(Debug)]
pub(super) struct Variant {
    /// Empty if the scenario has only one variant.
    pub name: &'static str,
    pub load: Load,
    /// Flags of the server in addition to [`FLAGS`].
    pub flags: &'static [&'static str],
    /// The mode of the baseline engine; `None` if it is not part of the variant.
    pub baseline: Option<&'static str>,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub scenario: Scenario,
    pub connections: &'static [usize],
    /// Replaces `connections` with `--quick`.
    pub quick: &'static [usize],
    /// Bytes of a payload.
    pub size: usize,
    /// Default maximum of rounds: more would only take time.
    pub rounds: usize,
    pub variants: &'static [Variant],
}

/// Flags of every server: no connection is throttled, and connects and disconnects aren't logged, because neither is to
/// be measured.
const FLAGS: [&str; 4] = ["--rate", "0", "--log", "warn"];
/// No room sends presence, whatever its size.
const QUIET: &[&str] = &["--quiet-above", "1"];
/// Default payload in bytes: the length of a typical line.
const SIZE: usize = 64;
/// No own maximum of rounds: the general default applies.
const ALL: usize = usize::MAX;

/// Returns a variant with the baseline engine in this mode, and with presence off.
const fn talk(name: &'static str, load: Load, baseline: &'static str) -> Variant {
    Variant { name, load, flags: QUIET, baseline: Some(baseline) }
}

/// Returns a load with 10 senders with 4 messages in flight each.
const fn room(stalled: usize) -> Load {
    Load::Room { senders: 10, window: 4, stalled }
}

/// All scenarios, in the order in which they are run.
pub(super) const TABLE: [Row; 8] = [
    Row {
        scenario: Scenario::Relay,
        connections: &[100],
        quick: &[100],
        size: SIZE,
        rounds: ALL,
        variants: &[talk("", Load::Pairs { window: 64 }, "pairs")],
    },
    Row {
        scenario: Scenario::Many,
        connections: &[1000],
        quick: &[1000],
        size: SIZE,
        rounds: ALL,
        variants: &[talk("", Load::Pairs { window: 1 }, "pairs")],
    },
    Row {
        scenario: Scenario::Pingpong,
        connections: &[2],
        quick: &[2],
        size: SIZE,
        rounds: ALL,
        variants: &[talk("", Load::Pairs { window: 1 }, "pairs")],
    },
    Row {
        scenario: Scenario::Fanout,
        connections: &[1000],
        quick: &[1000],
        size: SIZE,
        rounds: ALL,
        variants: &[talk("", room(0), "room")],
    },
    Row {
        scenario: Scenario::Stalled,
        connections: &[1000],
        quick: &[1000],
        // The queues of stalled members fill soon.
        size: KIB,
        rounds: ALL,
        variants: &[talk("with the stalled", room(10), "room"), talk("without the stalled", room(0), "room")],
    },
    Row {
        scenario: Scenario::Idle,
        connections: &[10_000],
        quick: &[1000],
        size: idle::SIZE,
        // Memory doesn't vary from round to round.
        rounds: 1,
        variants: &[Variant { name: "", load: Load::Idle, flags: QUIET, baseline: None }],
    },
    Row {
        scenario: Scenario::Churn,
        connections: &[50],
        quick: &[50],
        size: 0,
        rounds: ALL,
        variants: &[
            talk("notices off", Load::Churn { presence: false }, "answer"),
            Variant {
                name: "notices on",
                load: Load::Churn { presence: true },
                flags: &[],
                baseline: Some("close"),
            },
        ],
    },
    Row {
        scenario: Scenario::Ramp,
        connections: &[10, 100, 1000, 5000, 10_000],
        quick: &[10, 100, 1000],
        size: SIZE,
        // The scenario has five times as many runs as others.
        rounds: 3,
        variants: &[talk("", Load::Pairs { window: 1 }, "pairs")],
    },
];

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl Engine {
    /// The engines that are measured if none is given.
    pub const DEFAULT: [Engine; 4] =
        [Engine::Reactor, Engine::Threads, Engine::ThreadsQueued, Engine::Baseline];

    /// Returns the format of its messages.
    pub(super) fn wire(self) -> Wire {
        if self == Engine::Baseline { Wire::Baseline } else { Wire::Server }
    }

    /// Returns how it is started for a variant with this number of connections; `None` if it is not part of the
    /// variant.
    pub(super) fn start(self, variant: &Variant, connections: usize) -> Option<Start> {
        if self == Engine::Baseline {
            let words = ["--mode".to_owned(), variant.baseline?.to_owned()];
            let bytes = ["--bytes".to_owned(), churn::answer_bytes(connections).to_string()];
            let answers = variant.baseline == Some("answer");
            return Some(Start::Baseline(
                words.into_iter().chain(bytes.into_iter().filter(|_| answers)).collect(),
            ));
        }
        let mut words: Vec<String> =
            FLAGS.iter().chain(variant.flags).map(|flag| (*flag).to_owned()).collect();
        if self != Engine::Reactor {
            words.extend(["--engine".to_owned(), self.to_string()]);
        }
        Some(Start::Serve(words))
    }
}

impl Load {
    /// Returns the name of the unit.
    pub fn unit(self) -> &'static str {
        match self {
            Load::Pairs { .. } => "message",
            Load::Room { .. } => "delivery",
            Load::Idle => "connection",
            Load::Churn { .. } => "cycle",
        }
    }

    /// Returns which members send to which, and the window of each sender; `None` if the load sends no messages.
    pub fn shape(self, members: usize) -> Option<(Shape, usize)> {
        match self {
            Load::Pairs { window } => Some((Shape::Pairs, window)),
            Load::Room { senders, window, stalled } => {
                let stalled = stalled.min(members / 4);
                Some((Shape::Room { senders: senders.min(members - stalled), stalled }, window))
            }
            Load::Idle | Load::Churn { .. } => None,
        }
    }

    /// Returns the number of connections to open for `asked`: pairs must be complete.
    pub fn connections(self, asked: usize) -> usize {
        if matches!(self, Load::Pairs { .. }) { asked.next_multiple_of(2) } else { asked }
    }

    /// Returns the load's time before the measured part: caches and branch predictors are warm then, and stalled
    /// members have output queued.
    pub fn warm_up(self) -> Duration {
        Duration::from_millis(if matches!(self, Load::Room { stalled: 1.., .. }) { 500 } else { 300 })
    }

    /// Returns the steps of a churn cycle.
    pub fn cycle(self, engine: Wire, connections: usize) -> Cycle {
        match (self, engine) {
            (Load::Churn { presence }, Wire::Server) => Cycle::Register { presence },
            (Load::Churn { presence: true }, Wire::Baseline) => Cycle::Closed,
            _ => Cycle::Answered(churn::answer_bytes(connections)),
        }
    }
}
