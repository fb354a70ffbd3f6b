//! Bytes to frame to dialect to hub: the one loop that every engine shares. It owns nothing; what it borrows belongs to
//! the caller, who also decides what becomes of the bytes that were not consumed.

use crate::dialect::Dialect;
use crate::frame::{Frame, Step};
use crate::hub::{Hub, Next};
use crate::message::{ConnId, Event, Meaning, Outbox, Refusal};
use crate::text::is_plain;

/// How far [`feed`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Bytes to drop from the front of the input.
    pub consumed: usize,
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
    let mut consumed = 0;
    let stop = loop {
        if out.wants_flush() || !out.has_room(from) {
            break Stop::Full;
        }
        match frame.next(&input[consumed..], max_line) {
            Step::More => break Stop::Dry,
            Step::Skip(bytes) => consumed += bytes,
            Step::TooLong(bytes) => {
                consumed += bytes;
                out.send(from, Event::Refused(Refusal::LineTooLong(max_line)));
            }
            Step::Message(bytes, message) => {
                consumed += bytes;
                if understand(hub, from, dialect, message, out) == Next::Close {
                    break Stop::Close;
                }
            }
        }
    };
    Fed { consumed, stop }
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
        Step::More | Step::Skip(_) | Step::TooLong(_) => Next::Stay,
    }
}

fn understand(hub: &mut Hub, from: ConnId, dialect: Dialect, message: &[u8], out: &mut impl Outbox) -> Next {
    let meaning = if !is_plain(message) && message.contains(&0) {
        Meaning::Refused(Refusal::BadByte)
    } else {
        dialect.parse(message, hub.rank(from))
    };
    match meaning {
        Meaning::Nothing => Next::Stay,
        Meaning::Request(request) => hub.handle(from, request, out),
        Meaning::Refused(refusal) => {
            out.send(from, Event::Refused(refusal));
            Next::Stay
        }
    }
}
