//! The client of a tutorial on UDP: `L name` enters, `C name text` speaks, `Q name` leaves, a datagram each. Messages
//! end with LF as everywhere, which no text can contain; the datagrams are cut there and sent without it.

use super::{encode_refusal, line, split, trim};
use crate::protocol::event::Event;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Parsed, Quirks, Request};
use bstr::{BStr, ByteSlice};

/// See [`Dialect::parse`](super::Dialect::parse). Any other datagram is ignored: its source address may be forged.
pub(super) fn parse(datagram: &[u8]) -> Parsed<'_> {
    let Some((letter, rest)) = split(datagram.as_bstr(), b' ') else { return Parsed::Nothing };
    let rest = trim(rest);
    match letter.as_bytes() {
        b"L" => Parsed::Request(Request::Enter { nick: rest, quirks: Quirks::default() }),
        b"C" => {
            let (nick, text) = split(rest, b' ').unwrap_or((rest, BStr::new("")));
            Parsed::Request(Request::SayAs { nick, text: trim(text), whole: None, enter: None })
        }
        b"Q" => Parsed::Request(Request::QuitAs { nick: rest }),
        _ => Parsed::Nothing,
    }
}

/// See [`Dialect::encode`](super::Dialect::encode).
pub(super) fn encode(event: Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Named { .. } => line(out, &["OK"], b""),
        Event::Refused(Refusal::NickTaken(_)) => line(out, &["occupied"], b""),
        Event::Bye => line(out, &["EXIT"], b""),
        Event::Arrived { who } => line(out, &["Welcome ", who.shown(), " to the chat room"], b""),
        Event::Gone { who, .. } => line(out, &[who.shown(), " exited the chat room"], b""),
        Event::Renamed { from, to } => line(out, &[from.shown(), " is now ", to.shown()], b""),
        Event::Said { from, text, .. } => line(out, &[from.shown(), " : "], text),
        Event::Direct { from, text } => line(out, &["@", from.shown(), ": "], text),
        Event::Announcement { text } => line(out, &["administrator : "], text),
        Event::Refused(refusal) => encode_refusal(refusal, out),
        _ => {}
    }
}
