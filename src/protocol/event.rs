//! Events: what the hub sends to a connection. An event borrows everything for one call; a dialect encodes it.

use crate::protocol::connection::PeerAddr;
use crate::protocol::name::Name;
use crate::protocol::refusal::Refusal;
use bstr::BStr;

/// An answer, a presence event, a message or a refusal. A dialect writes nothing where its clients wouldn't understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The connection was accepted.
    Connected {
        /// The address of its peer.
        from: PeerAddr,
    },
    /// Answer: the connection has this name now.
    Named {
        /// The name.
        nick: &'a Name,
    },
    /// Answer: the connection is in this room, its current one.
    Entered {
        /// The room.
        room: &'a Name,
        /// Its members, the connection included.
        members: usize,
    },
    /// Answer: the connection has left this room.
    Left {
        /// The room.
        room: &'a Name,
    },
    /// Answer: the end of [`List::Who`].
    EndWho {
        /// The room's name, or `*`.
        room: &'a str,
        /// The number of names, listed or not.
        count: usize,
    },
    /// Answer: the end of [`List::Rooms`].
    EndRooms {
        /// The number of rooms.
        count: usize,
    },
    /// Answer to a ping.
    Pong {
        /// The token as it came.
        token: &'a BStr,
    },
    /// Answer: the list of commands.
    Help {
        /// Whether operators' commands are included.
        operator: bool,
    },
    /// Answer: the connection is closed as requested.
    Bye,
    /// Answer: an announcement was sent.
    Announced {
        /// The number of recipients, the operator included if registered.
        count: usize,
    },
    /// Answer: a user was kicked.
    Kicked {
        /// The name of the user.
        who: &'a Name,
    },
    /// Answer: one of the server's counters.
    Stat {
        /// Its name.
        key: &'a str,
        /// Its value.
        value: u64,
    },
    /// Answer: the end of [`Event::Stat`].
    EndStats {
        /// The number of counters.
        count: usize,
    },
    /// Answer: the server stops.
    Shutdown,
    /// A message from an operator to all registered users.
    Announcement {
        /// The text as it came.
        text: &'a BStr,
    },
    /// Presence: a user registered and entered the lobby.
    Arrived {
        /// The name of the user.
        who: &'a Name,
    },
    /// Presence: a user's connection ended.
    Gone {
        /// The name of the user.
        who: &'a Name,
        /// The reason; may be empty.
        reason: &'a BStr,
    },
    /// Presence: a user entered a room.
    Joined {
        /// The name of the user.
        who: &'a Name,
        /// The room.
        room: &'a Name,
    },
    /// Presence: a user left a room and is still connected.
    Parted {
        /// The name of the user.
        who: &'a Name,
        /// The room.
        room: &'a Name,
    },
    /// Presence: a user has another name.
    Renamed {
        /// The former name.
        from: &'a Name,
        /// The new one.
        to: &'a Name,
    },
    /// A direct message.
    Direct {
        /// The name of the sender.
        from: &'a Name,
        /// The text as it came.
        text: &'a BStr,
    },
    /// A message to a room.
    Said {
        /// The room; `None` is the lobby.
        room: Option<&'a Name>,
        /// The name of the sender.
        from: &'a Name,
        /// The text as it came.
        text: &'a BStr,
    },
    /// A request was not done, or the connection is about to be closed.
    Refused(Refusal<'a>),
}

/// An answer that is a list, packed into lines by a dialect. [`Event::EndWho`] or [`Event::EndRooms`] follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List<'a> {
    /// The names asked for.
    Who {
        /// The room's name, or `*`.
        room: &'a str,
    },
    /// The rooms.
    Rooms,
}

/// An item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListItem<'a> {
    /// Its name.
    pub name: &'a Name,
    /// The number of members; `None` unless it is a room.
    pub count: Option<usize>,
}

impl Event<'_> {
    /// Returns whether the event is deferred, that is presence: it is sent with the next other event for its recipient,
    /// or a little later. No event for the same recipient overtakes it.
    #[must_use]
    pub fn is_presence(&self) -> bool {
        matches!(
            self,
            Event::Arrived { .. }
                | Event::Gone { .. }
                | Event::Joined { .. }
                | Event::Parted { .. }
                | Event::Renamed { .. }
        )
    }
}
