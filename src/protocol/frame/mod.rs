//! Where one message ends. A frame cuts a stream of bytes into messages without knowing their meaning; it keeps a few
//! words of state, never the bytes. A new way of framing is one file here and one variant of [`Frame`].

mod line;

use crate::protocol::message;
pub use line::LineFrame;

/// What a frame finds at the front of its input. Counts are bytes to drop from the front.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// No message yet: pass the same bytes again, followed by more.
    More,
    /// Bytes that belong to no message.
    Skip(usize),
    /// A message without its end.
    Message(usize, &'a [u8]),
    /// A message that contains NUL, without its end and otherwise as received: the search for the end has found the NUL.
    Nul(usize, &'a [u8]),
    /// Bytes of a message that is too long, reported once per message and as soon as known; its remainder is skipped.
    TooLong(usize),
}

/// The ways of framing.
#[derive(Debug)]
pub enum Frame {
    /// Lines that end with LF, or also at a frame timeout.
    Line(LineFrame),
    /// All input is one message, without one LF at its end.
    Datagram,
}

impl Frame {
    /// Returns the next message of `input`, which begins where the last step ended: at most `max` bytes with its end.
    pub fn next<'a>(&mut self, input: &'a [u8], max: usize) -> Step<'a> {
        match self {
            Frame::Line(line) => line.next(input, max),
            Frame::Datagram if input.is_empty() => Step::More,
            Frame::Datagram if input.len() > max => Step::TooLong(input.len()),
            Frame::Datagram => step(input.len(), message::without_end(input), input.contains(&0)),
        }
    }

    /// Returns what is left in `input` at the end of the stream, after [`Frame::next`] has returned [`Step::More`].
    pub fn finish<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self {
            Frame::Line(line) => line.finish(input),
            Frame::Datagram => Step::More,
        }
    }

    /// Returns what is left in `input` at a frame timeout, after [`Frame::next`] has returned [`Step::More`];
    /// [`Step::More`] if that doesn't end a message, or not yet.
    pub fn timeout<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self {
            Frame::Line(line) if line.has_timeout() => line.timeout(input),
            Frame::Line(_) | Frame::Datagram => Step::More,
        }
    }

    /// Returns whether a frame timeout after `input` ends a message; a caller that can't take it yet then appends LF.
    pub fn ends_by_timeout(&mut self, input: &[u8]) -> bool {
        match self {
            Frame::Line(line) => line.has_timeout() && line.ends_by_timeout(input),
            Frame::Datagram => false,
        }
    }

    /// Returns whether messages end at a frame timeout too.
    #[must_use]
    pub fn has_timeout(&self) -> bool {
        matches!(self, Frame::Line(line) if line.has_timeout())
    }

    /// Returns the discarded bytes, modulo 4 KiB, of a message that is too long and hasn't ended.
    #[must_use]
    pub fn discarded(&self) -> usize {
        match self {
            Frame::Line(line) => line.discarded(),
            Frame::Datagram => 0,
        }
    }

    /// Returns whether a frame timeout has an effect if `left` bytes are left.
    #[must_use]
    pub fn awaits_timeout(&self, left: usize) -> bool {
        match self {
            Frame::Line(line) => line.has_timeout() && (left > 0 || line.is_discarding()),
            Frame::Datagram => false,
        }
    }
}

fn step(bytes: usize, message: &[u8], nul: bool) -> Step<'_> {
    if nul { Step::Nul(bytes, message) } else { Step::Message(bytes, message) }
}
