//! The fuzz body for framing and parsing: a stream of bytes and how it is sliced in; what must not depend on it out.

use super::grammar;
use super::script::Script;
use redpoll::limits::MAX_FRAME_TIMEOUTS;
use redpoll::protocol::dialect::Dialect;
use redpoll::protocol::frame::{Frame, LineFrame, Step};
use redpoll::protocol::{Parsed, Rank, Refusal};

/// Whatever the stream, however it is sliced, and whatever the limit:
///
/// - the lines are those that a naive splitter finds: nothing is lost, invented, merged or cut; one that is longer than
///   the limit is named once;
/// - each is said with the very slice that brings its LF, or its first byte beyond the limit;
/// - what is consumed adds up to the stream, and no more than one line of the limit's length is ever kept;
/// - a frame that knows pauses finds the same where there are none; where there are, after any slices and any number of
///   times, a pause ends what was begun, too long or not, unless it comes within a character of what is UTF-8 so far:
///   then it is waited for, so many times in a row and no more;
/// - strangers and members mean by every line what `meant` of `grammar.rs` reads in it.
///
/// The input: which limit, and in the upper bits after which slices there is a pause; how many slices and their lengths
/// (which begin again at the end), the stream.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_lines(data: &[u8]) {
    let mut script = Script::new(data);
    let pauses = Pauses(data.first().map_or(0, |byte| byte / 8));
    let max = script.pick(&[128, 1, 2, 3, 8, 16, 64, 256]);
    let lengths: Vec<usize> = script.some(16).iter().map(|length| usize::from(*length)).collect();
    let stream = script.rest();
    let expected = split_naively(stream, max);
    for lengths in [&[][..], &lengths, &[1]] {
        let ends = slice_ends(stream.len(), lengths);
        for pauses in [NO_PAUSES, pauses] {
            let frame = Frame::Line(LineFrame::with_timeout());
            let messages = messages_by_slices(frame, stream, max, &ends, pauses);
            let expected = split_by_pauses(stream, max, &ends, pauses);
            assert_eq!(messages, expected, "slices of {lengths:?}, {pauses:?}");
        }
        let frame = Frame::Line(LineFrame::default());
        // To lines a pause means nothing.
        let lines = messages_by_slices(frame, stream, max, &ends, pauses);
        let without = Frame::Line(LineFrame::with_timeout());
        assert!(borrowed(&lines).eq(borrowed(&messages_by_slices(without, stream, max, &ends, NO_PAUSES))));
        assert_eq!(lines.len(), expected.len(), "slices of {lengths:?}");
        for (line, (due, expected)) in lines.into_iter().zip(&expected) {
            let came = ends.iter().find(|end| *end >= due).unwrap_or(&END);
            let line = (line.0, line.1.as_deref());
            assert_eq!(line, (*came, *expected), "slices of {lengths:?}");
        }
    }
    for line in expected.iter().filter_map(|(_, line)| *line) {
        assert_meaning(line, Rank::Unregistered);
        assert_meaning(line, Rank::Member);
    }
}

/// When the end of the stream is known.
const END: usize = usize::MAX;

/// The lines of a stream without LF and CR, `None` for one that is too long, and how many bytes of the stream must have
/// come for each to be known.
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

/// The first line without the byte order mark that a stream may begin with.
fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(line)
}

/// Where slices of these lengths end, which begin again at the end; without any, the stream is one slice.
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

/// After which slices there are pauses: after the first of each four where the first bit is set, and so on; as many as
/// are put off and one more where the fifth is.
#[derive(Debug, Clone, Copy)]
struct Pauses(u8);

const NO_PAUSES: Pauses = Pauses(0);

impl Pauses {
    fn after(self, slice: usize) -> u8 {
        match (self.0 >> (slice % 4) & 1, self.0 >> 4) {
            (0, _) => 0,
            (_, 0) => 1,
            _ => MAX_FRAME_TIMEOUTS + 1,
        }
    }
}

/// A message, `None` where it is too long, with the end of the slice at which it was said.
type Said = (usize, Option<Vec<u8>>);

fn borrowed(messages: &[Said]) -> impl Iterator<Item = (usize, Option<&[u8]>)> {
    messages.iter().map(|(end, message)| (*end, message.as_deref()))
}

