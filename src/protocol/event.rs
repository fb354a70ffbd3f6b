//! What the hub tells a connection: answers, notices, messages, refusals. An event borrows everything for the length of one
//! call; how it is written is a dialect's business.

use crate::protocol::connection::PeerAddr;
use crate::protocol::name::Name;
use crate::protocol::refusal::Refusal;
use bstr::BStr;

/// What happens to somebody: an answer, a notice, something said, a refusal. A dialect writes it down or, where its
/// clients wouldn't understand it, writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The connection was accepted.
    Connected {
        /// Where from.
        from: PeerAddr,
    },
    /// Answer: this is your name now.
    Named {
        /// The name.
        nick: &'a Name,
    },
    /// Answer: you are in this room, and it is the current one.
    Entered {
        /// The room.
        room: &'a Name,
        /// Its members, you included.
        members: usize,
    },
    /// Answer: you are no longer in this room.
    Left {
        /// The room.
        room: &'a Name,
    },
    /// Answer: that was all of [`List::Who`].
    EndWho {
        /// The room's name, or `*`.
        room: &'a str,
        /// How many there are, told or not.
        count: usize,
    },
    /// Answer: that was all of [`List::Rooms`].
    EndRooms {
        /// How many there are.
        count: usize,
    },
    /// Answer to a ping.
    Pong {
        /// The token as it came.
        token: &'a BStr,
    },
    /// Answer: what can be asked.
    Help {
        /// The operators' commands too.
        operator: bool,
    },
    /// Answer: the connection ends as you wished.
    Bye,
    /// Answer: so many were told.
    Announced {
        /// The operator among them, if registered.
        count: usize,
    },
    /// Answer: that connection ends.
    Kicked {
        /// Whose it was.
        who: &'a Name,
    },
    /// Answer: one of the things that the server counts.
    Stat {
        /// Which.
        key: &'a str,
        /// How many.
        value: u64,
    },
    /// Answer: that was all of [`Event::Stat`].
    EndStats {
        /// How many there were.
        count: usize,
    },
    /// Answer: the server stops.
    Shutdown,
    /// Notice: from whoever runs the server, to everyone.
    Announcement {
        /// What, as it came.
        text: &'a BStr,
    },
    /// Notice: somebody registered and entered the lobby.
    Arrived {
        /// Who.
        who: &'a Name,
    },
    /// Notice: somebody's connection ended.
    Gone {
        /// Who.
        who: &'a Name,
        /// Why; empty where nothing is known or said.
        reason: &'a BStr,
    },
    /// Notice: somebody entered a room.
    Joined {
        /// Who.
        who: &'a Name,
        /// Which room.
        room: &'a Name,
    },
    /// Notice: somebody left a room and is still connected.
    Parted {
        /// Who.
        who: &'a Name,
        /// Which room.
        room: &'a Name,
    },
    /// Notice: somebody has another name.
    Renamed {
        /// The former name.
        from: &'a Name,
        /// The new one.
        to: &'a Name,
    },
    /// A message for you alone.
    Direct {
        /// Who wrote it.
        from: &'a Name,
        /// What, as it came.
        text: &'a BStr,
    },
    /// A message for a room.
    Said {
        /// The room; `None` is the lobby.
        room: Option<&'a Name>,
        /// Who said it.
        from: &'a Name,
        /// What, as it came.
        text: &'a BStr,
    },
    /// What you asked was not done, or the connection is about to be closed.
    Refused(Refusal<'a>),
}

/// An answer that is a list of names, which a dialect packs into lines. [`Event::EndWho`] or [`Event::EndRooms`] follows.
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

/// One of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListItem<'a> {
    /// Its name.
    pub name: &'a Name,
    /// How many members it has, of a room.
    pub count: Option<usize>,
}

impl Event<'_> {
    /// Whether this may be sent a little later, together with what its recipients are sent then: who came, went or was
    /// renamed. It is never overtaken by what is said to the same recipient behind it.
    #[must_use]
    pub fn may_wait(&self) -> bool {
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
