//! What identifies a connection: the index of its slot, and where it comes from.

use std::net::SocketAddr;

/// A connection: the index of its slot in the reactor. A slot is used again once its former owner is gone everywhere,
/// so an id is only meaningful while its connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

impl ConnId {
    /// The slot, as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddr {
    /// An address of the internet protocols. A v4-mapped IPv6 address is held as the IPv4 address that it is.
    Inet(SocketAddr),
    /// This machine, through the operators' socket.
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
