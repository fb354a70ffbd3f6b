//! One flush of a send queue: it sends as much as its limit allows, up to the end of a message, and reports whether
//! that is all.

use redpoll::limits::Limits;
use redpoll::protocol::dialect::Dialect;
use redpoll::protocol::{ConnId, Event, Outbox};
use redpoll::server::send_queue::{Flushed, SendQueues};
use std::io::{self, ErrorKind};

const ID: ConnId = ConnId(0);

/// Returns a queue that holds `+pong 1`, `+pong 2` and `+pong 3`, 8 bytes each.
fn three_messages() -> SendQueues {
    let mut queues = SendQueues::new(&Limits::default());
    queues.open(ID, Dialect::Native);
    ["1", "2", "3"].into_iter().for_each(|token| queues.send(ID, Event::Pong { token: token.into() }));
    queues
}

/// Flushes the queue once into a kernel that takes `room` bytes. Returns each send with whether it was the last, and
/// the result of the flush.
fn flush(queues: &mut SendQueues, limit: usize, room: usize) -> (Vec<(String, bool)>, Flushed) {
    let mut offered = Vec::new();
    queues.mark_dirty(ID);
    let flushed = queues.flush(ID, limit, |bytes, all| {
        offered.push((String::from_utf8_lossy(bytes).into_owned(), all));
        let taken = bytes.len().min(room);
        if taken == 0 { Err(io::Error::from(ErrorKind::WouldBlock)) } else { Ok(taken) }
    });
    queues.end_flush();
    queues.invariants(ID);
    (offered, flushed)
}

fn offer(text: &str, all: bool) -> Vec<(String, bool)> {
    vec![(text.to_owned(), all)]
}

#[test]
fn flush_without_limit_sends_all() {
    let mut queues = three_messages();
    let all = offer("+pong 1\n+pong 2\n+pong 3\n", true);
    assert_eq!(flush(&mut queues, usize::MAX, usize::MAX), (all, Flushed::Unsent(0)));
}

#[test]
fn limited_flush_ends_with_a_message() {
    for (limit, first) in [(8, "+pong 1\n"), (15, "+pong 1\n"), (16, "+pong 1\n+pong 2\n"), (1, "+pong 1\n")]
    {
        let mut queues = three_messages();
        let unsent = 24 - first.len();
        assert_eq!(
            flush(&mut queues, limit, usize::MAX),
            (offer(first, false), Flushed::Unsent(unsent)),
            "limit {limit}"
        );
        // The kernel has refused nothing, so the next flush continues at once.
        let all = "+pong 1\n+pong 2\n+pong 3\n";
        assert_eq!(
            flush(&mut queues, usize::MAX, usize::MAX),
            (offer(&all[first.len()..], true), Flushed::Unsent(0))
        );
    }
}

#[test]
fn limited_flush_ends_at_messages() {
    let mut queues = three_messages();
    for (text, all, left) in [("+pong 1\n", false, 16), ("+pong 2\n", false, 8), ("+pong 3\n", true, 0)] {
        assert_eq!(flush(&mut queues, 8, usize::MAX), (offer(text, all), Flushed::Unsent(left)));
    }
}

#[test]
fn unsent_bytes_wait_for_the_kernel() {
    let mut queues = three_messages();
    assert_eq!(flush(&mut queues, 16, 3), (offer("+pong 1\n+pong 2\n", false), Flushed::Unsent(21)));
    assert_eq!(flush(&mut queues, 16, usize::MAX), (vec![], Flushed::Unsent(21)), "it is not writable");
    queues.mark_writable(ID);
    assert_eq!(flush(&mut queues, 16, usize::MAX), (offer("ng 1\n+pong 2\n", false), Flushed::Unsent(8)));
}
