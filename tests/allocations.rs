//! No allocation per message in steady state, and memory of a burst is freed after it. A counting allocator runs under
//! the whole server in the simulator; the simulator's own buffers don't grow either after a warm-up.

use redpoll::limits::{ARENA, HALF_CLOSE_GRACE, Limits, READ, SPANS};
use redpoll_kit::{PeerNo, Sim};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

/// The system's allocator, with counters for each thread.
struct Counting;

thread_local! {
    /// Allocations of this thread. One counter a thread, since the test harness allocates on another one meanwhile.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread allocated and has not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Adds to the counters. Calls while a thread ends are not counted.
fn note(allocations: usize, bytes: isize) {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

#[allow(unsafe_code, reason = "an allocator can't be replaced otherwise")]
// SAFETY: every call is forwarded unchanged to the system's allocator; counting touches no allocated memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size().cast_signed());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(0, -layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Number of messages of each kind.
const MESSAGES: usize = 10_000;

/// A server with `members` members without unread bytes.
fn crowd(members: usize) -> (Sim, Vec<PeerNo>) {
    crowd_within(Limits { rate: None, ..Limits::default() }, members)
}

fn crowd_within(limits: Limits, members: usize) -> (Sim, Vec<PeerNo>) {
    let mut sim = Sim::new(limits);
    let arrive = |i| {
        let peer = sim.connect();
        sim.send(peer, format!("#member{i}\n"));
        sim.run();
        peer
    };
    let peers: Vec<PeerNo> = (0..members).map(arrive).collect();
    forget_output(&mut sim, &peers);
    (sim, peers)
}

/// Discards the output of `peers`; returns its bytes.
fn forget_output(sim: &mut Sim, peers: &[PeerNo]) -> usize {
    peers.iter().map(|peer| sim.sockets().peer(*peer).forget_output()).sum()
}

/// Counts the allocations while `pieces` arrive from the first peer `times` times and are sent to the others, after a
/// warm-up with the same input. All peers together must receive `received` bytes each time.
fn allocations(members: usize, pieces: &[&[u8]], times: usize, received: usize) -> usize {
    let (mut sim, peers) = crowd(members);
    let round = |sim: &mut Sim| {
        for piece in pieces {
            sim.send(peers[0], piece);
            sim.run();
        }
        assert_eq!(forget_output(sim, &peers), received);
    };
    for _ in 0..10 {
        round(&mut sim);
    }
    let before = ALLOCATIONS.get();
    for _ in 0..times {
        round(&mut sim);
    }
    ALLOCATIONS.get() - before
}

#[test]
fn messages_cost_no_allocation() {
    let direct = b"@member1:hello there\n";
    let received = b"@member0:hello there\n".len();
    let capitals = b"@MEMBER1:hello there\n";
    assert_eq!(
        allocations(2, &[capitals], 7, received),
        7,
        "allocations are counted: folding a name in capitals takes one"
    );

    assert_eq!(allocations(2, &[direct], MESSAGES, received), 0, "direct messages, one a turn");

    let pipelined = direct.repeat(1000);
    assert_eq!(allocations(2, &[&pipelined], MESSAGES / 1000, 1000 * received), 0, "pipelined ones");
    let pieces: [&[u8]; 3] = [b"@mem", b"ber1:hello", b" there\n"];
    assert_eq!(allocations(2, &pieces, MESSAGES, received), 0, "in pieces");

    let (line, received) = (b"hello all\n", 99 * b"member0: hello all\n".len());
    assert_eq!(allocations(100, &[line], MESSAGES, received), 0, "lines to a room of 100");
    assert_eq!(
        allocations(100, &[&line.repeat(100)], MESSAGES / 100, 100 * received),
        0,
        "pipelined ones to a room"
    );

    let several = b"@member1, member2,member3:hi\n";
    assert_eq!(allocations(4, &[several], MESSAGES, 3 * b"@member0:hi\n".len()), 0, "to several at once");

    let ping = b"/ping 1\n";
    assert_eq!(allocations(1, &[ping], MESSAGES, b"+pong 1\n".len()), 0, "answers");
}

#[test]
fn burst_memory_is_freed_when_idle() {
    let (mut sim, peers) = crowd(10);
    let burst = b"hello all\n".repeat(6000);
    // After the first round, the simulator's own buffers don't grow.
    let mut after = Vec::new();
    for _ in 0..3 {
        sim.send(peers[0], &burst);
        sim.run();
        forget_output(&mut sim, &peers);
        let busy = LIVE.get();
        sim.pass(Duration::from_secs(1));
        let idle = LIVE.get();
        let buffers = (READ + ARENA).cast_signed();
        assert!(busy - idle > buffers, "only {} bytes are freed", busy - idle);
        after.push(idle);
    }
    assert_eq!(after[1], after[2], "no further bytes are kept each time");
}

/// Returns the bytes freed after half of the members of two large rooms left. Members of the rooms leave alternately,
/// so that no two presence events for one recipient are adjacent in the arena.
fn held_after_mass_departure(leave: impl Fn(&mut Sim, PeerNo), later: Duration) -> isize {
    let (mut sim, peers) = crowd_within(Limits { quiet_above: None, ..Limits::default() }, 1000);
    for (i, peer) in peers.iter().enumerate() {
        sim.send(*peer, format!("/leave\n&room{}\n", i % 2));
    }
    sim.run();
    sim.pass(Duration::from_secs(1));
    peers[500..].iter().for_each(|peer| leave(&mut sim, *peer));
    sim.pass(later);
    assert_eq!(sim.reactor().server().hub().registered(), 500);
    let busy = LIVE.get();
    sim.pass(Duration::from_secs(1));
    busy - LIVE.get()
}

/// Sends more than is read before the half-close grace is over, and ends the stream.
fn end_above_the_rate(sim: &mut Sim, peer: PeerNo) {
    sim.send(peer, b"\n".repeat(10_000));
    sim.end(peer);
}

#[test]
fn mass_departure_memory_is_bounded() {
    // A vector that grows past its bound doubles its capacity.
    let bound = 2 * (READ + ARENA + SPANS * 16).cast_signed();
    for (how, held) in [
        ("ends", held_after_mass_departure(|sim, peer| sim.end(peer), Duration::ZERO)),
        ("is lost", held_after_mass_departure(|sim, peer| sim.reset(peer), Duration::ZERO)),
        ("ends above its rate", held_after_mass_departure(end_above_the_rate, HALF_CLOSE_GRACE)),
    ] {
        assert!(held < bound, "each {how}: {held} bytes held, not {bound}");
    }
}
