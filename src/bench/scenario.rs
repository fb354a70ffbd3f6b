//! The table of scenarios and that of engines: what load each is, with how many connections, and how engines are started
//! for it. Data; what is done with it is in `mod.rs`.

use super::child::Start;
use super::ledger::{Shape, Wire};
use clap::ValueEnum;
use std::fmt;

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
    Limit,
}

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Members two by two, each with so many messages in flight.
    Pairs { window: usize },
    /// A room.
    Room { senders: usize, window: usize, stalled: usize },
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
    pub limit: Option<&'static str>,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub scenario: Scenario,
    pub connections: &'static [usize],
    /// Bytes of a payload.
    pub size: usize,
    pub variants: &'static [Variant],
}

/// What every server is given: nobody is held back, since that isn't what is measured.
const FLAGS: [&str; 2] = ["--rate", "0"];
/// Rooms of any size tell no comings and goings.
const QUIET: &[&str] = &["--quiet-above", "1"];

const fn only(load: Load, limit: &'static str) -> Variant {
    Variant { name: "", load, flags: QUIET, limit: Some(limit) }
}

/// All of them.
pub(super) const TABLE: [Row; 4] = [
    Row {
        scenario: Scenario::Relay,
        connections: &[100],
        size: 64,
        variants: &[only(Load::Pairs { window: 64 }, "pairs")],
    },
    Row {
        scenario: Scenario::Many,
        connections: &[1000],
        size: 64,
        variants: &[only(Load::Pairs { window: 1 }, "pairs")],
    },
    Row {
        scenario: Scenario::Pingpong,
        connections: &[2],
        size: 64,
        variants: &[only(Load::Pairs { window: 1 }, "pairs")],
    },
    Row {
        scenario: Scenario::Fanout,
        connections: &[1000],
        size: 64,
        variants: &[only(Load::Room { senders: 10, window: 4, stalled: 0 }, "room")],
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
    pub const DEFAULT: [Engine; 2] = [Engine::Reactor, Engine::Limit];

    /// What stands on its wire.
    #[must_use]
    pub(super) fn wire(self) -> Wire {
        if self == Engine::Limit { Wire::Limit } else { Wire::Server }
    }

    /// How it is started for a variant of a scenario; `None` where it takes no part.
    #[must_use]
    pub(super) fn start(self, variant: &Variant) -> Option<Start> {
        if self == Engine::Limit {
            return variant.limit.map(|mode| Start::Limit(vec!["--mode".to_owned(), mode.to_owned()]));
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
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Load::Pairs { .. } => "message",
            Load::Room { .. } => "delivery",
        }
    }

    /// Who talks to whom among so many members.
    #[must_use]
    pub fn shape(self, members: usize) -> Shape {
        match self {
            Load::Pairs { .. } => Shape::Pairs,
            Load::Room { senders, stalled, .. } => {
                let stalled = stalled.min(members / 4);
                Shape::Room { senders: senders.min(members - stalled), stalled }
            }
        }
    }
}
