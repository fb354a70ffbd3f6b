//! The client of a tutorial on select(): `#name` registers, `@name:text` sends to one user. It reads once per message
//! that it sends, so it is in no room: the messages of a room would make it lag.

use super::{encode_refusal, line, line_fmt, split, trim};
use crate::protocol::connection::PeerAddr;
use crate::protocol::event::Event;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{Parsed, Quirks, Rank, Request};
use bstr::ByteSlice;

/// It is never in a room.
const QUIRKS: Quirks =
    Quirks { auto_join: false, echo: false, always_notified: false, close_if_refused: false };

/// See [`Dialect::parse`](super::Dialect::parse).
pub(super) fn parse(message: &[u8], rank: Rank) -> Parsed<'_> {
    let usage = Parsed::Refused(Refusal::Usage("@nick:text"));
    match message.split_first() {
        None => Parsed::Nothing,
        Some((b'#', nick)) if rank.is_registered() => {
            Parsed::Request(Request::Rename { nick: trim(nick.as_bstr()) })
        }
        Some((b'#', nick)) => Parsed::Request(Request::Enter { nick: trim(nick.as_bstr()), quirks: QUIRKS }),
        Some((b'@', rest)) => match split(rest.as_bstr(), b':') {
            Some((to, text)) => Parsed::Request(Request::Direct { to: trim(to), text }),
            None => usage,
        },
        Some(_) => usage,
    }
}

/// See [`Dialect::encode`](super::Dialect::encode).
pub(super) fn encode(event: Event<'_>, out: &mut Vec<u8>) {
    match event {
        // Python's format of the tuple of an address and a port.
        Event::Connected { from: PeerAddr::Inet(from) } => {
            let (ip, port) = (from.ip(), from.port());
            line_fmt(out, format_args!("You are connected from:('{ip}', {port})"));
        }
        Event::Named { nick } => line(out, &["Your user detail saved as : ", nick.shown()], b""),
        Event::Direct { text, .. } => line(out, &[], text),
        Event::Announcement { text } => line(out, &["administrator: "], text),
        Event::Refused(refusal) => encode_refusal(refusal, out),
        _ => {}
    }
}
