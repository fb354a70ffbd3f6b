//! redpoll: a chat server for small hosts. One thread, one poller, a few hundred bytes a connection.
//!
//! The map, from the bottom up; arrows point down only, and a test sees to it:
//!
//! - [`limits`]: every bound, each with its reason. [`text`]: what may leave as text. [`name`]: nicks and room names.
//! - [`message`]: request, event, refusal, audience, outbox: the words that all layers share.
//! - [`frame`] says where a message ends, [`dialect`] what it means and how an event is written, [`hub`] who is here
//!   and who hears what. [`session`] is the loop that joins the three.
//! - [`door`]: the schemes of `--listen`, each with its frame and dialect. [`datagrams`]: peers that are addresses.
//! - [`journal`]: what happens, in the words of the log.
//! - [`pool`], [`send_queue`] and [`backlog`], [`timers`]: bytes on hold, bytes not yet sent, deadlines. [`allowance`]: how
//!   fast one peer may be. [`admission`]: how many come from one address. [`subnet`]: ranges of addresses.
//!   [`counters`]: what `/stats` tells.
//! - [`reactor`]: the turn of the event loop, over [`reactor::Sockets`]; everything so far is free of system
//!   calls, threads and clocks. The package `redpoll-kit` has that trait in memory.
//! - [`engine`]: the only code that touches sockets, threads and the clock. In it are two engines more, with threads, to
//!   measure the reactor against (feature `threads`).
//! - [`cli`]: the flags. `client` (feature `chat`): `redpoll chat`.
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
