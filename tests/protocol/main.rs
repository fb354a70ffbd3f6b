//! The values that all layers share, each by its public interface: one file for each subject.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on fails")]

mod frames;
mod line_protocol;
mod messages;
mod names;
#[cfg(feature = "unicode")]
mod skeletons;
mod subnets;
mod tables;
mod texts;
