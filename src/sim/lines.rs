//! The fuzz body for framing and parsing: a stream of bytes and how it is sliced in; what must not depend on it out.

use super::grammar;
use super::script::Script;
use crate::dialect::Dialect;
use crate::frame::{LineFrame, Step};
use crate::message::{Meaning, Rank, Refusal};

/// Whatever the stream, however it is sliced, and whatever the limit:
///
/// - the lines are those that a naive splitter finds: nothing is lost, invented, merged or cut; one that is longer than
///   the limit is named once;
/// - each is said with the very slice that brings its LF, or its first byte beyond the limit;
/// - what is consumed adds up to the stream, and no more than one line of the limit's length is ever kept;
/// - strangers and members mean by every line what `meant` of `grammar.rs` reads in it.
///
/// The input: which limit, how many slices and their lengths (which begin again at the end), the stream.
///
/// # Panics
/// If one of these doesn't hold.
pub fn check_lines(data: &[u8]) {
    let mut script = Script::new(data);
    let max = script.pick(&[128, 1, 2, 3, 8, 16, 64, 256]);
    let lengths: Vec<usize> = script.some(16).iter().map(|length| usize::from(*length)).collect();
    let stream = script.rest();
    let expected = split_naively(stream, max);
    for lengths in [&[][..], &lengths, &[1]] {
        let ends = slice_ends(stream.len(), lengths);
        let lines = lines_by_slices(stream, max, &ends);
        assert_eq!(lines.len(), expected.len(), "slices of {lengths:?}");
        for (line, (due, expected)) in lines.into_iter().zip(&expected) {
            let came = ends.iter().find(|end| *end >= due).unwrap_or(&END);
            assert_eq!(line, (*came, *expected), "slices of {lengths:?}");
        }
    }
    for line in expected.iter().filter_map(|(_, line)| *line) {
        assert_meaning(line, Rank::Stranger);
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
        (due, Some(line.strip_suffix(b"\r").unwrap_or(line)))
    });
    lines.collect()
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

/// What the frame makes of the stream, each line with the end of the slice at which it was said.
fn lines_by_slices<'a>(stream: &'a [u8], max: usize, ends: &[usize]) -> Vec<(usize, Option<&'a [u8]>)> {
    let (mut frame, mut lines, mut start) = (LineFrame::default(), Vec::new(), 0);
    for &end in ends {
        loop {
            let step = frame.next(&stream[start..end], max);
            let bytes = match step {
                Step::More => break,
                Step::Skip(bytes) => bytes,
                Step::TooLong(bytes) => {
                    lines.push((end, None));
                    bytes
                }
                Step::Message(bytes, line) => {
                    lines.push((end, Some(line)));
                    bytes
                }
            };
            assert!(bytes > 0, "no step in place");
            start += bytes;
            assert!(start <= end, "nothing is consumed that hasn't come");
        }
        assert!(end - start <= max, "{} bytes are kept of a line of {max}", end - start);
    }
    match frame.finish(&stream[start..]) {
        Step::More => {}
        Step::Message(bytes, line) => {
            lines.push((END, Some(line)));
            start += bytes;
        }
        step => assert_eq!(step, Step::More, "an end brings a last line or none"),
    }
    assert_eq!(start, stream.len(), "what is consumed adds up to the stream");
    lines
}

fn assert_meaning(line: &[u8], rank: Rank) {
    let (meaning, expected) = (Dialect::Native.parse(line, rank), grammar::meant(line, rank));
    match (meaning, expected) {
        (
            Meaning::Refused(Refusal::UnknownCommand(word)),
            Meaning::Refused(Refusal::UnknownCommand(other)),
        ) => {
            assert_eq!(word, other);
        }
        (Meaning::Refused(refusal), Meaning::Refused(other)) => {
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
    fn slices_begin_again_and_end_with_the_stream() {
        assert_eq!(slice_ends(7, &[1, 2]), [1, 3, 4, 6, 7]);
        assert_eq!(slice_ends(3, &[]), [3]);
        assert_eq!(slice_ends(3, &[0]), [3]);
        assert_eq!(slice_ends(0, &[1]), [0]);
    }

    #[test]
    fn the_naive_splitter_knows_when_a_line_is_due() {
        assert_eq!(
            split_naively(b"a\r\n\n12345\nab", 4),
            [(3, Some(&b"a"[..])), (4, Some(b"")), (9, None), (END, Some(b"ab"))]
        );
    }
}
