//! Where one message ends. A frame cuts a stream of bytes into messages and knows nothing of what they mean; it keeps
//! a few words of state, never the bytes. A new way of framing is one file here and one variant of [`Frame`].

mod line;

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
    /// These belong to a message that is longer than it may be: said once for each, as soon as it is known. The rest
    /// of it is skipped.
    TooLong(usize),
}

/// The ways of framing.
#[derive(Debug)]
pub enum Frame {
    /// Lines that end with LF.
    Line(LineFrame),
}

impl Frame {
    /// Looks for the next message at the front of `input`, which begins where the last step left off. At most `max`
    /// bytes belong to one message, what ends it included.
    pub fn next<'a>(&mut self, input: &'a [u8], max: usize) -> Step<'a> {
        match self {
            Frame::Line(line) => line.next(input, max),
        }
    }

    /// Looks at what is left in `input` when the stream has ended and [`Frame::next`] has said [`Step::More`].
    pub fn finish<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match self {
            Frame::Line(line) => line.finish(input),
        }
    }
}
