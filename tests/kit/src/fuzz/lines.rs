//! The fuzz body for framing and parsing: the messages of a stream must not depend on how it is sliced.

use super::grammar;
use super::script::Script;
use redpoll::limits::MAX_FRAME_TIMEOUTS;
use redpoll::protocol::dialect::Dialect;
use redpoll::protocol::frame::{Frame, LineFrame, Step};
use redpoll::protocol::{Parsed, Rank, Refusal};

/// For any stream, slices and limit:
///
/// - the lines are those of a naive splitter: none is lost, invented, merged or cut; one that is longer than the
///   limit is reported once;
/// - each is reported with the slice that has its LF, or its first byte beyond the limit;
/// - the consumed bytes add up to the stream, and at most one line of the limit's length is kept;
/// - a frame with a timeout finds the same lines if the timeout never passes. If it passes after some slices, any
///   number of times, it ends the partial message, too long or not. Within a character of UTF-8 it is put off, at
///   most [`MAX_FRAME_TIMEOUTS`] times in a row;
/// - every line is parsed as by `to_server` of `grammar.rs`, before and after registering.
///
/// The input: a byte with the limit, and in the upper bits the slices after which the timeout passes; the number of
/// slices and their lengths, which repeat to the end; the stream.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_lines(data: &[u8]) {
    let mut script = Script::new(data);
    let timeouts = Timeouts(data.first().map_or(0, |byte| byte / 8));
    let max = script.pick(&[128, 1, 2, 3, 8, 16, 64, 256]);
    let lengths: Vec<usize> = script.some(16).iter().map(|length| usize::from(*length)).collect();
    let stream = script.rest();
    let expected = split_naively(stream, max);
    for lengths in [&[][..], &lengths, &[1]] {
        let ends = slice_ends(stream.len(), lengths);
        for timeouts in [NO_TIMEOUTS, timeouts] {
            let frame = Frame::Line(LineFrame::with_timeout());
            let messages = messages_by_slices(frame, stream, max, &ends, timeouts);
            let expected = split_with_timeouts(stream, max, &ends, timeouts);
            assert_eq!(messages, expected, "slices of {lengths:?}, {timeouts:?}");
        }
        let frame = Frame::Line(LineFrame::default());
        // Without a timeout its passing has no effect.
        let lines = messages_by_slices(frame, stream, max, &ends, timeouts);
        let without = Frame::Line(LineFrame::with_timeout());
        assert!(borrowed(&lines).eq(borrowed(&messages_by_slices(without, stream, max, &ends, NO_TIMEOUTS))));
        assert_eq!(lines.len(), expected.len(), "slices of {lengths:?}");
        for (line, (due, expected)) in lines.into_iter().zip(&expected) {
            let end = ends.iter().find(|end| *end >= due).unwrap_or(&END);
            let line = (line.0, line.1.as_deref());
            assert_eq!(line, (*end, *expected), "slices of {lengths:?}");
        }
    }
    for line in expected.iter().filter_map(|(_, line)| *line) {
        assert_parsed(line, Rank::Unregistered);
        assert_parsed(line, Rank::Member);
    }
}

/// The time of the end of the stream.
const END: usize = usize::MAX;

/// Returns the lines of a stream without LF and CR, `None` for one that is too long, each with the number of bytes of
/// the stream after which it is due.
fn split_naively(stream: &[u8], max: usize) -> Vec<(usize, Option<&[u8]>)> {
    let mut start = 0;
    let lines = stream.split_inclusive(|byte| *byte == b'\n').map(|whole| {
        let before = start;
        start += whole.len();
        if whole.len() > max {
            return (before + max + 1, None);
        }
        let line = whole.strip_suffix(b"\n");
        let due = if line.is_some() { start } else { END };
        let line = line.unwrap_or(whole);
        let line = if before == 0 { without_mark(line) } else { line };
        (due, Some(line.strip_suffix(b"\r").unwrap_or(line)))
    });
    lines.collect()
}

