//! What follows from a request besides what connections are told. The hub knows neither addresses nor queues, so it lists
//! these, and the server acts on them after each request, before the next one of the same connection.

use crate::protocol::name::Name;
use crate::protocol::{CloseReason, ConnId};

/// Something for the server to do or to log.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// A connection has registered.
    Registered {
        /// The connection; the hub has its name.
        id: ConnId,
    },
    /// A connection, registered or not, has left the hub.
    Left {
        /// The connection.
        id: ConnId,
        /// The name that it had.
        name: Option<Name>,
        /// Why.
        reason: CloseReason,
        /// The operator who ended it, where one did.
        operator: Option<ConnId>,
    },
    /// A connection that has left the hub is to be closed once all that it was told is flushed. Nothing that it has sent
    /// since is obeyed.
    Close {
        /// The connection.
        id: ConnId,
    },
    /// An operator has made an announcement.
    Announced {
        /// The operator.
        operator: ConnId,
        /// How many were told.
        count: usize,
    },
    /// An operator wants the statistics, of which the hub knows a part.
    Stats {
        /// The operator.
        to: ConnId,
    },
    /// An operator has the server stop.
    Stop {
        /// The operator.
        operator: ConnId,
    },
}
