//! Tests of `src/server/peer.rs`.

use redpoll::protocol::scheme::Scheme;
use redpoll::server::peer::*;
use redpoll::server::transport::{Interest, Reading};

const PHASES: [Phase; 7] = [
    Phase::Opening,
    Phase::Open,
    Phase::Flushing(CloseMode::Linger),
    Phase::Flushing(CloseMode::Shutdown),
    Phase::Flushing(CloseMode::Immediate),
    Phase::Lingering,
    Phase::Closed,
];

fn open(scheme: Scheme) -> Peer {
    let mut peer = Peer::new(1);
    peer.admit(scheme.row().language.unwrap());
    peer
}

#[test]
fn a_peer_is_small() {
    assert!(size_of::<Peer>() <= 48, "{}", size_of::<Peer>());
}

#[test]
fn number_and_interest_are_kept_whole() {
    let mut peer = Peer::new(u64::MAX >> 16);
    assert_eq!((peer.number(), peer.interest()), (u64::MAX >> 16, Interest::BYTES));
    for read in [Reading::Bytes, Reading::End, Reading::Nothing] {
        for write in [true, false] {
            let interest = Interest { read, write };
            peer.set_interest(interest);
            assert_eq!((peer.interest(), peer.set_interest(interest)), (interest, false));
        }
    }
}

#[test]
fn state_keeps_phase_and_mode() {
    for phase in PHASES {
        let state = State::new(phase);
        assert_eq!(state.phase(), phase);
        assert_eq!(state.is_readable(), phase == Phase::Open);
        assert_eq!(state.is_closing(), !matches!(phase, Phase::Opening | Phase::Open), "{phase:?}");
        assert!(!state.is_blocked() && !state.is_runnable());
    }
}

#[test]
fn blocked_connection_is_not_readable() {
    let mut state = State::new(Phase::Open);
    state.block(Blocked::RATE);
    assert!(state.is_blocked_by(Blocked::RATE) && !state.is_blocked_by(Blocked::OUTPUT));
    assert!(!state.is_readable() && state.phase() == Phase::Open);
    state.unblock(Blocked::RATE);
    assert!(state.is_readable());
    assert!(state.set_runnable() && !state.set_runnable(), "it is listed once");
    assert!(!state.is_readable(), "it is runnable in the next turn");
}

#[test]
fn half_full_queue_blocks_reading() {
    let mut state = State::new(Phase::Open);
    assert!(!state.throttle(100, 100) && state.is_readable());
    assert!(!state.throttle(101, 100) && state.is_blocked_by(Blocked::OUTPUT));
    assert!(state.throttle(100, 100), "it is runnable");
    assert!(!state.is_blocked() && state.is_runnable());
    assert!(!state.throttle(0, 100), "it is listed once");
}

#[test]
fn unblocked_connection_is_runnable() {
    let mut state = State::new(Phase::Open);
    state.block(Blocked::RATE);
    assert!(!state.throttle(101, 100) && state.is_blocked_by(Blocked::OUTPUT));
    assert!(!state.throttle(0, 100) && state.is_blocked_by(Blocked::RATE), "the rate still blocks it");
    state.block(Blocked::OUTPUT);
    state.unblock(Blocked::RATE);
    assert!(state.throttle(0, 100) && state.is_runnable());
    state.throttle(101, 100);
    assert!(state.is_runnable() && state.is_blocked_by(Blocked::OUTPUT), "it stays listed, and is not read");
}

#[test]
fn reading_follows_what_blocks() {
    let mut line = open(Scheme::Line);
    assert_eq!(line.reading(true), Reading::Bytes);
    line.state.block(Blocked::RATE);
    assert_eq!(line.reading(true), Reading::End);
    let mut by_timeout = open(Scheme::Classic);
    by_timeout.state.block(Blocked::RATE);
    assert_eq!([true, false].map(|ahead| by_timeout.reading(ahead)), [Reading::Bytes, Reading::End]);
    by_timeout.state.block(Blocked::OUTPUT);
    assert_eq!(by_timeout.reading(true), Reading::Nothing);
    for phase in [Phase::Flushing(CloseMode::Linger), Phase::Closed] {
        line.state = State::new(phase);
        assert_eq!(line.reading(true), Reading::Nothing);
    }
}
