//! The table of scenarios and that of engines: what load each is, with how many connections, and how engines are started
//! for it. Data; what is done with it is in `mod.rs`.

use super::child::Start;
use super::churn::{self, Cycle};
use super::idle;
use super::verifier::{Shape, Wire};
use clap::ValueEnum;
use redpoll::limits::KIB;
use std::fmt;
use std::time::Duration;

/// What is measured.
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
    /// The same in 1 KiB, with 10 members who don't read and without: what the others feel
    Stalled,
    /// 10,000 registered, silent: memory per connection, wake-ups
    Idle,
    /// Connect, register, leave, 50 at once: CPU per cycle
    Churn,
    /// many at 10 to 10,000 connections: how cost grows
    Ramp,
}

/// Who is measured.
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

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Members two by two, each with so many messages in flight.
    Pairs { window: usize },
    /// A room in which the first so many talk, and the last so many don't read.
    Room { senders: usize, window: usize, stalled: usize },
    /// Nothing, but for a burst.
    Idle,
    /// Coming and going.
    Churn { presence: bool },
}

/// A variant of a scenario.
#[derive(Debug)]
pub(super) struct Variant {
    /// Empty where there is only one.
    pub name: &'static str,
    pub load: Load,
    /// Flags of the server besides those that each is given.
    pub flags: &'static [&'static str],
    /// The mode of `limit`, where it takes part.
    pub baseline: Option<&'static str>,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub scenario: Scenario,
    pub connections: &'static [usize],
    /// In their place with `--quick`.
    pub quick: &'static [usize],
    /// Bytes of a payload.
    pub size: usize,
    /// Rounds that are enough where nobody asks for a number: more would only take time.
    pub rounds: usize,
    pub variants: &'static [Variant],
}

/// What every server is given: nobody is held back, and who comes and goes isn't logged, since that isn't what is measured.
const FLAGS: [&str; 4] = ["--rate", "0", "--log", "warn"];
/// Rooms of any size tell no comings and goings.
const QUIET: &[&str] = &["--quiet-above", "1"];
/// Bytes of a payload where nothing else is said: a line as people type it.
const SIZE: usize = 64;
/// As many rounds as there are for everything.
const ALL: usize = usize::MAX;

/// A variant in which `limit` takes part by this mode, and servers tell no comings and goings.
const fn talk(name: &'static str, load: Load, baseline: &'static str) -> Variant {
    Variant { name, load, flags: QUIET, baseline: Some(baseline) }
}

/// 10 senders with 4 messages in flight each.
const fn room(stalled: usize) -> Load {
    Load::Room { senders: 10, window: 4, stalled }
}

/// All of them, in the order in which they are run.
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
        // So that the queues of those who don't read are full soon.
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
        // Five times as many runs as the others.
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
    /// Those that are measured where none is asked for.
    pub const DEFAULT: [Engine; 4] =
        [Engine::Reactor, Engine::Threads, Engine::ThreadsQueued, Engine::Baseline];

    /// What stands on its wire.
    pub(super) fn wire(self) -> Wire {
        if self == Engine::Baseline { Wire::Baseline } else { Wire::Server }
    }

    /// How it is started for a variant of a scenario with so many connections; `None` where it takes no part.
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
    /// What one message is called.
    pub fn unit(self) -> &'static str {
        match self {
            Load::Pairs { .. } => "message",
            Load::Room { .. } => "delivery",
            Load::Idle => "connection",
            Load::Churn { .. } => "cycle",
        }
    }

    /// Who talks to whom among so many members, and how many messages of each are in flight; `None` where nobody talks.
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

    /// How many connections it makes of so many: pairs are whole.
    pub fn connections(self, asked: usize) -> usize {
        if matches!(self, Load::Pairs { .. }) { asked.next_multiple_of(2) } else { asked }
    }

    /// Load before the measured part: caches and branch predictors are warm, and whoever doesn't read owes something.
    pub fn warm_up(self) -> Duration {
        Duration::from_millis(if matches!(self, Load::Room { stalled: 1.., .. }) { 500 } else { 300 })
    }

    /// How it goes for whoever comes and goes.
    pub fn cycle(self, engine: Wire, connections: usize) -> Cycle {
        match (self, engine) {
            (Load::Churn { presence }, Wire::Server) => Cycle::Register { presence },
            (Load::Churn { presence: true }, Wire::Baseline) => Cycle::Closed,
            _ => Cycle::Answered(churn::answer_bytes(connections)),
        }
    }
}
