//! Peers known by the source address of their datagrams, and the bytes that may be sent to each. A source address may
//! be forged, so an unregistered source is sent at most a multiple of what it has sent, and a registered one a fixed
//! number of bytes after each of its datagrams.

use crate::limits::{AMPLIFICATION_LIMIT, MAX_UNSOLICITED, TABLE};
use crate::protocol::ConnId;
use crate::server::transport::DatagramPath;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The key of a peer: the index of the listener and the source address.
type Source = (usize, SocketAddr);

fn source(path: DatagramPath) -> Source {
    (path.listener, path.source)
}

/// The peers of all datagram listeners.
#[derive(Debug, Default)]
pub struct Datagrams {
    ids: HashMap<Source, ConnId>,
    peers: HashMap<ConnId, DatagramPeer>,
}

/// One peer.
#[derive(Debug)]
pub struct DatagramPeer {
    /// The source of its datagrams.
    pub path: DatagramPath,
    /// Bytes that may be sent to it before its next datagram.
    send_credit: usize,
}

impl DatagramPeer {
    /// Subtracts a datagram from the credit; returns false, and subtracts nothing, if the credit is too low.
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
    /// Maximum memory that one peer takes.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        TABLE * (size_of::<(Source, ConnId)>() + size_of::<(ConnId, DatagramPeer)>() + 2);

    /// Returns the registered peer at a source.
    #[must_use]
    pub fn find(&self, path: DatagramPath) -> Option<ConnId> {
        self.ids.get(&source(path)).copied()
    }

    /// Adds an unregistered source that has sent a datagram of `sent` bytes.
    pub fn add(&mut self, id: ConnId, path: DatagramPath, sent: usize) {
        let send_credit = sent.saturating_mul(AMPLIFICATION_LIMIT);
        self.peers.insert(id, DatagramPeer { path, send_credit });
    }

    /// Renews the credit of a registered peer, which has sent a datagram.
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

    /// Returns the source address of a peer; `None` for a connection.
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
