//! Tests of `src/server/datagrams.rs`.

use redpoll::limits::MAX_UNSOLICITED;
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
    assert!(peer.take_credit(12) && !peer.take_credit(1));
    datagrams.renew_credit(ConnId(1));
    assert_eq!(datagrams.find(source), Some(ConnId(1)));
    let peer = datagrams.peer(ConnId(1)).unwrap();
    assert!(peer.take_credit(MAX_UNSOLICITED) && !peer.take_credit(1));
    datagrams.remove(ConnId(1));
    assert_eq!(datagrams.find(source), None);
}
