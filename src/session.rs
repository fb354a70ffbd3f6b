//! Bytes to frame to dialect to hub: the one loop that every engine shares. It owns nothing; what it borrows belongs to
//! the caller, who also decides what becomes of the bytes that were not consumed.

use crate::dialect::Dialect;
use crate::frame::{Frame, Step};
use crate::hub::{Hub, Next};
use crate::message::{ConnId, Event, Meaning, Outbox, Refusal};
use crate::text::trim_blanks;
use bstr::ByteSlice;

/// How far [`feed`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Bytes to drop from the front of the input.
    pub consumed: usize,
    /// Messages that these were, those too long among them.
    pub messages: u64,
    /// Why it went no further.
    pub stop: Stop,
}

/// Why [`feed`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What is left is no whole message.
    Dry,
    /// The outbox wants to be flushed first, or half of the sender's own queue is in use; there may be more messages.
    Full,
    /// The connection has left the hub and is to be closed; the rest of its input doesn't count.
    Close,
}

/// Hands the messages at the front of `input` to the hub. A message takes at most `max_line` bytes.
pub fn feed(
    hub: &mut Hub,
    from: ConnId,
    frame: &mut Frame,
    dialect: Dialect,
    input: &[u8],
    max_line: usize,
    out: &mut impl Outbox,
) -> Fed {
    let (mut consumed, mut messages) = (0, 0);
    let stop = loop {
        if out.wants_flush() || !out.has_room(from) {
            break Stop::Full;
        }
        match frame.next(&input[consumed..], max_line) {
            Step::More => break Stop::Dry,
            Step::Skip(bytes) => consumed += bytes,
            Step::TooLong(bytes) => {
                consumed += bytes;
                messages += 1;
                refuse(from, Refusal::LineTooLong(max_line), out);
            }
            Step::Nul(bytes, _) => {
                consumed += bytes;
                messages += 1;
                refuse(from, Refusal::BadByte, out);
            }
            Step::Message(bytes, message) => {
                consumed += bytes;
                messages += 1;
                if understand(hub, from, dialect, message, out) == Next::Close {
                    break Stop::Close;
                }
            }
        }
    };
    Fed { consumed, messages, stop }
}

/// Hands over what is left in `input` when the stream has ended, after [`feed`] has said [`Stop::Dry`].
pub fn finish(
    hub: &mut Hub,
    from: ConnId,
    frame: &mut Frame,
    dialect: Dialect,
    input: &[u8],
    out: &mut impl Outbox,
) -> Next {
    match frame.finish(input) {
        Step::Message(_, message) => understand(hub, from, dialect, message, out),
        Step::Nul(..) => refuse(from, Refusal::BadByte, out),
        Step::More | Step::Skip(_) | Step::TooLong(_) => Next::Stay,
    }
}

/// Hands over what is left in `input` when nothing has come for a while, after [`feed`] has said [`Stop::Dry`]; `None`
/// where that is no message, or not yet.
pub fn pause(
    hub: &mut Hub,
    from: ConnId,
    frame: &mut Frame,
    dialect: Dialect,
    input: &[u8],
    out: &mut impl Outbox,
) -> Option<Next> {
    match frame.pause(input) {
        Step::Message(_, message) => Some(understand(hub, from, dialect, message, out)),
        Step::Nul(..) => Some(refuse(from, Refusal::BadByte, out)),
        Step::More | Step::Skip(_) | Step::TooLong(_) => None,
    }
}

/// Tells everyone each line that was typed at the server's own terminal; one that is too long in parts. `typed` keeps what
/// came since the last LF.
pub fn hear_console(
    hub: &mut Hub,
    typed: &mut Vec<u8>,
    input: &[u8],
    max_line: usize,
    out: &mut impl Outbox,
) {
    for &byte in input {
        typed.push(byte);
        if byte == b'\n' || typed.len() == max_line {
            let text = trim_blanks(typed.trim_end_with(|c| c == '\n' || c == '\r'));
            if !text.is_empty() {
                hub.announce(text, out);
            }
            typed.clear();
        }
    }
}

fn understand(hub: &mut Hub, from: ConnId, dialect: Dialect, message: &[u8], out: &mut impl Outbox) -> Next {
    match dialect.parse(message, hub.rank(from)) {
        Meaning::Nothing => Next::Stay,
        Meaning::Request(request) => hub.handle(from, request, out),
        Meaning::Refused(refusal) => refuse(from, refusal, out),
    }
}

fn refuse(from: ConnId, refusal: Refusal<'_>, out: &mut impl Outbox) -> Next {
    out.send(from, Event::Refused(refusal));
    Next::Stay
}
