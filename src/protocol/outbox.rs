//! The interface by which the hub sends events to connections.

use crate::protocol::connection::ConnId;
use crate::protocol::event::{Event, List, ListItem};

/// The recipients of an event: all of `members` but `except`.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    /// Each receives the event once for each time that it is listed.
    pub members: &'a [ConnId],
    /// The sender, if it doesn't receive the event.
    pub except: Option<ConnId>,
}

/// Takes the events that the hub sends. It never fails and never blocks: what can't be sent now is queued within
/// limits, and the server closes connections beyond them later.
pub trait Outbox {
    /// Returns whether direct messages to `to` are accepted: at most half of its queue is in use.
    fn has_room(&self, to: ConnId) -> bool;
    /// Sends one connection an event.
    fn send(&mut self, to: ConnId, event: Event<'_>);
    /// Sends one connection a list, in as many lines as it takes; returns their number.
    fn send_list<'n>(
        &mut self,
        to: ConnId,
        list: List<'_>,
        items: impl Iterator<Item = ListItem<'n>>,
    ) -> usize;
    /// Sends many connections an event, which is encoded once per dialect.
    fn send_all(&mut self, to: Audience<'_>, event: Event<'_>);
    /// Returns whether the output is above the high-water mark: flush it before the next request is handled.
    fn wants_flush(&self) -> bool;
}
