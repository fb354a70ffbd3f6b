//! redpoll: a chat server for small hosts.
#![deny(unsafe_code, missing_docs)]

pub mod cli;
#[cfg(feature = "chat")]
pub mod client;
pub mod name;
pub mod name_check;
pub mod text;
