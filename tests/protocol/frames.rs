//! Tests of `src/protocol/frame/line.rs`.

use redpoll::protocol::frame::*;

const MAX: usize = 8;

/// Cuts `stream` at `cuts` (sorted) and returns its lines, `None` for one too long.
fn lines(stream: &[u8], cuts: &[usize]) -> Vec<Option<Vec<u8>>> {
    let (mut frame, mut seen, mut start) = (LineFrame::default(), Vec::new(), 0);
    for &end in cuts.iter().chain([&stream.len()]) {
        loop {
            match frame.next(&stream[start..end], MAX) {
                Step::More => break,
                Step::Skip(n) => start += n,
                Step::TooLong(n) => {
                    seen.push(None);
                    start += n;
                }
                Step::Message(n, line) | Step::Nul(n, line) => {
                    seen.push(Some(line.to_vec()));
                    start += n;
                }
            }
        }
        assert!(end - start <= MAX, "at most one line is kept");
    }
    if let Step::Message(_, line) | Step::Nul(_, line) = frame.finish(&stream[start..]) {
        seen.push(Some(line.to_vec()));
    }
    seen
}

fn some(line: &str) -> Option<Vec<u8>> {
    Some(line.as_bytes().to_vec())
}

#[test]
fn a_frame_is_small() {
    assert_eq!(size_of::<redpoll::protocol::frame::Frame>(), 4);
}

#[test]
fn lf_ends_line_dropping_one_cr() {
    assert_eq!(
        lines(b"a\nb\r\nc\r\r\n\n\rd", &[]),
        [some("a"), some("b"), some("c\r"), some(""), some("\rd")]
    );
}

#[test]
fn the_limit_counts_cr_and_lf() {
    assert_eq!(lines(b"1234567\n123456\r\n", &[]), [some("1234567"), some("123456")]);
    assert_eq!(lines(b"12345678\nok\n", &[]), [None, some("ok")]);
    assert_eq!(lines(b"1234567\r\nok\n", &[]), [None, some("ok")]);
}

#[test]
fn unterminated_line_may_fill_limit() {
    assert_eq!(lines(b"12345678", &[]), [some("12345678")]);
    assert_eq!(lines(b"123456789", &[]), [None]);
    assert_eq!(lines(b"bye\r", &[]), [some("bye")]);
}

#[test]
fn nul_is_found_at_any_cut() {
    let stream = b"a\0b\nok\n\0\n0123456\089\nok\nx\0";
    for cut in 0..=stream.len() {
        let (mut frame, mut steps, mut start) = (LineFrame::default(), Vec::new(), 0);
        for end in [cut, stream.len()] {
            loop {
                let (bytes, what) = match frame.next(&stream[start..end], MAX) {
                    Step::More => break,
                    Step::Skip(bytes) => (bytes, "-"),
                    Step::TooLong(bytes) => (bytes, "long"),
                    Step::Message(bytes, _) => (bytes, "line"),
                    Step::Nul(bytes, _) => (bytes, "nul"),
                };
                start += bytes;
                steps.push(what);
            }
        }
        steps.retain(|what| *what != "-");
        assert_eq!(steps, ["nul", "line", "nul", "long", "line"], "cut at {cut}");
        assert_eq!(frame.finish(&stream[start..]), Step::Nul(2, b"x\0"));
    }
}

#[test]
fn overlong_line_is_reported_once() {
    let stream = [b"x".repeat(100), b"\nok\n".to_vec()].concat();
    for cut in 0..stream.len() {
        assert_eq!(lines(&stream, &[cut]), [None, some("ok")], "cut at {cut}");
    }
}

#[test]
fn cuts_change_no_line() {
    let stream = b"#al\n@bob:x\r\n\n12345678\nlong line here\r\n\r\nbye\r";
    let whole = lines(stream, &[]);
    for first in 0..stream.len() {
        for second in first..stream.len() {
            assert_eq!(lines(stream, &[first, second]), whole, "cut at {first} and {second}");
        }
    }
    let every: Vec<usize> = (0..stream.len()).collect();
    assert_eq!(lines(stream, &every), whole);
}

#[test]
fn byte_order_mark_is_dropped_at_start() {
    let stream = b"\xEF\xBB\xBF#al\n\xEF\xBB\xBFb\n";
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let lines = lines(stream, &[first, second]);
            assert_eq!(lines, [some("#al"), some("\u{FEFF}b")], "cut at {first} and {second}");
        }
    }
    assert_eq!(lines(b"\xEF\xBB\xBFbye", &[1]), [some("bye")]);
    assert_eq!(lines(b"\n\xEF\xBB\xBFa\n", &[]), [some(""), some("\u{FEFF}a")]);
    let mut frame = LineFrame::with_timeout();
    assert_eq!(frame.timeout(b""), Step::More);
    assert_eq!(frame.timeout(b"\xEF\xBB\xBFa"), Step::Message(4, b"a"));
    assert_eq!(frame.timeout(b"\xEF\xBB\xBFa"), Step::Message(4, "\u{FEFF}a".as_bytes()));
}
