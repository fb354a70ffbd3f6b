//! The bodies of the fuzz targets, one file each, with the invariants that hold for any input. They share scripts
//! (bytes as decisions), and the oracles: a grammar, a model of the hub and a model of a client.

mod client;
pub mod datagrams;
mod grammar;
pub mod hubs;
pub mod lines;
mod model;
pub mod names;
mod script;
pub mod sessions;
