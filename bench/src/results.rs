//! The results of one invocation of `redpoll-bench`: plain data, as `--out` writes it to `results.json`. The scenarios
//! fill it and the report reads it; nothing here measures or draws.

use serde::{Deserialize, Serialize};

/// All measurements, and what is needed to repeat them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Where they were taken.
    pub machine: Machine,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// The start, RFC 3339, UTC.
    pub began: String,
    /// Total duration in seconds.
    pub seconds: f64,
    /// In the order of display: by scenario, then connections, then engine.
    pub series: Vec<Series>,
    /// Notes for the reader of the figures: one CPU only, a limit that was reached, a scenario that was left out.
    pub notes: Vec<String>,
}

/// The machine and the programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// System and kernel release.
    pub kernel: String,
    /// The name that the processor reports.
    pub processor: String,
    /// Processors that may be used.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The version of the program under test; `unknown` where it can't be read, as for a target.
    pub redpoll: String,
    /// The compiler that built the program under test; `unknown` likewise.
    pub rustc: String,
    /// The processors of server and generator, in words.
    pub pinning: String,
}

/// One engine under one load, with all its runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// The scenario: `relay`, `many`, `pingpong`, `fanout`, `stalled`, `idle`, `churn`, `ramp`.
    pub scenario: String,
    /// A variant of the scenario, where there are several (`without the stalled`, `notices off`); else empty.
    pub variant: String,
    /// `reactor`, `threads`, `threads-queued`, `limit`, or the URL of `--target`.
    pub engine: String,
    /// The server's command line, word by word; empty for a target.
    pub server: Vec<String>,
    /// Connections.
    pub connections: usize,
    /// Bytes of a message's payload.
    pub size: usize,
    /// The unit of count: `message`, `delivery`, `cycle`, `connection`.
    pub unit: String,
    /// One for each round that succeeded.
    pub runs: Vec<Run>,
    /// Why there are no more runs: where and why the machine stopped the series, or which message was wrong.
    pub stopped: Option<String>,
}

/// One run. Figures that can't be measured are `None`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    /// The round, from 0; runs of the same round are neighbours in time.
    pub round: usize,
    /// Length of the measured part in seconds.
    pub seconds: f64,
    /// Units (messages, deliveries, cycles) that arrived in the measured part, each of them verified.
    pub units: u64,
    /// The server's CPU time in the measured part, in nanoseconds, from its process CPU clock.
    pub cpu: Option<u64>,
    /// The kernel's share of the CPU time, 0 to 1.
    pub system_share: Option<f64>,
    /// System calls by name, from the engine's own counters.
    pub calls: std::collections::BTreeMap<String, u64>,
    /// Context switches of the server: voluntary (it slept), involuntary.
    pub switches: Option<(u64, u64)>,
    /// Resident memory of the server at the end, in bytes.
    pub rss: Option<u64>,
    /// Proportional share of memory (PSS) at the end, in bytes.
    pub pss: Option<u64>,
    /// Latencies of the units.
    pub latency: Option<Latency>,
    /// Figures of only this scenario, by name (`bytes per connection`, `wake-ups per second`, `bytes after a burst`).
    pub more: std::collections::BTreeMap<String, f64>,
}

/// A distribution of latencies, in nanoseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latency {
    /// 50 in 100 are no slower.
    pub p50: u64,
    /// 90 in 100 are no slower.
    pub p90: u64,
    /// 99 in 100 are no slower.
    pub p99: u64,
    /// 999 in 1,000 are no slower.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
    /// The whole distribution for plots: (nanoseconds, share that is no slower), ascending, about 100 points.
    pub curve: Vec<(u64, f64)>,
}
