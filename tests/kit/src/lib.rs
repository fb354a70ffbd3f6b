//! What redpoll is tested with, and nothing that it ships: the server without a system, oracles that judge it, and the
//! bodies of the fuzz targets.
//!
//! - [`Sim`]: the reactor's own turn over sockets in memory, a clock that only moves when asked, and faults by seed.
//! - [`fuzz`]: what each fuzz target asserts, whatever the bytes. The oracles share no code with what they judge.
//! - [`story`]: stories of `tests/stories/`, told to the simulator and to the built program. [`program`] starts that.
//! - [`unicode_tables`]: generates two files of `src/protocol/name/`.
//! - [`members`]: registered members of a simulated server. [`rng`]: pseudo-random numbers by seed. [`replay`]: the
//!   variables by which a failure is replayed.
//!
//! Unit tests inside the package `redpoll` can't use this package: it links another copy of the library, with types that are
//! not theirs. Tests in `tests/` can.

pub mod fuzz;
pub mod members;
pub mod program;
pub mod replay;
pub mod rng;
mod sim;
pub mod story;
pub mod unicode_tables;

pub use sim::{Fault, Faults, PeerNo, Sim, SimPeer, SimSockets};
