//! The bodies of the fuzz targets, one file each, which state what holds whatever the bytes; and what they share: scripts
//! (bytes as decisions), a grammar and a model that judge, and clients.

pub mod datagrams;
mod grammar;
pub mod hubs;
pub mod lines;
mod model;
pub mod names;
mod person;
mod script;
pub mod sessions;
