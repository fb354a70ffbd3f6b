//! Where one message ends. A frame cuts a stream of bytes into messages and knows nothing of what they mean; it keeps
//! a few words of state, never the bytes. A new way of framing is one file here and one variant of [`Frame`].

mod line;

use crate::protocol::message;
pub use line::LineFrame;

/// What a frame finds at the front of the bytes that it is shown. Counts are bytes to drop from the front.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// No message yet: show the same bytes again, with more behind them.
    More,
    /// These belong to no message.
    Skip(usize),
    /// A message, without what ended it.
    Message(usize, &'a [u8]),
    /// A message that holds NUL, likewise: the search for its end has found that on the way.
    Nul(usize, &'a [u8]),
    /// These belong to a message that is longer than it may be: said once for each, as soon as it is known. The rest
    /// of it is skipped.
    TooLong(usize),
}

/// The ways of framing.
#[derive(Debug)]
pub enum Frame {
    /// Lines that end with LF, or by pauses too.
    Line(LineFrame),
    /// All that came at once is one message, but for one LF at its end.
    Datagram,
}

impl Frame {
    /// Looks for the next message at the front of `input`, which begins where the last step left off. At most `max`
    /// bytes belong to one message, what ends it included.
    pub fn next<'a>(&mut self, input: &'a [u8], max: usize) -> Step<'a> {
        match self {
            Frame::Line(line) => line.next(input, max),
            Frame::Datagram if input.is_empty() => Step::More,
            Frame::Datagram if input.len() > max => Step::TooLong(input.len()),
            Frame::Datagram => step(input.len(), message::without_end(input), input.contains(&0)),
        }
    }

    /// Looks at what is left in `input` when the stream has ended and [`Frame::next`] has said [`Step::More`].
    pub fn finish<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self {
            Frame::Line(line) => line.finish(input),
            Frame::Datagram => Step::More,
        }
    }

    /// Looks at what is left in `input` when nothing has come for a while, after [`Frame::next`] has said
    /// [`Step::More`]. Says [`Step::More`] where that doesn't end a message, or not yet.
    pub fn pause<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self {
            Frame::Line(line) if line.is_by_pause() => line.pause(input),
            Frame::Line(_) | Frame::Datagram => Step::More,
        }
    }

    /// Whether a pause behind these bytes ends a message. For messages that aren't taken yet: LF may then be put there.
    pub fn ends_by_pause(&mut self, input: &[u8]) -> bool {
        match self {
            Frame::Line(line) => line.is_by_pause() && line.ends_by_pause(input),
            Frame::Datagram => false,
        }
    }

    /// Whether messages end by pauses too.
    #[must_use]
    pub fn is_by_pause(&self) -> bool {
        matches!(self, Frame::Line(line) if line.is_by_pause())
    }

    /// Bytes that were thrown away of the last started 4 KiB of a message that is too long and not over.
    #[must_use]
    pub fn discarded(&self) -> usize {
        match self {
            Frame::Line(line) => line.discarded(),
            Frame::Datagram => 0,
        }
    }

    /// Whether a pause would mean anything, when so many bytes are left.
    #[must_use]
    pub fn awaits_pause(&self, left: usize) -> bool {
        match self {
            Frame::Line(line) => line.is_by_pause() && (left > 0 || line.is_discarding()),
            Frame::Datagram => false,
        }
    }
}

fn step(bytes: usize, message: &[u8], nul: bool) -> Step<'_> {
    if nul { Step::Nul(bytes, message) } else { Step::Message(bytes, message) }
}
