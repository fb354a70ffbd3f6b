//! The values that all layers share, each by its public interface: one file for each subject.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on fails")]

mod frames;
mod line_protocol;
#[cfg(feature = "unicode")]
mod looks;
mod messages;
mod names;
mod subnets;
mod tables;
mod texts;
