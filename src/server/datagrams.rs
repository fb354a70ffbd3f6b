//! Datagram peers by source address, each with a credit: bytes that may be sent to it. A source may be forged, so an
//! unregistered source gets a multiple of its datagram, and a registered one a fixed credit after each datagram.

use crate::limits::{AMPLIFICATION_LIMIT, MAX_UNSOLICITED, TABLE};
use crate::protocol::ConnId;
use crate::server::transport::DatagramPath;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The key of a registered peer: the index of the listener and the source address.
type Source = (usize, SocketAddr);

fn source(path: DatagramPath) -> Source {
    (path.listener, path.source)
}

/// The peers of all datagram listeners.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// The registered peers; each id is a key of `peers`.
    ids: HashMap<Source, ConnId>,
    peers: HashMap<ConnId, DatagramPeer>,
}

/// One peer.
#[derive(Debug)]
pub struct DatagramPeer {
    /// The listener and the source of the peer's datagrams.
    pub path: DatagramPath,
    /// Bytes that may be sent before the peer's next datagram.
    send_credit: usize,
}

impl DatagramPeer {
    /// Subtracts `bytes` from the credit; if the credit is lower, subtracts nothing and returns false.
    pub fn take_credit(&mut self, bytes: usize) -> bool {
        match self.send_credit.checked_sub(bytes) {
            Some(left) => {
                self.send_credit = left;
                true
            }
            None => false,
        }
    }
}

impl Datagrams {
    /// Maximum memory of one peer.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        TABLE * (size_of::<(Source, ConnId)>() + size_of::<(ConnId, DatagramPeer)>() + 2);

    /// Returns the registered peer at a source.
    #[must_use]
    pub fn find(&self, path: DatagramPath) -> Option<ConnId> {
        self.ids.get(&source(path)).copied()
    }

    /// Adds an unregistered peer after its datagram of `sent` bytes.
    pub fn add(&mut self, id: ConnId, path: DatagramPath, sent: usize) {
        let send_credit = sent.saturating_mul(AMPLIFICATION_LIMIT);
        self.peers.insert(id, DatagramPeer { path, send_credit });
    }

    /// Renews the credit of a registered peer after a datagram.
    pub fn renew_credit(&mut self, id: ConnId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.send_credit = MAX_UNSOLICITED;
            self.ids.insert(source(peer.path), id);
        }
    }

    /// Returns a peer.
    pub fn peer(&mut self, id: ConnId) -> Option<&mut DatagramPeer> {
        self.peers.get_mut(&id)
    }

    /// Returns the source address of a peer; `None` if the id is not of a datagram peer.
    #[must_use]
    pub fn address(&self, id: ConnId) -> Option<SocketAddr> {
        self.peers.get(&id).map(|peer| peer.path.source)
    }

    /// Removes a peer.
    pub fn remove(&mut self, id: ConnId) {
        if let Some(peer) = self.peers.remove(&id)
            && self.find(peer.path) == Some(id)
        {
            self.ids.remove(&source(peer.path));
        }
    }
}
