//! What one invocation of `redpoll-bench` has measured: plain data, as `--out` writes it to `results.json`. Filled by
//! the scenarios, read by the report; nothing here measures or draws.

use serde::{Deserialize, Serialize};

/// Everything that was measured, and what it takes to measure it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// When it began, RFC 3339, UTC.
    pub began: String,
    /// How long all of it took, in seconds.
    pub seconds: f64,
    /// In the order in which they are shown: by scenario, then connections, then engine.
    pub series: Vec<Series>,
    /// What whoever reads the figures should know: one CPU only, a limit that was hit, a scenario that was left out.
    pub notes: Vec<String>,
}

/// The machine and the programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// System and kernel release.
    pub kernel: String,
    /// The processor's own name.
    pub processor: String,
    /// Processors that may be used.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The version of the program whose engines are measured; `unknown` where that can't be had, as of a target.
    pub redpoll: String,
    /// The compiler that built that program; `unknown` likewise.
    pub rustc: String,
    /// On which processors server and generator ran, in words.
    pub pinning: String,
}

/// One engine under one load, as often as it was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// The scenario: `relay`, `many`, `pingpong`, `fanout`, `stalled`, `idle`, `churn`, `ramp`.
    pub scenario: String,
    /// A variant of it, where there are several (`without the stalled`, `notices off`); else empty.
    pub variant: String,
    /// `reactor`, `threads`, `threads-queued`, `limit`, or the URL of `--target`.
    pub engine: String,
    /// The server's command line, word by word; empty for a target.
    pub server: Vec<String>,
    /// Connections.
    pub connections: usize,
    /// Bytes of a message's payload.
    pub size: usize,
    /// What one message is: `message`, `delivery`, `cycle`, `connection`.
    pub unit: String,
    /// One for each round that succeeded.
    pub runs: Vec<Run>,
    /// Why there are no more of them: where and why the machine stopped it, or which message was wrong.
    pub stopped: Option<String>,
}

/// One run. Figures that can't be had are `None`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Run {
    /// The round, from 0; runs of the same round are neighbours in time.
    pub round: usize,
    /// Length of the measured part.
    pub seconds: f64,
    /// Units (messages, deliveries, cycles) that arrived in it, each of them verified.
    pub units: u64,
    /// The server's CPU time in it, in nanoseconds, from its process CPU clock.
    pub cpu: Option<u64>,
    /// The share of that in the kernel, 0 to 1.
    pub system_share: Option<f64>,
    /// System calls by name, from the engine's own counters.
    pub calls: std::collections::BTreeMap<String, u64>,
    /// Context switches of the server: voluntary (it slept), involuntary.
    pub switches: Option<(u64, u64)>,
    /// Bytes of memory that the server had at the end: resident, and its share of it (PSS).
    pub rss: Option<u64>,
    /// See `rss`.
    pub pss: Option<u64>,
    /// Of each unit.
    pub latency: Option<Latency>,
    /// What only this scenario tells, by name (`bytes per connection`, `wake-ups per second`, `bytes after a burst`).
    pub more: std::collections::BTreeMap<String, f64>,
}

/// A distribution of latencies, in nanoseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: u64,
    /// Nine in ten are.
    pub p90: u64,
    /// 99 in 100 are.
    pub p99: u64,
    /// 999 in 1000 are.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
    /// The whole of it for plots: (nanoseconds, share that is no slower), ascending, some 100 points.
    pub curve: Vec<(u64, f64)>,
}
