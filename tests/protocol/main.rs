//! Tests of `src/protocol/` and `src/subnet.rs` by their public interface: one file for each subject.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod frames;
mod line_protocol;
mod messages;
mod names;
#[cfg(feature = "unicode")]
mod skeletons;
mod subnets;
mod tables;
mod texts;
