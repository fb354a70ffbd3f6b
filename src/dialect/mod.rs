//! What a message means and how an event is written, one file per dialect. A dialect is `Copy` and keeps no state: it
//! parses a slice into a [`Meaning`] that borrows from it, and appends an [`Event`] to the bytes that its peers get.
//! It decides nothing: who exists, who hears and what is allowed is the hub's.
//!
//! A new dialect is one file here, one variant of [`Dialect`], and the match arms that the compiler then demands.

mod native;

use crate::limits::MAX_TARGETS;
use crate::message::{Event, Meaning, Rank, Refusal};
use crate::text::push_safe;
use std::io::Write;

/// The dialects. The discriminant is the index of a dialect's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dialect {
    /// The line protocol of protocol.md.
    Native,
}

impl Dialect {
    /// All of them, in the order of their indices.
    pub const ALL: [Dialect; 1] = [Dialect::Native];

    /// The position in [`Dialect::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// What `message`, as a frame cut it, means when somebody of that `rank` sends it.
    #[must_use]
    pub fn parse(self, message: &[u8], rank: Rank) -> Meaning<'_> {
        match self {
            Dialect::Native => native::parse(message, rank),
        }
    }

    /// Appends `event` as this dialect shows it: whole lines, each valid UTF-8 without controls, or nothing.
    pub fn encode(self, event: Event<'_>, out: &mut Vec<u8>) {
        match self {
            Dialect::Native => native::encode(event, out),
        }
    }
}

/// `!code details`, which is the same in every dialect.
fn encode_refusal(refusal: Refusal<'_>, out: &mut Vec<u8>) {
    out.push(b'!');
    out.extend_from_slice(refusal.code().as_bytes());
    let (subject, advice): (&[u8], &str) = match refusal {
        Refusal::LineTooLong(max) => {
            push_fmt(out, format_args!(" {max}"));
            (b"", "")
        }
        Refusal::TooManyTargets => {
            push_fmt(out, format_args!(" at most {MAX_TARGETS} names"));
            (b"", "")
        }
        Refusal::BadByte => (b"", "the line holds a NUL byte"),
        Refusal::RegisterFirst => (b"", "say #name to take a name"),
        Refusal::UnknownCommand(word) => (word, "see /help"),
        Refusal::Denied => (b"", "only operators may do that"),
        Refusal::Usage(form) => (b"", form),
        Refusal::EmptyText => (b"", "there is nothing to say"),
        Refusal::NickInvalid(nick) => (nick, "is not a name: 1 to 32 letters, digits, - _ ."),
        Refusal::NickReserved(nick) => (nick, "is reserved"),
        Refusal::NickTaken(nick) => (nick, "is taken"),
        Refusal::RoomInvalid(room) => (room, "is not a room's name: 1 to 32 letters, digits, - _ ."),
        Refusal::NoSuchRoom(room) | Refusal::NotInRoom(Some(room)) => (room, ""),
        Refusal::NotInRoom(None) => (b"", "enter one with &room"),
        Refusal::TooManyRooms => (b"", "leave one first"),
        Refusal::NoSuchUser(nick) | Refusal::RecipientFull(nick) => (nick, ""),
        Refusal::NoAccounts => (b"", "names have no passwords here, say #name alone"),
        Refusal::ServerFull => (b"", "try again later"),
        Refusal::RegisterTimeout => (b"", "no name was given in time"),
        Refusal::TooSlow => (b"", "what was sent to you was not read"),
        Refusal::ShuttingDown => (b"", "the server stops"),
    };
    if !subject.is_empty() {
        out.push(b' ');
        push_safe(subject, out);
    }
    if !advice.is_empty() {
        out.push(b' ');
        out.extend_from_slice(advice.as_bytes());
    }
    out.push(b'\n');
}

/// Appends what `arguments` say. Writing to a `Vec` can't fail.
fn push_fmt(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}
