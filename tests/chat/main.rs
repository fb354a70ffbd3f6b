//! Tests of the client's public modules: parsing, session and formatting as values, without a terminal, threads or
//! sockets.
#![cfg(feature = "chat")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod address;
mod backoff;
mod line;
mod refusal_text;
mod roster;
mod session;
mod view;
