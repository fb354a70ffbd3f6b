//! Frames, texts, names and the tables of `src/protocol/`, each by itself.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says by it what is wrong")]

mod frames;
mod line_protocol;
mod messages;
mod names;
mod refusals;
mod schemes;
mod subnets;
