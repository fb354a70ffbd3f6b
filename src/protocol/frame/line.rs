//! Lines: each ends with LF, and one CR before it is dropped (protocol.md, "Framing"). How reads cut the stream never
//! changes the result: every decision depends on the bytes and their positions alone.

use super::{Step, step};
use crate::limits::{DISCARDED_PER_TOKEN, MAX_FRAME_TIMEOUTS, MAX_MAX_LINE};
use crate::protocol::message::{self, END};
use bstr::ByteSlice;
use std::num::NonZeroU8;

/// The state of a stream of lines, in four bytes, since every connection has one; a test checks the size.
#[derive(Debug, Default)]
pub struct LineFrame {
    /// The first `searched` bytes of the unfinished line contain no END and are not searched again. In
    /// [`Mode::Discarding`], the discarded bytes modulo [`DISCARDED_PER_TOKEN`].
    searched: u16,
    mode: Mode,
    /// `None` if only LF ends lines; otherwise 1 plus the frame timeouts in a row that came within a character.
    timeouts: Option<NonZeroU8>,
}

/// What is known of the unfinished line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It is the first line of the stream.
    #[default]
    First,
    /// Nothing.
    Plain,
    /// Its searched bytes contain NUL.
    Nul,
    /// It was too long, and its remainder is discarded.
    Discarding,
}

const _: () =
    assert!(MAX_MAX_LINE <= u16::MAX as usize + 1, "`searched` can count all but the last byte of a line");

impl LineFrame {
    /// Creates the state for lines that end at a frame timeout too.
    #[must_use]
    pub fn with_timeout() -> LineFrame {
        LineFrame { timeouts: Some(NonZeroU8::MIN), ..LineFrame::default() }
    }

    /// Returns whether lines end at a frame timeout too.
    #[must_use]
    pub fn has_timeout(&self) -> bool {
        self.timeouts.is_some()
    }

    /// See [`Frame::next`](super::Frame::next). A line is too long as soon as it and its END can't fit in `max` bytes.
    pub fn next<'a>(&mut self, input: &'a [u8], max: usize) -> Step<'a> {
        if self.is_discarding() {
            return self.discard(input);
        }
        if self.timeouts.is_some() {
            self.timeouts = Some(NonZeroU8::MIN);
        }
        let searched = self.searched as usize;
        match self.find_end(input, searched) {
            Some(end) => {
                self.searched = 0;
                // Most lines, without a call or a store.
                if end < max && self.mode == Mode::Plain {
                    return Step::Message(end + 1, without_cr(&input[..end]));
                }
                let mode = std::mem::replace(&mut self.mode, Mode::Plain);
                if end < max { mode.step(end + 1, &input[..end]) } else { Step::TooLong(end + 1) }
            }
            None if input.len() > max => {
                self.searched = 0;
                self.count_discarded(input.len());
                self.mode = Mode::Discarding;
                Step::TooLong(input.len())
            }
            None => {
                // The last byte of the longest line may be searched again: it is not END.
                self.searched = u16::try_from(input.len()).unwrap_or(u16::MAX);
                Step::More
            }
        }
    }

    /// See [`Frame::finish`](super::Frame::finish): an unterminated last line counts as a line.
    pub fn finish<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let mode = self.mode;
        let next = if mode == Mode::First && input.is_empty() { Mode::First } else { Mode::Plain };
        *self = LineFrame { searched: 0, mode: next, timeouts: self.timeouts.map(|_| NonZeroU8::MIN) };
        if input.is_empty() { Step::More } else { mode.step(input.len(), input) }
    }

    /// See [`Frame::timeout`](super::Frame::timeout): `input` is a message, as if END followed it; the discarding of a line
    /// ends too. A client sends whole characters, so a timeout within one is due to the network: the remainder is
    /// awaited, but at most [`MAX_FRAME_TIMEOUTS`] times.
    pub fn timeout<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        if self.ends_by_timeout(input) { self.finish(input) } else { Step::More }
    }

    /// Returns whether a frame timeout after `input` ends a message; each call counts as a timeout.
    pub fn ends_by_timeout(&mut self, input: &[u8]) -> bool {
        let Some(timeouts) = &mut self.timeouts else { return false };
        let cut = std::str::from_utf8(input).is_err_and(|error| error.error_len().is_none());
        let waits = cut && timeouts.get() <= MAX_FRAME_TIMEOUTS;
        *timeouts = if waits { timeouts.saturating_add(1) } else { NonZeroU8::MIN };
        !waits
    }

    /// Returns whether the remainder of a line that was too long is being discarded.
    #[must_use]
    pub fn is_discarding(&self) -> bool {
        self.mode == Mode::Discarding
    }

    /// Returns the discarded bytes, modulo 4 KiB, of a line that is too long.
    #[must_use]
    pub fn discarded(&self) -> usize {
        if self.is_discarding() { self.searched as usize } else { 0 }
    }

    fn count_discarded(&mut self, bytes: usize) {
        self.searched = ((self.searched as usize + bytes) % DISCARDED_PER_TOKEN) as u16;
    }

    /// Returns where the line ends, given that its first `searched` bytes were searched; records NUL before that.
    fn find_end(&mut self, input: &[u8], searched: usize) -> Option<usize> {
        let found = searched + input[searched..].find_byteset([END, 0])?;
        if input[found] == END {
            return Some(found);
        }
        self.mode = Mode::Nul;
        Some(found + message::find_end(&input[found..])?)
    }

    fn discard<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        match message::find_end(input) {
            Some(end) => {
                self.mode = Mode::Plain;
                self.searched = 0;
                Step::Skip(end + 1)
            }
            None if input.is_empty() => Step::More,
            None => {
                self.count_discarded(input.len());
                Step::Skip(input.len())
            }
        }
    }
}

impl Mode {
    /// Returns the step over a line in this mode, without a byte order mark at the start of the stream and a CR at the end.
    #[cold]
    fn step(self, bytes: usize, line: &[u8]) -> Step<'_> {
        let line = match self {
            Mode::First => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            _ => line,
        };
        step(bytes, without_cr(line), self == Mode::Nul)
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