/// Returns the first line without the byte order mark that a stream may begin with. A line with NUL is refused whole.
fn without_mark(line: &[u8]) -> &[u8] {
    if line.contains(&0) { line } else { line.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(line) }
}

/// Returns the ends of slices with these lengths, which repeat to the end; without any, the stream is one slice.
fn slice_ends(len: usize, lengths: &[usize]) -> Vec<usize> {
    let mut ends = Vec::new();
    if lengths.iter().any(|length| *length > 0) {
        let mut end = 0;
        for length in lengths.iter().cycle() {
            end += length;
            if end >= len {
                break;
            }
            ends.push(end);
        }
    }
    ends.push(len);
    ends
}

/// The slices after which the timeout passes: each bit of the lower four is for one of four slices. With a higher bit
/// it passes once more than it can be put off.
#[derive(Debug, Clone, Copy)]
struct Timeouts(u8);

const NO_TIMEOUTS: Timeouts = Timeouts(0);

impl Timeouts {
    fn after(self, slice: usize) -> u8 {
        match (self.0 >> (slice % 4) & 1, self.0 >> 4) {
            (0, _) => 0,
            (_, 0) => 1,
            _ => MAX_FRAME_TIMEOUTS + 1,
        }
    }
}

/// A message, `None` if it is too long, with the end of the slice that completed it.
type Framed = (usize, Option<Vec<u8>>);

fn borrowed(messages: &[Framed]) -> impl Iterator<Item = (usize, Option<&[u8]>)> {
    messages.iter().map(|(end, message)| (*end, message.as_deref()))
}

/// Returns the messages that a frame finds in the stream.
fn messages_by_slices(
    mut frame: Frame,
    stream: &[u8],
    max: usize,
    ends: &[usize],
    timeouts: Timeouts,
) -> Vec<Framed> {
    let (mut messages, mut start) = (Vec::new(), 0);
    for (slice, &end) in ends.iter().enumerate() {
        if slice > 0 && end == ends[slice - 1] {
            continue;
        }
        loop {
            let step = with_checked_nul(frame.next(&stream[start..end], max));
            let bytes = match step {
                Step::More => break,
                Step::Skip(bytes) => bytes,
                Step::TooLong(bytes) => {
                    messages.push((end, None));
                    bytes
                }
                Step::Message(bytes, message) | Step::Nul(bytes, message) => {
                    messages.push((end, Some(message.to_vec())));
                    bytes
                }
            };
            assert!(bytes > 0, "each step consumes bytes");
            start += bytes;
            assert!(start <= end, "only bytes of the slices are consumed");
        }
        assert!(end - start <= max, "{} bytes are kept of a line of {max}", end - start);
        for _ in 0..timeouts.after(slice) {
            if !frame.awaits_timeout(end - start) {
                break;
            }
            match with_checked_nul(frame.timeout(&stream[start..end])) {
                Step::More => {}
                Step::Message(bytes, message) | Step::Nul(bytes, message) => {
                    messages.push((end, Some(message.to_vec())));
                    start += bytes;
                }
                step => assert_eq!(step, Step::More, "a timeout gives a message or none"),
            }
        }
    }
    match with_checked_nul(frame.finish(&stream[start..])) {
        Step::More => {}
        Step::Message(bytes, message) | Step::Nul(bytes, message) => {
            messages.push((END, Some(message.to_vec())));
            start += bytes;
        }
        step => assert_eq!(step, Step::More, "the end gives a last line or none"),
    }
    assert_eq!(start, stream.len(), "the consumed bytes add up to the stream");
    messages
}

