//! The types of `src/server/`, each by itself, and the server over a small transport: rules that need no simulator.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says by it what is wrong")]

mod admission;
mod backlog;
mod datagrams;
mod input;
mod peer;
mod peers;
mod rate_limit;
mod server;
mod timers;
