//! Tests of `src/server/backlog.rs`.

use redpoll::limits::CHUNK;
use redpoll::protocol::ConnId;
use redpoll::server::backlog::*;

/// Opens a backlog of `owner` that begins with `text`.
fn open(backlogs: &mut Backlogs, owner: u32, text: &[u8]) -> BacklogId {
    let piece = backlogs.keep(text);
    let id = backlogs.open(ConnId(owner), piece);
    backlogs.release_piece(piece);
    backlogs.invariants();
    id
}

fn append(backlogs: &mut Backlogs, id: &BacklogId, text: &[u8]) {
    let piece = backlogs.keep(text);
    backlogs.append(id, piece);
    backlogs.release_piece(piece);
    backlogs.invariants();
}

fn front(backlogs: &Backlogs, id: &BacklogId) -> Vec<u8> {
    backlogs.front(id, 100, &mut Vec::new()).to_vec()
}

#[test]
fn backlog_id_takes_four_bytes() {
    assert_eq!(size_of::<Option<BacklogId>>(), 4);
}

#[test]
fn backlog_preserves_byte_order() {
    for step in 1..9 {
        let mut backlogs = Backlogs::default();
        let (one, two) = (open(&mut backlogs, 1, b"ab\n"), open(&mut backlogs, 2, b"XY\n"));
        append(&mut backlogs, &one, b"cd\n");
        append(&mut backlogs, &two, b"Z\n");
        append(&mut backlogs, &one, b"e\n");
        let mut seen = Vec::new();
        while backlogs.unsent(&one) > 0 {
            let bytes = front(&backlogs, &one);
            let taken = step.min(bytes.len());
            seen.extend_from_slice(&bytes[..taken]);
            backlogs.advance(&one, taken);
            backlogs.invariants();
        }
        assert_eq!(seen, b"ab\ncd\ne\n", "by {step}");
        assert_eq!(front(&backlogs, &two), b"XY\nZ\n");
        backlogs.close(one);
        backlogs.close(two);
        assert_eq!(backlogs.memory(), 0);
    }
}

#[test]
fn shared_text_is_stored_once() {
    let mut backlogs = Backlogs::default();
    let line = [b'x'; 1024];
    let piece = backlogs.keep(&line);
    let ids: Vec<BacklogId> = (0..200).map(|owner| backlogs.open(ConnId(owner), piece)).collect();
    backlogs.release_piece(piece);
    for _ in 0..99 {
        let piece = backlogs.keep(&line);
        ids.iter().for_each(|id| backlogs.append(id, piece));
        backlogs.release_piece(piece);
    }
    backlogs.invariants();
    assert_eq!(backlogs.unsent(&ids[7]), 100 * 1024);
    assert!(backlogs.memory() < 2 * 100 * 1024, "{}", backlogs.memory());
    ids.into_iter().for_each(|id| backlogs.close(id));
    assert_eq!(backlogs.memory(), 0);
}

#[test]
fn largest_retains_most_memory() {
    let mut backlogs = Backlogs::default();
    assert!(backlogs.largest_first().is_empty());
    let (much, little) = (open(&mut backlogs, 1, &[b'x'; 3 * CHUNK]), open(&mut backlogs, 2, b"y\n"));
    assert_eq!(backlogs.largest_first(), [ConnId(1), ConnId(2)]);
    // A few bytes in each of many chunks, the remainder of which is sent.
    for _ in 0..9 {
        let filler = open(&mut backlogs, 3, &[b'z'; CHUNK - 2]);
        append(&mut backlogs, &little, b"y\n");
        backlogs.close(filler);
    }
    assert!(backlogs.unsent(&little) < backlogs.unsent(&much));
    assert_eq!(backlogs.largest_first(), [ConnId(2), ConnId(1)]);
}

#[test]
fn partial_first_line_is_kept() {
    let mut backlogs = Backlogs::default();
    let (one, two) = (open(&mut backlogs, 1, b"abc\ndef\n"), open(&mut backlogs, 2, b"-"));
    append(&mut backlogs, &one, b"ghi\n");
    backlogs.advance(&one, 2);
    assert_eq!(backlogs.keep_first_line(&one), 2);
    backlogs.invariants();
    assert_eq!(front(&backlogs, &one), b"c\n");
    assert_eq!(front(&backlogs, &two), b"-");
}
