//! redpoll: a chat server for small hosts. One thread, one poller, a few hundred bytes a connection.
//!
//! The map, from the bottom up. Dependencies point down only, and `tests/layers.rs` sees to it:
//!
//! - [`limits`]: every bound, each with its reason. [`subnet`]: networks, as `--trust` names them.
//! - [`protocol`]: values and bytes, no state. [`protocol::frame`] says where a message ends, [`protocol::dialect`] what it
//!   means and how an event is written, [`protocol::scheme`] which of them a listener speaks.
//! - [`hub`]: users, rooms, and which connections are told an event: requests in, events out.
//! - [`server`]: the life of a connection, once for all drivers. [`server::Server`] joins the hub with
//!   [`server::connections::Connections`], and sends through a [`server::transport::Transport`].
//! - [`reactor`]: the turn of the event loop, over [`reactor::Sockets`]. Everything so far is free of system calls, threads
//!   and clocks. The package `redpoll-kit` has that trait in memory.
//! - [`memory`]: the sum of all that the server can hold.
//! - [`engine`]: the only code that touches sockets, threads, files and the clock. It has two engines more, with threads, to
//!   measure the reactor against (feature `threads`).
//! - [`cli`]: the flags. `client` (feature `chat`): `redpoll chat`.
//!
//! docs/architecture.md says how these work together.
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
