//! The types of `src/server/`, each alone, and `Server` over a small transport: rules that need no simulator.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod admission;
mod backlog;
mod datagrams;
mod input;
mod peer;
mod peers;
mod rate_limit;
mod server;
mod timers;
