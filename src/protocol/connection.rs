//! The identity of a connection: the index of its slot, and the address of its peer.

use std::net::SocketAddr;

/// A connection, by the index of its slot in the reactor. A slot is reused once nothing refers to its former owner, so
/// an id is meaningful only while its connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

impl ConnId {
    /// Returns the slot as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The address of a connection's peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// An IP address and a port. A v4-mapped IPv6 address is held as the IPv4 address that it is.
    Inet(SocketAddr),
    /// This machine, over the Unix socket for operators.
    Unix,
}

impl std::fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PeerAddr::Inet(address) => address.fmt(f),
            PeerAddr::Unix => f.write_str("unix"),
        }
    }
}
