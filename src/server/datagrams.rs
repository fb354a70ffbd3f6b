//! Peers that are known by the source address of their datagrams, and what each may be sent. An address proves little:
//! it may be forged, so whoever is only an address is answered less than it sent, and who has a name gets so much after
//! each of its datagrams and no more.

use crate::limits::{AMPLIFICATION_LIMIT, MAX_UNSOLICITED, TABLE};
use crate::protocol::ConnId;
use crate::server::transport::DatagramPath;
use std::collections::HashMap;
use std::net::SocketAddr;

/// What a peer is known by: the index of a listener, and its address.
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

/// One of them.
#[derive(Debug)]
pub struct DatagramPeer {
    /// Where its datagrams come from.
    pub path: DatagramPath,
    /// Bytes that it may still be sent before it must speak again.
    send_credit: usize,
}

impl DatagramPeer {
    /// Takes a datagram of so many bytes off what the peer may be sent; false if that is too much.
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
    /// The most memory that one peer takes.
    pub const MAX_BYTES_PER_CONNECTION: usize =
        TABLE * (size_of::<(Source, ConnId)>() + size_of::<(ConnId, DatagramPeer)>() + 2);

    /// Who has a name and speaks from there.
    #[must_use]
    pub fn find(&self, path: DatagramPath) -> Option<ConnId> {
        self.ids.get(&source(path)).copied()
    }

    /// A source that has sent so many bytes, and may be sent some in turn before it has a name.
    pub fn add(&mut self, id: ConnId, path: DatagramPath, sent: usize) {
        let send_credit = sent.saturating_mul(AMPLIFICATION_LIMIT);
        self.peers.insert(id, DatagramPeer { path, send_credit });
    }

    /// A peer that has a name has spoken.
    pub fn renew_credit(&mut self, id: ConnId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.send_credit = MAX_UNSOLICITED;
            self.ids.insert(source(peer.path), id);
        }
    }

    /// A peer.
    pub fn peer(&mut self, id: ConnId) -> Option<&mut DatagramPeer> {
        self.peers.get_mut(&id)
    }

    /// Where a peer speaks from; `None` where it has a connection.
    #[must_use]
    pub fn address(&self, id: ConnId) -> Option<SocketAddr> {
        self.peers.get(&id).map(|peer| peer.path.source)
    }

    /// Forgets a peer.
    pub fn remove(&mut self, id: ConnId) {
        if let Some(peer) = self.peers.remove(&id)
            && self.find(peer.path) == Some(id)
        {
            self.ids.remove(&source(peer.path));
        }
    }
}