/// Asserts that a step states correctly whether its message holds NUL, and returns it.
fn with_checked_nul(step: Step<'_>) -> Step<'_> {
    match step {
        Step::Message(_, message) => assert!(!message.contains(&0), "{message:?} holds NUL"),
        Step::Nul(_, message) => assert!(message.contains(&0), "{message:?} holds no NUL"),
        Step::More | Step::Skip(_) | Step::TooLong(_) => {}
    }
    step
}

/// Returns the same messages, found byte by byte.
fn split_with_timeouts(stream: &[u8], max: usize, ends: &[usize], timeouts: Timeouts) -> Vec<Framed> {
    let (mut messages, mut partial, mut too_long, mut start) = (Vec::new(), Vec::new(), false, 0);
    let text = |message: &[u8], is_first| {
        let message = if is_first { without_mark(message) } else { message };
        message.strip_suffix(b"\r").unwrap_or(message).to_vec()
    };
    for (slice, &end) in ends.iter().enumerate() {
        if slice > 0 && end == start {
            continue;
        }
        for &byte in &stream[start..end] {
            partial.push(byte);
            if partial.len() > max && !too_long {
                too_long = true;
                messages.push((end, None));
            }
            if byte == b'\n' {
                partial.pop();
                if !too_long {
                    messages.push((end, Some(text(&partial, messages.is_empty()))));
                }
                partial.clear();
                too_long = false;
            }
        }
        start = end;
        for timeout in 0..timeouts.after(slice) {
            let waits = !too_long && timeout < MAX_FRAME_TIMEOUTS && ends_within_a_character(&partial);
            if partial.is_empty() || waits {
                continue;
            }
            if !too_long {
                messages.push((end, Some(text(&partial, messages.is_empty()))));
            }
            partial.clear();
            too_long = false;
        }
    }
    if !partial.is_empty() && !too_long {
        messages.push((END, Some(text(&partial, messages.is_empty()))));
    }
    messages
}

/// Returns whether the bytes end within a character and further bytes can complete it to UTF-8. One of these three fits
/// after every first byte of a character (RFC 3629 section 4), and 0x80 after every other.
fn ends_within_a_character(partial: &[u8]) -> bool {
    let is_whole = |more: &[u8]| std::str::from_utf8(&[partial, more].concat()).is_ok();
    let completes = |next: u8| (1..=3).any(|count| is_whole(&[next, 0x80, 0x80][..count]));
    !is_whole(b"") && [0x80, 0x90, 0xA0].into_iter().any(completes)
}

fn assert_parsed(line: &[u8], rank: Rank) {
    let (parsed, expected) = (Dialect::Native.parse(line, rank), grammar::to_server(line, rank));
    match (parsed, expected) {
        (Parsed::Refused(Refusal::UnknownCommand(word)), Parsed::Refused(Refusal::UnknownCommand(other))) => {
            assert_eq!(word, other);
        }
        (Parsed::Refused(refusal), Parsed::Refused(other)) => {
            assert_eq!(refusal.code(), other.code(), "{:?} of a {rank:?}", line.escape_ascii().to_string());
        }
        (parsed, expected) => {
            assert_eq!(parsed, expected, "{:?} of a {rank:?}", line.escape_ascii().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_lengths_repeat_to_the_end() {
        assert_eq!(slice_ends(7, &[1, 2]), [1, 3, 4, 6, 7]);
        assert_eq!(slice_ends(3, &[]), [3]);
        assert_eq!(slice_ends(3, &[0]), [3]);
        assert_eq!(slice_ends(0, &[1]), [0]);
    }

    #[test]
    fn a_cut_character_is_known() {
        for cut in ["é", "€", "\u{800}", "\u{D7FF}", "\u{10000}", "\u{10FFFF}"] {
            (1..cut.len())
                .for_each(|end| assert!(ends_within_a_character(&cut.as_bytes()[..end]), "{cut:?}"));
            assert!(!ends_within_a_character(cut.as_bytes()));
        }
        assert!(!ends_within_a_character(b"\xFF\xC3") && !ends_within_a_character(b"\xED\xA0"));
    }

    #[test]
    fn naive_splitter_knows_due_lines() {
        assert_eq!(
            split_naively(b"a\r\n\n12345\nab", 4),
            [(3, Some(&b"a"[..])), (4, Some(b"")), (9, None), (END, Some(b"ab"))]
        );
    }
}
