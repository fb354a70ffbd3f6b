//! The life of a connection, once for all engines and without I/O: what is read of it, what it may ask, what it is still to
//! be sent, and how it ends.

pub mod admission;
pub mod backlog;
pub mod datagrams;
pub mod feed;
pub mod log_events;
pub mod pool;
pub mod rate_limit;
pub mod send_queue;
pub mod stats;
pub mod timers;
