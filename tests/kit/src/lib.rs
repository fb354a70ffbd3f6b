//! The test kit of redpoll; no part is shipped. It holds a simulator of the server, oracles that check the server's
//! output, and the bodies of the fuzz targets.
//!
//! - [`Sim`]: the reactor's own turn over sockets in memory, a clock that only moves when asked, and faults by seed.
//! - [`fuzz`]: what each fuzz target asserts for any input. The oracles share no code with the code that they check.
//! - [`story`]: runs the stories of `tests/stories/` in the simulator and with the built program, which [`program`]
//!   starts.
//! - [`unicode_tables`]: generates two files of `src/protocol/name/`.
//! - [`fixtures`]: registered peers of a simulated server. [`rng`]: pseudo-random numbers by seed. [`replay`]: the
//!   variables that replay a failure.
//!
//! Tests in `tests/` use this package. Unit tests inside the package `redpoll` can't: it links another copy of the
//! library, with types of its own.

pub mod fixtures;
pub mod fuzz;
pub mod program;
pub mod replay;
pub mod rng;
mod sim;
pub mod story;
pub mod unicode_tables;

pub use sim::{Fault, Faults, PeerNo, Sim, SimPeer, SimSockets};
