//! Tests of `src/server/peers.rs`.

use redpoll::protocol::ConnId;
use redpoll::server::peer::CloseMode;
use redpoll::server::peer::Phase;
use redpoll::server::peers::*;

#[test]
fn numbers_are_never_given_twice() {
    let mut peers = Peers::default();
    let first = peers.open();
    assert_eq!((peers.number(first), peers.vacant()), (1, ConnId(1)));
    peers.remove(first);
    let again = peers.open();
    assert_eq!((again, peers.number(again)), (first, 2));
}

#[test]
fn closing_connections_are_counted() {
    let mut peers = Peers::default();
    let ids = [peers.open(), peers.open()];
    peers.set_phase(ids[0], Phase::Flushing(CloseMode::Linger));
    peers.set_phase(ids[0], Phase::Lingering);
    assert_eq!((peers.closing(), peers.count()), (1, 2));
    peers.invariants();
    peers.remove(ids[0]);
    assert_eq!((peers.closing(), peers.count()), (0, 1));
}

#[test]
fn runnable_connection_is_listed_once() {
    let mut peers = Peers::default();
    let id = peers.open();
    peers.set_phase(id, Phase::Open);
    peers.make_runnable(id);
    peers.make_runnable(id);
    peers.invariants();
    assert_eq!(peers.take_runnable(), [id]);
}
