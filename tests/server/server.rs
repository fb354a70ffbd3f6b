//! Tests of `src/server/mod.rs`.

use redpoll::limits::LINGER_TIMEOUT;
use redpoll::limits::Limits;
use redpoll::protocol::scheme::Scheme;
use redpoll::protocol::{ConnId, PeerAddr, Time};
use redpoll::server::driver::{Driver, Processed, Wake};
use redpoll::server::peer::{Blocked, CloseMode, Phase};
use redpoll::server::rate_limit::{BucketKey, Rate};
use redpoll::server::transport::{DatagramPath, Transport};
use redpoll::server::transport::{Interest, Reading, Shutdown};
use redpoll::server::*;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// A transport that keeps sent bytes while there is room.
#[derive(Default)]
struct Fake {
    sent: Vec<String>,
    room: Vec<usize>,
    interest: Vec<Interest>,
    shut: Vec<ConnId>,
    closed: Vec<ConnId>,
    /// True: a shutdown finishes later.
    is_late: bool,
    /// Bytes that the transport took and the kernel has not.
    pending: usize,
}

impl Transport for Fake {
    fn send(&mut self, id: ConnId, bytes: &[u8], _last: bool) -> io::Result<usize> {
        let taken = bytes.len().min(self.room[id.index()]);
        self.room[id.index()] -= taken;
        self.sent[id.index()] += std::str::from_utf8(&bytes[..taken]).unwrap();
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn shutdown(&mut self, id: ConnId) -> Shutdown {
        self.shut.push(id);
        if self.is_late { Shutdown::Later } else { Shutdown::Done }
    }

    fn close(&mut self, id: ConnId) {
        self.closed.push(id);
    }

    fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()> {
        self.interest[id.index()] = interest;
        Ok(())
    }

    fn peer_addr(&self, _id: ConnId) -> Option<PeerAddr> {
        None
    }

    fn send_to(&mut self, _path: DatagramPath, _bytes: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn unsent(&self, _id: ConnId) -> usize {
        self.pending
    }
}

struct World {
    server: Server,
    fake: Fake,
}

impl World {
    fn new(change: impl FnOnce(&mut Limits, &mut Driver)) -> World {
        let mut limits = Limits::default();
        let mut driver = Driver::reactor(&limits);
        change(&mut limits, &mut driver);
        World { server: Server::new(limits, driver), fake: Fake::default() }
    }

    fn connect(&mut self, scheme: Scheme) -> ConnId {
        let id = self.server.connections.vacant();
        if self.fake.sent.len() <= id.index() {
            self.fake.sent.resize(id.index() + 1, String::new());
            self.fake.room.resize(id.index() + 1, usize::MAX);
            self.fake.interest.resize(id.index() + 1, Interest::BYTES);
        }
        self.server.connections.open(id);
        let from = PeerAddr::Inet(([127, 0, 0, 1], 50_000).into());
        self.server.admit(id, scheme, from, &mut self.fake);
        id
    }

    fn send(&mut self, id: ConnId, text: &str) -> Processed {
        let processed = self.server.process_input(id, text.as_bytes(), &mut self.fake);
        self.server.flush_and_reap(&mut self.fake);
        self.server.invariants();
        processed
    }

    fn at(&mut self, millis: u64) {
        self.server.begin(Time(millis));
        while self.server.fire_timers(&mut self.fake).is_some() {}
        self.server.flush_and_reap(&mut self.fake);
    }

    fn received(&mut self, id: ConnId) -> String {
        std::mem::take(&mut self.fake.sent[id.index()])
    }

    fn phase(&self, id: ConnId) -> Option<Phase> {
        self.server.connections.phase(id)
    }
}

#[test]
fn unadmitted_connection_gets_no_greeting() {
    let mut world = World::new(|_, _| {});
    let id = world.connect(Scheme::Line);
    let handshaking = world.server.connections.vacant();
    world.fake.sent.resize(2, String::new());
    world.server.connections.open(handshaking);
    world.at(0);
    assert!(world.received(id).starts_with("* You are connected from 127.0.0.1:50000\n"));
    assert_eq!(
        (world.phase(handshaking), world.received(handshaking)),
        (Some(Phase::Opening), String::new())
    );
    world.server.connections.close_now(handshaking, &mut world.fake);
    assert_eq!((world.phase(handshaking), &world.fake.closed[..]), (None, &[handshaking][..]));
}

#[test]
fn quit_lingers_at_most_a_second() {
    let mut world = World::new(|_, _| {});
    let id = world.connect(Scheme::Line);
    assert!(!world.send(id, "#al\n/quit\nnot obeyed\n").is_open);
    assert!(world.received(id).ends_with("+bye\n"));
    assert_eq!((world.phase(id), &world.fake.shut[..]), (Some(Phase::Lingering), &[id][..]));
    world.at(LINGER_TIMEOUT.as_millis() as u64 - 1);
    assert_eq!(world.phase(id), Some(Phase::Lingering));
    world.at(LINGER_TIMEOUT.as_millis() as u64);
    assert_eq!((world.phase(id), &world.fake.closed[..]), (None, &[id][..]));
}

#[test]
fn late_shutdown_is_awaited() {
    let mut world = World::new(|_, driver| driver.sends_later = true);
    world.fake.is_late = true;
    let id = world.connect(Scheme::Line);
    world.server.end_of_stream(id, b"", &mut world.fake);
    world.at(0);
    assert_eq!(world.phase(id), Some(Phase::Flushing(CloseMode::Immediate)), "the transport still sends");
    world.server.connections.shutdown_done(id, &mut world.fake);
    assert_eq!((world.phase(id), &world.fake.closed[..]), (None, &[id][..]));
}

#[test]
fn transport_bytes_count_as_unsent() {
    let mut world = World::new(|_, _| {});
    let id = world.connect(Scheme::Line);
    world.fake.pending = 1;
    world.server.end_of_stream(id, b"", &mut world.fake);
    world.at(0);
    assert_eq!(world.phase(id), Some(Phase::Flushing(CloseMode::Immediate)));
    world.fake.pending = 0;
    world.server.connections.writable(id);
    world.at(0);
    assert_eq!(world.phase(id), None);
}

#[test]
fn releasing_driver_keeps_the_slot() {
    let mut world = World::new(|_, driver| driver.releases = true);
    let id = world.connect(Scheme::Line);
    world.send(id, "#al\n");
    world.server.connections.lost(id);
    world.at(0);
    assert_eq!((world.phase(id), &world.fake.closed[..]), (Some(Phase::Closed), &[id][..]));
    assert_eq!(world.server.hub().registered(), 0);
    let next = world.connect(Scheme::Line);
    assert_ne!(next, id);
    world.server.release(id, &mut world.fake);
    assert_eq!((world.phase(id), world.server.connections.vacant()), (None, id));
    world.server.release(next, &mut world.fake);
    assert_eq!(world.server.connections.count(), (0, 0));
}

#[test]
fn driver_without_backlog_closes_at_once() {
    let mut world = World::new(|_, driver| driver.max_unsent = 0);
    let id = world.connect(Scheme::Line);
    world.fake.room[0] = 10;
    world.at(0);
    assert_eq!((world.phase(id), world.received(id)), (None, "* You are ".into()));
}

#[test]
fn unread_answers_block_input() {
    let mut world = World::new(|limits, driver| {
        limits.rate = None;
        limits.queue = 8 * 1024;
        driver.max_unsent = limits.max_queue();
    });
    let id = world.connect(Scheme::Line);
    world.send(id, "#al\n");
    world.fake.room[0] = 0;
    let asked = "/help\n".repeat(100);
    let processed = world.send(id, &asked);
    assert!(processed.is_open && processed.consumed < asked.len());
    assert!(world.server.connections.is_blocked_by(id, Blocked::OUTPUT));
    assert_eq!(world.fake.interest[0], Interest { read: Reading::Nothing, write: true });
    world.fake.room[0] = usize::MAX;
    world.server.connections.writable(id);
    world.at(0);
    assert_eq!(world.server.connections.take_runnable(), [id]);
    assert!(world.server.connections.resume(id) && world.server.connections.is_readable(id));
    assert_eq!(world.fake.interest[0], Interest::BYTES);
}

#[test]
fn empty_bucket_blocks_until_refill() {
    let mut world = World::new(|limits, _| (limits.rate, limits.burst) = (Some(1), 2));
    let id = world.connect(Scheme::Line);
    let processed = world.send(id, "#al\n/ping 1\n/ping 2\n");
    assert_eq!((processed.consumed, processed.is_open), ("#al\n/ping 1\n".len(), true));
    assert!(world.server.connections.is_blocked_by(id, Blocked::RATE));
    assert_eq!(world.fake.interest[0].read, Reading::End);
    let wait = world.server.connections.rate_timeout();
    assert_eq!(world.server.connections.next_due(), Some(Time(0) + wait));
    world.server.begin(Time(0) + wait);
    assert_eq!(world.server.fire_timers(&mut world.fake), Some((Wake::Refill, id)));
    assert!(world.server.connections.unblock_rate(id, &mut world.fake));
    assert!(world.send(id, "/ping 2\n").is_open);
    assert!(world.received(id).ends_with("+pong 1\n+pong 2\n"));
}

#[test]
fn full_queue_stops_reading_ahead() {
    let mut world = World::new(|limits, driver| {
        (limits.rate, limits.burst, limits.queue) = (Some(1), 2, 8 * 1024);
        driver.max_unsent = limits.max_queue();
    });
    let (op, ann) = (world.connect(Scheme::Unix), world.connect(Scheme::Classic));
    world.send(ann, "#ann\n@ann:1\n@ann:2\n");
    assert_eq!(world.fake.interest[1], Interest::BYTES, "the frame timeout needs input");
    world.fake.room[1] = 0;
    (0..10).for_each(|_| _ = world.send(op, &format!("/announce {}\n", "x".repeat(500))));
    assert_eq!(world.fake.interest[1], Interest { read: Reading::Nothing, write: true });
    let connections = &world.server.connections;
    assert!(connections.is_blocked_by(ann, Blocked::OUTPUT) && connections.is_blocked_by(ann, Blocked::RATE));
    world.fake.room[1] = usize::MAX;
    world.server.connections.writable(ann);
    world.at(0);
    assert_eq!(world.fake.interest[1], Interest::BYTES, "it is read ahead again");
    assert!(!world.server.connections.resume(ann), "the rate still blocks it");
    world.fake.room[1] = 0;
    (0..10).for_each(|_| _ = world.send(op, &format!("/announce {}\n", "x".repeat(500))));
    let wait = world.server.connections.rate_timeout();
    world.server.begin(Time(0) + wait);
    assert_eq!(world.server.fire_timers(&mut world.fake), Some((Wake::Refill, ann)));
    assert!(!world.server.connections.unblock_rate(ann, &mut world.fake), "its queue still blocks it");
    world.fake.room[1] = usize::MAX;
    world.server.connections.writable(ann);
    world.server.flush_and_reap(&mut world.fake);
    assert!(world.server.connections.resume(ann) && world.server.connections.is_readable(ann));
}

#[test]
fn undeferred_presence_leaves_at_once() {
    for defers_presence in [true, false] {
        let mut world = World::new(|_, driver| driver.defers_presence = defers_presence);
        let (al, bo) = (world.connect(Scheme::Line), world.connect(Scheme::Line));
        world.send(al, "#al\n");
        world.received(al);
        world.send(bo, "#bo\n");
        let first = world.received(al);
        world.send(bo, "/nick bob\n");
        let expected = if defers_presence { "* bo joined\n" } else { "* bo joined\n* bo is now bob\n" };
        assert_eq!(first + &world.received(al), expected);
        world.at(Duration::from_secs(1).as_millis() as u64);
    }
}

#[test]
fn address_connections_share_a_bucket() {
    let mut world = World::new(|_, _| {});
    let connect = |world: &mut World, address: [u8; 4]| {
        let id = world.server.connections.vacant();
        world.server.connections.open(id);
        world.server.admit(id, Scheme::Line, PeerAddr::Inet((address, 1).into()), &mut world.fake);
        id
    };
    let [one, two, other] = [1, 1, 2].map(|last| connect(&mut world, [192, 0, 2, last]));
    let rate = Rate::new(&Limits::default());
    let connections = &mut world.server.connections;
    let mut left = |key| {
        connections.bucket(key).map(|bucket| {
            bucket.spend(1, rate, Time(0));
            bucket.left(rate, Time(0))
        })
    };
    assert_eq!([one, two, other].map(|id| left(BucketKey::Address(id))), [Some(199), Some(198), Some(199)]);
    assert_eq!([one, two].map(|id| left(BucketKey::Connection(id))), [Some(199), Some(199)]);
    let local = world.connect(Scheme::Line);
    assert_eq!(world.server.connections.bucket(BucketKey::Address(local)), None);
}

#[test]
fn kicked_connection_is_closed() {
    let mut world = World::new(|_, _| {});
    let (op, al) = (world.connect(Scheme::Unix), world.connect(Scheme::Line));
    world.send(al, "#al\n");
    world.received(al);
    world.send(op, "/kick al enough\n");
    assert_eq!((world.received(al), world.phase(al)), ("!kicked enough\n".into(), Some(Phase::Lingering)));
    assert!(world.received(op).ends_with("+kicked al\n"));
}

#[test]
fn lost_connection_closes_once_when_kicked() {
    let mut world = World::new(|_, _| {});
    let (op, al) = (world.connect(Scheme::Unix), world.connect(Scheme::Line));
    world.send(al, "#al\n");
    world.received(al);
    world.server.connections.lost(al);
    // The kick has removed it from the hub: a second close would log a second `left`.
    world.send(op, "/kick al enough\n");
    assert_eq!(world.phase(al), Some(Phase::Lingering));
}

#[test]
fn lost_connection_is_not_active() {
    let mut world = World::new(|_, _| {});
    let al = world.connect(Scheme::Line);
    assert!(world.server.connections.active_state(al).is_some());
    world.server.connections.lost(al);
    assert_eq!(world.server.connections.active_state(al), None);
    assert!(!world.server.connections.is_readable(al));
}

#[test]
fn stop_notifies_every_connection_once() {
    let mut world = World::new(|_, _| {});
    let (op, al) = (world.connect(Scheme::Unix), world.connect(Scheme::Line));
    world.send(op, "/shutdown\n");
    assert!(world.server.is_asked_to_stop() && world.server.stop() && !world.server.stop());
    world.at(0);
    for id in [op, al] {
        assert!(world.received(id).ends_with("!shutting-down the server stops\n"));
        world.server.connections.close_now(id, &mut world.fake);
    }
    assert!(world.server.is_done());
}
