//! redpoll: a chat server for small hosts. One thread, one poller, a few hundred bytes a connection.
//!
//! The modules, from the bottom up. Dependencies point down only; `tests/layers.rs` checks this:
//!
//! - [`limits`]: all bounds, each with its reason. [`subnet`]: the networks of `--trust`.
//! - [`protocol`]: values and bytes, no state. [`protocol::frame`] finds the end of a message, [`protocol::dialect`]
//!   parses messages and encodes events, and [`protocol::scheme`] assigns both to a listener.
//! - [`hub`]: users, rooms and the recipients of events: requests in, events out.
//! - [`server`]: the life cycle of a connection, the same for all drivers. [`server::Server`] joins the hub with
//!   [`server::connections::Connections`], and sends through a [`server::transport::Transport`].
//! - [`reactor`]: the turn of the event loop, over [`reactor::Sockets`]. The modules up to this
//!   one make no system calls and use no threads or clocks. The package `redpoll-kit` implements the trait in memory.
//! - [`memory`]: the maximum memory of the server, as a sum.
//! - [`engine`]: the only server code that uses sockets, threads, files and the clock. Two more engines, with threads,
//!   exist for comparison with the reactor (feature `threads`).
//! - [`cli`]: the flags. `client` (feature `chat`): `redpoll chat`.
//!
//! docs/architecture.md describes how the modules work together.
#![deny(unsafe_code, missing_docs)]

pub mod cli;
#[cfg(feature = "chat")]
pub mod client;
pub mod engine;
pub mod hub;
pub mod limits;
pub mod memory;
pub mod protocol;
pub mod reactor;
pub mod server;
pub mod subnet;