/// What a frame makes of the stream.
fn messages_by_slices(
    mut frame: Frame,
    stream: &[u8],
    max: usize,
    ends: &[usize],
    pauses: Pauses,
) -> Vec<Said> {
    let (mut messages, mut start) = (Vec::new(), 0);
    for (slice, &end) in ends.iter().enumerate() {
        if slice > 0 && end == ends[slice - 1] {
            continue;
        }
        loop {
            let step = nul_is_said(frame.next(&stream[start..end], max));
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
            assert!(bytes > 0, "no step in place");
            start += bytes;
            assert!(start <= end, "nothing is consumed that hasn't come");
        }
        assert!(end - start <= max, "{} bytes are kept of a line of {max}", end - start);
        for _ in 0..pauses.after(slice) {
            if !frame.awaits_timeout(end - start) {
                break;
            }
            match nul_is_said(frame.pause(&stream[start..end])) {
                Step::More => {}
                Step::Message(bytes, message) | Step::Nul(bytes, message) => {
                    messages.push((end, Some(message.to_vec())));
                    start += bytes;
                }
                step => assert_eq!(step, Step::More, "a pause brings a message or none"),
            }
        }
    }
    match nul_is_said(frame.finish(&stream[start..])) {
        Step::More => {}
        Step::Message(bytes, message) | Step::Nul(bytes, message) => {
            messages.push((END, Some(message.to_vec())));
            start += bytes;
        }
        step => assert_eq!(step, Step::More, "an end brings a last line or none"),
    }
    assert_eq!(start, stream.len(), "what is consumed adds up to the stream");
    messages
}

/// A step, if it is right about whether its message holds NUL.
fn nul_is_said(step: Step<'_>) -> Step<'_> {
    match step {
        Step::Message(_, message) => assert!(!message.contains(&0), "{message:?} holds NUL"),
        Step::Nul(_, message) => assert!(message.contains(&0), "{message:?} holds no NUL"),
        Step::More | Step::Skip(_) | Step::TooLong(_) => {}
    }
    step
}

/// The same, byte by byte.
fn split_by_pauses(stream: &[u8], max: usize, ends: &[usize], pauses: Pauses) -> Vec<Said> {
    let (mut messages, mut begun, mut too_long, mut start) = (Vec::new(), Vec::new(), false, 0);
    let text = |message: &[u8], is_first| {
        let message = if is_first { without_mark(message) } else { message };
        message.strip_suffix(b"\r").unwrap_or(message).to_vec()
    };
    for (slice, &end) in ends.iter().enumerate() {
        if slice > 0 && end == start {
            continue;
        }
        for &byte in &stream[start..end] {
            begun.push(byte);
            if begun.len() > max && !too_long {
                too_long = true;
                messages.push((end, None));
            }
            if byte == b'\n' {
                begun.pop();
                if !too_long {
                    messages.push((end, Some(text(&begun, messages.is_empty()))));
                }
                begun.clear();
                too_long = false;
            }
        }
        start = end;
        for pause in 0..pauses.after(slice) {
            let waits = !too_long && pause < MAX_FRAME_TIMEOUTS && ends_within_a_character(&begun);
            if begun.is_empty() || waits {
                continue;
            }
            if !too_long {
                messages.push((end, Some(text(&begun, messages.is_empty()))));
            }
            begun.clear();
            too_long = false;
        }
    }
    if !begun.is_empty() && !too_long {
        messages.push((END, Some(text(&begun, messages.is_empty()))));
    }
    messages
}

/// Whether some bytes more would make it UTF-8, which it isn't yet. One of these three fits behind every first byte of a
/// character (RFC 3629 section 4), and 0x80 behind every other.
fn ends_within_a_character(begun: &[u8]) -> bool {
    let is_whole = |more: &[u8]| std::str::from_utf8(&[begun, more].concat()).is_ok();
    let completes = |next: u8| (1..=3).any(|count| is_whole(&[next, 0x80, 0x80][..count]));
    !is_whole(b"") && [0x80, 0x90, 0xA0].into_iter().any(completes)
}

fn assert_meaning(line: &[u8], rank: Rank) {
    let (meaning, expected) = (Dialect::Native.parse(line, rank), grammar::meant(line, rank));
    match (meaning, expected) {
        (Parsed::Refused(Refusal::UnknownCommand(word)), Parsed::Refused(Refusal::UnknownCommand(other))) => {
            assert_eq!(word, other);
        }
        (Parsed::Refused(refusal), Parsed::Refused(other)) => {
            assert_eq!(refusal.code(), other.code(), "{:?} of a {rank:?}", line.escape_ascii().to_string());
        }
        (meaning, expected) => {
            assert_eq!(meaning, expected, "{:?} of a {rank:?}", line.escape_ascii().to_string());
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
