//! Values and bytes, no state: what all layers above share. A **frame** says where a message ends, a **dialect** what it
//! means and how an event is written. Nothing here knows a user, a room, a queue or a socket; everything is borrowed for
//! the length of one call.

mod connection;
pub mod dialect;
mod event;
pub mod frame;
pub mod name;
mod outbox;
mod refusal;
mod request;
pub mod scheme;
pub mod text;
mod time;

pub use connection::{ConnId, Origin};
pub use event::Event;
pub use outbox::{Audience, Note, Outbox, Parting};
pub use refusal::Refusal;
pub use request::{Manners, Meaning, Rank, Request, Scope};
pub use time::Time;
