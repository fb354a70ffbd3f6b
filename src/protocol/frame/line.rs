//! Lines: each ends with LF, one CR before it is dropped (protocol.md, "Framing"). The slicing of the stream never
//! changes the result: every decision here depends on the bytes and their positions alone.

use super::{Step, step};
use crate::limits::{DISCARDED_PER_TOKEN, MAX_FRAME_TIMEOUTS, MAX_MAX_LINE};
use crate::protocol::message::{self, END};
use bstr::ByteSlice;
use std::num::NonZeroU8;

/// The state of a stream of lines, in four bytes: every connection has one, see `a_frame_is_small`.
#[derive(Debug, Default)]
pub struct LineFrame {
    /// So many bytes at the front of the unfinished line hold no END: they are not searched again. In [`Mode::Discarding`]
    /// the bytes that were thrown away of its last started 4 KiB.
    searched: u16,
    mode: Mode,
    /// Lines end by pauses too: 1, and how many in a row came within a character.
    pauses: Option<NonZeroU8>,
}

/// What is known of the unfinished line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It is the first line of the stream.
    #[default]
    First,
    /// Nothing.
    Plain,
    /// The bytes that were searched hold NUL.
    Nul,
    /// It was too long, and its rest passes by.
    Skipping,
}

const _: () =
    assert!(MAX_MAX_LINE <= u16::MAX as usize + 1, "all but the last byte of a line are counted as searched");

impl LineFrame {
    /// Lines that end by pauses too.
    #[must_use]
    pub fn by_pause() -> LineFrame {
        LineFrame { pauses: Some(NonZeroU8::MIN), ..LineFrame::default() }
    }

    /// Whether lines end by pauses too.
    #[must_use]
    pub fn is_by_pause(&self) -> bool {
        self.pauses.is_some()
    }

    /// See [`Frame::next`](super::Frame::next). A line is too long as soon as `max` bytes are known to be too few for
    /// it and its END.
    pub fn next<'a>(&mut self, input: &'a [u8], max: usize) -> Step<'a> {
        if self.is_discarding() {
            return self.discard(input);
        }
        if self.pauses.is_some() {
            self.pauses = Some(NonZeroU8::MIN);
        }
        let searched = self.searched as usize;
        match self.find_end(input, searched) {
            Some(end) => {
                self.searched = 0;
                let mode = std::mem::replace(&mut self.mode, Mode::Plain);
                if end < max { mode.step(end + 1, &input[..end]) } else { Step::TooLong(end + 1) }
            }
            None if input.len() > max => {
                self.searched = 0;
                self.throw_away(input.len());
                self.mode = Mode::Skipping;
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
        *self = LineFrame { searched: 0, mode: next, pauses: self.pauses.map(|_| NonZeroU8::MIN) };
        if input.is_empty() { Step::More } else { mode.step(input.len(), input) }
    }

    /// See [`Frame::pause`](super::Frame::pause): what has come is a message, as if END had ended it, and ends the
    /// discarding of one. A client sends whole characters, so a pause within one is the network's: the rest of it is
    /// waited for, but not for ever.
    pub fn pause<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        if self.ends_by_pause(input) { self.finish(input) } else { Step::More }
    }

    /// Whether a pause behind these bytes ends a message, which is then asked no more.
    pub fn ends_by_pause(&mut self, input: &[u8]) -> bool {
        let Some(pauses) = &mut self.pauses else { return false };
        let cut = std::str::from_utf8(input).is_err_and(|error| error.error_len().is_none());
        let waits = cut && pauses.get() <= MAX_FRAME_TIMEOUTS;
        *pauses = if waits { pauses.saturating_add(1) } else { NonZeroU8::MIN };
        !waits
    }

    /// Whether the rest of a line that was too long passes by.
    #[must_use]
    pub fn is_discarding(&self) -> bool {
        self.mode == Mode::Skipping
    }

    /// Bytes that were thrown away of the last started 4 KiB of a line that is too long.
    #[must_use]
    pub fn discarded(&self) -> usize {
        if self.is_discarding() { self.searched as usize } else { 0 }
    }

    fn throw_away(&mut self, bytes: usize) {
        self.searched = ((self.searched as usize + bytes) % DISCARDED_PER_TOKEN) as u16;
    }

    /// Where the line ends, its first bytes having been searched; NUL on the way is noted.
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
                self.throw_away(input.len());
                Step::Skip(input.len())
            }
        }
    }
}

impl Mode {
    /// The step over a line in this mode: a byte order mark at the start of the stream is dropped, and one CR at the end.
    fn step(self, bytes: usize, line: &[u8]) -> Step<'_> {
        let mark = if self == Mode::First { BYTE_ORDER_MARK } else { b"" };
        let line = line.strip_prefix(mark).unwrap_or(line);
        step(bytes, line.strip_suffix(b"\r").unwrap_or(line), self == Mode::Nul)
    }
}

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
