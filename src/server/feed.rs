//! The loop of all engines: bytes -> frame -> dialect -> hub. It owns no state; the caller keeps unconsumed bytes.

use crate::hub::{AfterRequest, Hub};
use crate::limits::DISCARDED_PER_TOKEN;
use crate::protocol::dialect::Dialect;
use crate::protocol::frame::{Frame, Step};
use crate::protocol::message;
use crate::protocol::text::trim_blanks;
use crate::protocol::{ConnId, Event, Outbox, Parsed, Rank, Refusal};
use bstr::ByteSlice;

/// The result of [`feed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fed {
    /// Bytes consumed from the front of the input.
    pub consumed: usize,
    /// Messages consumed, including those that are too long.
    pub messages: u64,
    /// Tokens that they cost the sender (protocol.md, "Promises").
    pub cost: u64,
    /// Why [`feed`] returned.
    pub stop: StopReason,
}

/// Why [`feed`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The remainder of the input is no whole message.
    Dry,
    /// The outbox must be flushed first, or half of the sender's own queue is in use; there may be more messages.
    Full,
    /// The sender's bucket is empty, and there is more input.
    Spent,
    /// The hub has effects to act on first; there may be more messages.
    Effects,
    /// The connection has left the hub and must be closed; the remainder of its input is dropped.
    Close,
}

/// The bounds of [`feed`].
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Maximum bytes of a message.
    pub max_line: usize,
    /// The sender's tokens. While at least one is left, a message is handled, whatever it costs.
    pub tokens: u64,
}

/// Passes the whole messages at the front of `input` to the hub, within `bounds`.
pub fn feed(
    hub: &mut Hub,
    from: ConnId,
    frame: &mut Frame,
    dialect: Dialect,
    input: &[u8],
    bounds: Bounds,
    out: &mut impl Outbox,
) -> Fed {
    let Bounds { max_line, tokens } = bounds;
    let (mut consumed, mut messages, mut cost) = (0, 0, 0);
    let mut rank = hub.rank(from);
    let stop = loop {
        if out.wants_flush() || !out.has_room(from) {
            break StopReason::Full;
        }
        if cost >= tokens && consumed < input.len() {
            break StopReason::Spent;
        }
        let before = frame.discarded();
        match frame.next(&input[consumed..], max_line) {
            Step::More => break StopReason::Dry,
            Step::Skip(bytes) => {
                consumed += bytes;
                cost += blocks_begun(before, bytes);
            }
            Step::TooLong(bytes) => {
                consumed += bytes;
                messages += 1;
                cost += 1 + blocks_begun(0, bytes);
                refuse(from, Refusal::LineTooLong(max_line), out);
            }
            Step::Nul(bytes, _) => {
                consumed += bytes;
                messages += 1;
                cost += 1;
                refuse(from, Refusal::BadByte, out);
            }
            Step::Message(bytes, message) => {
                consumed += bytes;
                messages += 1;
                let (next, charged) = handle_message(hub, from, rank, dialect, message, out);
                cost += charged;
                if next == AfterRequest::Close {
                    break StopReason::Close;
                }
                if hub.has_effects() {
                    break StopReason::Effects;
                }
                // A member stays a member until it leaves; a connection of another rank may have registered.
                if rank != Rank::Member {
                    rank = hub.rank(from);
                }
            }
        }
    };
    Fed { consumed, messages, cost, stop }
}

/// Returns how many blocks of discarded bytes, one token each, begin in the next `bytes` after `part`.
fn blocks_begun(part: usize, bytes: usize) -> u64 {
    ((part + bytes).div_ceil(DISCARDED_PER_TOKEN) - part.div_ceil(DISCARDED_PER_TOKEN)) as u64
}

/// Handles a message without END after [`StopReason::Dry`]; `step` is the frame's result at the end of the stream or a
/// frame timeout. Returns what follows for the sender, and the cost; `None` if `step` is no message yet.
pub fn last(
    hub: &mut Hub,
    from: ConnId,
    dialect: Dialect,
    step: Step<'_>,
    out: &mut impl Outbox,
) -> Option<(AfterRequest, u64)> {
    match step {
        Step::Message(_, message) => Some(handle_message(hub, from, hub.rank(from), dialect, message, out)),
        Step::Nul(..) => Some(refuse(from, Refusal::BadByte, out)),
        Step::More | Step::Skip(_) | Step::TooLong(_) => None,
    }
}

/// Announces each line typed at the server's own terminal, a long one in parts. `typed` holds the unfinished line.
pub fn receive_console(
    hub: &mut Hub,
    typed: &mut Vec<u8>,
    input: &[u8],
    max_line: usize,
    out: &mut impl Outbox,
) {
    for &byte in input {
        typed.push(byte);
        if byte == message::END || typed.len() == max_line {
            let text = trim_blanks(typed.trim_end_with(|c| c == '\n' || c == '\r'));
            if !text.is_empty() {
                hub.announce(text, out);
            }
            typed.clear();
        }
    }
}

/// Parses a message and has the hub handle it. Returns what follows for the sender, and the cost in tokens.
fn handle_message(
    hub: &mut Hub,
    from: ConnId,
    rank: Rank,
    dialect: Dialect,
    message: &[u8],
    out: &mut impl Outbox,
) -> (AfterRequest, u64) {
    match &dialect.parse(message, rank) {
        Parsed::Nothing => (AfterRequest::Stay, 1),
        Parsed::Request(request) => {
            let next = hub.handle(from, request, out);
            (next, request.kind().rule().cost + hub.take_extra_cost())
        }
        Parsed::Refused(refusal) => refuse(from, *refusal, out),
    }
}

fn refuse(from: ConnId, refusal: Refusal<'_>, out: &mut impl Outbox) -> (AfterRequest, u64) {
    out.send(from, Event::Refused(refusal));
    (AfterRequest::Stay, 1)
}
