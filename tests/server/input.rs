//! Tests of `src/server/input.rs`.

use redpoll::limits::{LOW_READ, READ, READ_PER_TOKEN};
use redpoll::server::input::*;
use redpoll::server::peer::Peer;

#[test]
fn loaded_input_equals_saved_input() {
    let (mut input, mut peer, mut buffer) = (Input::default(), Peer::new(1), Vec::new());
    input.save(&mut peer, b"");
    assert_eq!((input.buffers(), input.load(&mut peer, &mut buffer)), (0, 0));
    input.append(&mut peer, b"one\ntw");
    input.append(&mut peer, b"o");
    assert_eq!((input.len(&peer), input.unfinished(&peer)), (7, &b"two"[..]));
    assert_eq!(input.load(&mut peer, &mut buffer), 7);
    assert_eq!((&buffer[..], input.buffers(), input.memory()), (&b"one\ntwo"[..], 0, 0));
    input.save(&mut peer, b"x");
    input.discard(&mut peer);
    assert_eq!((input.buffers(), input.len(&peer)), (0, 0));
}

#[test]
fn read_size_follows_the_tokens() {
    assert_eq!([1, 200, u64::MAX].map(read_at_once), [LOW_READ, 200 * READ_PER_TOKEN, READ]);
}

#[test]
fn buffer_id_takes_four_bytes() {
    assert_eq!(size_of::<Option<redpoll::server::pool::BufferId>>(), 4);
}
