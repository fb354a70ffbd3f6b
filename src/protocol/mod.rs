//! Values and bytes, no state: what all layers above share. A **frame** says where a message ends, a **dialect** what
//! it means and how an event is written. Nothing here knows users, rooms, queues or sockets; all is borrowed for one
//! call.

mod close_reason;
pub mod command;
mod connection;
pub mod dialect;
mod event;
pub mod frame;
pub mod message;
pub mod name;
mod outbox;
mod refusal;
mod request;
pub mod scheme;
pub mod text;
mod time;

pub use close_reason::CloseReason;
pub use connection::{ConnId, PeerAddr};
pub use event::{Event, List, ListItem};
pub use outbox::{Audience, Outbox};
pub use refusal::{Refusal, Subject};
pub use request::{Parsed, Quirks, Rank, Request, Scope};
pub use time::Time;
