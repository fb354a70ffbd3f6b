//! Tests of `src/protocol/message.rs`.

use redpoll::protocol::message::*;

#[test]
fn messages_end_with_lf() {
    let two = b"a\n\nb";
    assert_eq!((first(two), whole(two), is_whole(two)), (2, 3, false));
    assert_eq!(each(two).collect::<Vec<_>>(), [&b"a"[..], b"", b"b"]);
    assert_eq!((first(b"x"), whole(b"x"), first(b""), whole(b"")), (1, 0, 0, 0));
    assert_eq!((without_end(b"a\n\n"), without_end(b"a")), (&b"a\n"[..], &b"a"[..]));
    assert!(is_whole(b"\n") && !is_whole(b""));
}
