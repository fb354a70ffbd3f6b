//! The schemes of `--listen`: what is spoken at a door, how messages end there, and what whoever comes in by it may do.
//! One table; `cli.rs` reads it, `engine/` opens the doors, the reactor receives people by them.

use crate::protocol::dialect::Dialect;
use crate::protocol::frame::{Frame, LineFrame};

/// A kind of listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The line protocol over TCP.
    Line,
    /// The same over a socket file, for operators.
    Unix,
    /// A tutorial's clients: see [`Dialect::Classic`].
    Classic,
    /// See [`Dialect::Nickname`].
    Nickname,
    /// See [`Dialect::Relay`].
    Relay,
    /// See [`Dialect::Udp`].
    Udp,
}

impl Door {
    /// All of them.
    pub const ALL: [Door; 6] =
        [Door::Line, Door::Unix, Door::Classic, Door::Nickname, Door::Relay, Door::Udp];

    /// The scheme of its URL.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Door::Line => "line",
            Door::Unix => "unix",
            Door::Classic => "classic",
            Door::Nickname => "nickname",
            Door::Relay => "relay",
            Door::Udp => "udp",
        }
    }

    /// What is spoken there.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Door::Line | Door::Unix => Dialect::Native,
            Door::Classic => Dialect::Classic,
            Door::Nickname => Dialect::Nickname,
            Door::Relay => Dialect::Relay,
            Door::Udp => Dialect::Udp,
        }
    }

    /// How messages end there.
    #[must_use]
    pub fn frame(self) -> Frame {
        match self {
            Door::Line | Door::Unix => Frame::Line(LineFrame::default()),
            Door::Classic | Door::Nickname | Door::Relay => Frame::Line(LineFrame::by_pause()),
            Door::Udp => Frame::Datagram,
        }
    }

    /// Whoever comes in by it is an operator: the file's permissions say who may.
    #[must_use]
    pub fn is_for_operators(self) -> bool {
        self == Door::Unix
    }

    /// Whoever comes in by it hears the lobby before having a name.
    #[must_use]
    pub fn hears_the_lobby(self) -> bool {
        self == Door::Relay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_door_has_its_scheme_and_a_dialect_with_an_arena() {
        for (place, door) in Door::ALL.into_iter().enumerate() {
            assert_eq!(place, door as usize, "{door:?}");
            assert_eq!(
                Door::ALL.into_iter().filter(|other| other.scheme() == door.scheme()).count(),
                1,
                "{door:?}"
            );
            assert_eq!(Dialect::ALL.get(door.dialect().index()), Some(&door.dialect()), "{door:?}");
        }
    }
}
