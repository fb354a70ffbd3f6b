//! The client without its terminal and its threads: what lines mean, what is known and what follows, in values alone.
#![cfg(feature = "chat")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod address;
mod backoff;
mod line;
mod roster;
mod session;
mod view;
mod words;
