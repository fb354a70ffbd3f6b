//! Effects: what a request causes besides events. The hub knows neither addresses nor queues, so it lists effects, and
//! the server acts on them after each request, before the next one of the same connection.

use crate::protocol::name::Name;
use crate::protocol::{CloseReason, ConnId};

/// An action or a log entry for the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// A connection has registered.
    Registered {
        /// The connection; [`Hub::nick`](super::Hub::nick) returns its name.
        id: ConnId,
    },
    /// A connection, registered or not, has left the hub.
    Left {
        /// The connection.
        id: ConnId,
        /// Its name; `None` if it was unregistered.
        name: Option<Name>,
        /// The close reason.
        reason: CloseReason,
        /// The operator that kicked it, if one did.
        operator: Option<ConnId>,
    },
    /// A connection that has left the hub is to be closed once its queue is flushed. Its further input is not handled.
    Close {
        /// The connection.
        id: ConnId,
    },
    /// An operator has made an announcement.
    Announced {
        /// The operator.
        operator: ConnId,
        /// The number of recipients.
        count: usize,
    },
    /// An operator has requested the statistics; the hub holds a part of them.
    Stats {
        /// The operator.
        to: ConnId,
    },
    /// An operator has requested that the server stop.
    Stop {
        /// The operator.
        operator: ConnId,
    },
}
