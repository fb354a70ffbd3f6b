//! Tests of `src/server/datagrams.rs`.

use redpoll::limits::MAX_UNASKED;
use redpoll::protocol::ConnId;
use redpoll::server::datagrams::*;
use redpoll::server::transport::DatagramPath;
use std::net::SocketAddr;

#[test]
fn unregistered_source_gets_threefold_at_most() {
    let mut datagrams = Datagrams::default();
    let source = DatagramPath { listener: 0, source: SocketAddr::from(([127, 0, 0, 1], 99)), local: None };
    datagrams.add(ConnId(1), source, 4);
    assert_eq!(datagrams.find(source), None, "it is unregistered");
    let peer = datagrams.peer(ConnId(1)).unwrap();
    assert!(peer.may_get(12) && !peer.may_get(1));
    datagrams.spoke(ConnId(1));
    assert_eq!(datagrams.find(source), Some(ConnId(1)));
    let peer = datagrams.peer(ConnId(1)).unwrap();
    assert!(peer.may_get(MAX_UNASKED) && !peer.may_get(1));
    datagrams.remove(ConnId(1));
    assert_eq!(datagrams.find(source), None);
}
