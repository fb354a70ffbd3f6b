//! What a message means and how an event is written, one file per dialect. A dialect is `Copy` and keeps no state: it
//! parses a slice into a [`Meaning`] that borrows from it, and appends an [`Event`] to the bytes that its peers get.
//! It decides nothing: who exists, who hears and what is allowed is the hub's.
//!
//! A new dialect is one file here, one variant of [`Dialect`] with its place in [`Dialect::ALL`], the match arms that the
//! compiler then demands, and a door (`door.rs`) to come in by.

mod classic;
mod native;
mod nickname;
mod relay;
mod udp;

use crate::limits::{MAX_SHORT, MAX_TARGETS};
use crate::protocol::event::Event;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Meaning, Rank};
use crate::protocol::text::{push_safe, trim_blanks};
use bstr::{BStr, ByteSlice};
use std::io::Write;

/// The dialects. The discriminant is the index of a dialect's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dialect {
    /// The line protocol of protocol.md.
    Native,
    /// Names by `#`, messages to one by `@`: the client of a tutorial on select().
    Classic,
    /// Asked for its nickname, which it then writes in front of each line: that of a tutorial on threads.
    Nickname,
    /// The same without being asked.
    Relay,
    /// Datagrams that begin with `L`, `C` or `Q`: that of a tutorial on UDP.
    Lcq,
}

impl Dialect {
    /// All of them, in the order of their indices.
    pub const ALL: [Dialect; 5] =
        [Dialect::Native, Dialect::Classic, Dialect::Nickname, Dialect::Relay, Dialect::Lcq];

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
            Dialect::Classic => classic::parse(message, rank),
            Dialect::Nickname => nickname::parse(message, rank),
            Dialect::Relay => relay::parse(message),
            Dialect::Lcq => udp::parse(message),
        }
    }

    /// Appends `event` as this dialect shows it: whole lines, each valid UTF-8 without controls, or nothing.
    pub fn encode(self, event: Event<'_>, out: &mut Vec<u8>) {
        match self {
            Dialect::Native => native::encode(event, out),
            Dialect::Classic => short(event, out, classic::encode),
            Dialect::Nickname => short(event, out, nickname::encode),
            Dialect::Relay => short(event, out, relay::encode),
            Dialect::Lcq => short(event, out, udp::encode),
        }
    }
}

/// Appends an event for a client that receives so many bytes at once and takes them for one message: longer ones are cut
/// at a character, and keep their LF.
fn short(event: Event<'_>, out: &mut Vec<u8>, encode: fn(Event<'_>, &mut Vec<u8>)) {
    let start = out.len();
    encode(event, out);
    if out.len() - start > MAX_SHORT {
        let mut end = start + MAX_SHORT - 1;
        // In UTF-8 a byte that continues a character is 10xxxxxx (RFC 3629 section 3).
        while out[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        out.truncate(end);
        out.push(b'\n');
    }
}

/// One line: what the server says itself, then what somebody else wrote, made safe.
fn line(out: &mut Vec<u8>, head: &[&str], text: &[u8]) {
    head.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    push_safe(text, out);
    out.push(b'\n');
}

/// What stands before and behind the first `separator`: a name is before it, so it is near, and a plain loop is at it
/// before a wide search has begun.
fn split(bytes: &BStr, separator: u8) -> Option<(&BStr, &BStr)> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes[..at].as_bstr(), bytes[at + 1..].as_bstr()))
}

fn trim(bytes: &BStr) -> &BStr {
    trim_blanks(bytes).as_bstr()
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
        Refusal::NickInvalid(nick) => (nick, "is not a name: 1 to 32 letters of one script, digits, - _ ."),
        Refusal::NickReserved(nick) => (nick, "is reserved"),
        Refusal::NickTaken(nick) => (nick, "is taken"),
        Refusal::RoomInvalid(room) => {
            (room, "is not a room's name: 1 to 32 letters of one script, digits, - _ .")
        }
        Refusal::NoSuchRoom(room) | Refusal::NotInRoom(Some(room)) => (room, ""),
        Refusal::NotInRoom(None) => (b"", "enter one with &room"),
        Refusal::TooManyRooms => (b"", "leave one first"),
        Refusal::NoSuchUser(nick) | Refusal::RecipientFull(nick) => (nick, ""),
        Refusal::NoAccounts => (b"", "names have no passwords here, say #name alone"),
        Refusal::Kicked(reason) => (reason, ""),
        Refusal::ServerFull => (b"", "try again later"),
        Refusal::TooManyConnections => (b"", "from your address"),
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
