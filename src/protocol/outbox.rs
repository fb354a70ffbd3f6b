//! Where the hub puts what it tells connections.

use crate::protocol::connection::ConnId;
use crate::protocol::event::{Event, List, ListItem};

/// The connections that are told an event: all of `members` but `except`.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// Each is told it once for each time that it is listed.
    pub members: &'a [ConnId],
    /// The sender, where it isn't told.
    pub except: Option<ConnId>,
}

/// Where the hub puts what it tells connections. It never fails and never waits: what can't be sent now is queued within
/// limits, and connections beyond them are closed later, by the server.
pub trait Outbox {
    /// True while direct messages to `to` are accepted: at most half of its queue is in use.
    fn has_room(&self, to: ConnId) -> bool;
    /// Tells one connection.
    fn send(&mut self, to: ConnId, event: Event<'_>);
    /// Tells one connection a list, in as many lines as it takes; returns how many.
    fn send_list<'n>(
        &mut self,
        to: ConnId,
        list: List<'_>,
        items: impl Iterator<Item = ListItem<'n>>,
    ) -> usize;
    /// Tells many connections; the event is encoded once per dialect.
    fn send_all(&mut self, to: Audience<'_>, event: Event<'_>);
    /// True when so much was put here that it should be flushed before the next request is handled.
    fn wants_flush(&self) -> bool;
}
