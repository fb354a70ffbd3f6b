//! The client of a tutorial on threads without a handshake: it writes a name in front of each line, and receives the
//! messages of the lobby from the start.

use super::nickname::said;
use super::{encode_refusal, line, trim};
use crate::protocol::event::Event;
use crate::protocol::request::{Parsed, Quirks};
use bstr::ByteSlice;

/// It shows only what it receives, its own lines included.
const QUIRKS: Quirks =
    Quirks { auto_join: true, echo: true, always_notified: false, close_if_refused: false };

/// See [`Dialect::parse`](super::Dialect::parse).
pub(super) fn parse(message: &[u8]) -> Parsed<'_> {
    let message = message.as_bstr();
    if trim(message).is_empty() { Parsed::Nothing } else { Parsed::Request(said(message, Some(QUIRKS))) }
}

/// See [`Dialect::encode`](super::Dialect::encode).
pub(super) fn encode(event: Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Said { from, text, .. } => line(out, &[from.shown(), ": "], text),
        Event::Direct { from, text } => line(out, &["@", from.shown(), ": "], text),
        Event::Announcement { text } => line(out, &["administrator: "], text),
        Event::Refused(refusal) => encode_refusal(refusal, out),
        _ => {}
    }
}
