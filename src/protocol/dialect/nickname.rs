//! The client of a tutorial on threads: it answers `NICKNAME` with its name, and then begins each line with that name.

use super::{encode_refusal, line, split, trim};
use crate::protocol::event::Event;
use crate::protocol::request::{Parsed, Quirks, Rank, Request};
use bstr::{BStr, ByteSlice};

/// It compares a whole receive with `NICKNAME`, and answers once.
const QUIRKS: Quirks = Quirks { auto_join: true, echo: true, always_notified: true, close_if_refused: true };

/// See [`Dialect::parse`](super::Dialect::parse).
pub(super) fn parse(message: &[u8], rank: Rank) -> Parsed<'_> {
    let message = message.as_bstr();
    match trim(message) {
        blank if blank.is_empty() => Parsed::Nothing,
        nick if !rank.is_registered() => Parsed::Request(Request::Enter { nick, quirks: QUIRKS }),
        _ => Parsed::Request(said(message, None)),
    }
}

/// Parses `name: text`, with blanks around the `:` ignored, or text without a name.
pub(super) fn said(message: &BStr, enter: Option<Quirks>) -> Request<'_> {
    let (nick, text) =
        split(message, b':').map_or((BStr::new(""), message), |(nick, text)| (trim(nick), trim(text)));
    Request::SayAs { nick, text, whole: Some(message), enter }
}

/// See [`Dialect::encode`](super::Dialect::encode).
pub(super) fn encode(event: Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Connected { .. } => out.extend_from_slice(b"NICKNAME"),
        Event::Arrived { who } => line(out, &[who.shown(), " joined!"], b""),
        Event::Entered { .. } => line(out, &["Connected to server!"], b""),
        Event::Gone { who, .. } => line(out, &[who.shown(), " left!"], b""),
        Event::Renamed { from, to } => line(out, &[from.shown(), " is now ", to.shown()], b""),
        Event::Said { from, text, .. } => line(out, &[from.shown(), ": "], text),
        Event::Direct { from, text } => line(out, &["@", from.shown(), ": "], text),
        Event::Announcement { text } => line(out, &["Administrator message: "], text),
        Event::Refused(refusal) => encode_refusal(refusal, out),
        _ => {}
    }
}
