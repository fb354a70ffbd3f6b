//! What a message means and how an event is written, one file per dialect. A dialect is `Copy` and keeps no state: it
//! parses a slice into a [`Parsed`] that borrows from it, and appends an [`Event`] to the bytes for its peers. Users,
//! recipients and permissions are the hub's.
//!
//! A new dialect is one file here, one variant of [`Dialect`] with its index in [`Dialect::ALL`], the match arms that
//! the compiler then demands, and a row of `protocol/scheme.rs`.

mod classic;
mod native;
mod nickname;
mod relay;
mod sigil;
mod udp;

use crate::limits::MAX_SHORT_MESSAGE;
use crate::protocol::event::{Event, List, ListItem};
use crate::protocol::message;
use crate::protocol::refusal::{Refusal, Subject};
use crate::protocol::request::{Parsed, Rank};
use crate::protocol::text::{push_safe, trim_blanks};
use bstr::{BStr, ByteSlice};
use std::io::Write;

/// The dialects. The discriminant is the index of a dialect's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Dialect {
    /// The line protocol of protocol.md.
    Native,
    /// Names by `#`, direct messages by `@`: the client of a tutorial on select().
    Classic,
    /// The client is asked for its nickname, and writes it in front of each line: that of a tutorial on threads.
    Nickname,
    /// The same without being asked.
    Relay,
    /// Datagrams that begin with `L`, `C` or `Q`: that of a tutorial on UDP.
    Udp,
}

impl Dialect {
    /// All dialects, in the order of their indices.
    pub const ALL: [Dialect; 5] =
        [Dialect::Native, Dialect::Classic, Dialect::Nickname, Dialect::Relay, Dialect::Udp];

    /// Returns the index in [`Dialect::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns what `message`, as a frame cut it, means from a connection of this rank.
    #[must_use]
    pub fn parse(self, message: &[u8], rank: Rank) -> Parsed<'_> {
        match self {
            Dialect::Native => native::parse(message, rank),
            Dialect::Classic => classic::parse(message, rank),
            Dialect::Nickname => nickname::parse(message, rank),
            Dialect::Relay => relay::parse(message),
            Dialect::Udp => udp::parse(message),
        }
    }

    /// Appends `event` in this dialect: whole messages, each valid UTF-8 without controls, or nothing.
    pub fn encode(self, event: Event<'_>, _context: &Context, out: &mut Vec<u8>) {
        match self {
            Dialect::Native => native::encode(event, out),
            Dialect::Classic => short(event, out, classic::encode),
            Dialect::Nickname => short(event, out, nickname::encode),
            Dialect::Relay => short(event, out, relay::encode),
            Dialect::Udp => short(event, out, udp::encode),
        }
    }

    /// Appends a list in this dialect, in lines of bounded length; returns their number, 0 for dialects without lists.
    pub fn encode_list<'n>(
        self,
        list: List<'_>,
        items: impl Iterator<Item = ListItem<'n>>,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> usize {
        match self {
            Dialect::Native => native::encode_list(list, items, context, out),
            Dialect::Classic | Dialect::Nickname | Dialect::Relay | Dialect::Udp => 0,
        }
    }

    /// Maximum bytes of one item of a list, with those of a line of its own.
    pub const MAX_LISTED: usize = native::MAX_LISTED;
}

/// What the encoding of an event depends on besides the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Maximum bytes of a line that a peer may send; lines of lists are no longer.
    pub max_line: usize,
}

/// Appends an event for a client that takes one receive of [`MAX_SHORT_MESSAGE`] bytes for one message: a longer one is cut
/// between characters, and still ends with END.
fn short(event: Event<'_>, out: &mut Vec<u8>, encode: fn(Event<'_>, &mut Vec<u8>)) {
    let start = out.len();
    encode(event, out);
    if out.len() - start > MAX_SHORT_MESSAGE {
        let mut end = start + MAX_SHORT_MESSAGE - 1;
        // In UTF-8 a byte that continues a character is 10xxxxxx (RFC 3629 section 3).
        while out[end] & 0xC0 == 0x80 {
            end -= 1;
        }
        out.truncate(end);
        message::end(out);
    }
}

/// Appends a line: the server's own text, then text of a peer, made safe.
fn line(out: &mut Vec<u8>, head: &[&str], text: &[u8]) {
    head.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    push_safe(text, out);
    message::end(out);
}

/// Splits at the first `separator`. It follows a name, so it is near, where a plain loop is faster than a wide search.
fn split(bytes: &BStr, separator: u8) -> Option<(&BStr, &BStr)> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes[..at].as_bstr(), bytes[at + 1..].as_bstr()))
}

fn trim(bytes: &BStr) -> &BStr {
    trim_blanks(bytes).as_bstr()
}

/// Appends `!code details`, which is the same in every dialect.
fn encode_refusal(refusal: Refusal<'_>, out: &mut Vec<u8>) {
    let row = refusal.row();
    out.push(b'!');
    out.extend_from_slice(row.code.as_bytes());
    match row.subject {
        Subject::None => {}
        Subject::Typed(typed) if typed.is_empty() => {}
        Subject::Typed(typed) => {
            out.push(b' ');
            push_safe(typed, out);
        }
        Subject::Number(number) => push_fmt(out, format_args!(" {number}")),
        Subject::Hidden(c, sigil) => {
            push_fmt(out, format_args!(" U+{:04X} in front of {sigil}", u32::from(c)));
        }
    }
    if !row.advice.is_empty() {
        out.push(b' ');
        out.extend_from_slice(row.advice.as_bytes());
    }
    message::end(out);
}

/// Appends the formatted `arguments` as a line.
fn line_fmt(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    push_fmt(out, arguments);
    message::end(out);
}

/// Appends the formatted `arguments`. Writing to a `Vec` can't fail.
fn push_fmt(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}
