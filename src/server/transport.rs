//! What the server needs of whatever carries bytes. A driver implements it: over a poller, over threads, or in memory.
//! Nothing here blocks for long; what can't be sent now is refused.

use crate::protocol::{ConnId, PeerAddr};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Carries bytes to peers. Connections are known by the ids under which they were opened.
pub trait Transport {
    /// Sends once, from the front of `bytes`; returns how many bytes were taken. Where they are the `last`, the transport
    /// may keep them until the shutdown or the close, which follows at once if it has taken them all.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room; anything else ends the connection.
    fn send(&mut self, id: ConnId, bytes: &[u8], last: bool) -> io::Result<usize>;

    /// Ends the sending side of a connection. That this fails where the peer is gone already changes nothing.
    fn shutdown(&mut self, id: ConnId) -> Shutdown;

    /// Closes a connection. Where the driver doesn't [release](super::driver::Driver::releases) slots, the id is free from now on.
    fn close(&mut self, id: ConnId);

    /// Sets what a connection is watched for. Hang-ups and errors are reported whatever it says.
    ///
    /// # Errors
    /// Where that isn't possible, which ends the connection.
    fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()>;

    /// Returns the address that a connection comes from; `None` where that can't be said any more.
    fn peer_addr(&self, id: ConnId) -> Option<PeerAddr>;

    /// Sends one datagram.
    ///
    /// # Errors
    /// Where it can't be sent now; it is lost then.
    fn send_to(&mut self, path: DatagramPath, bytes: &[u8]) -> io::Result<()>;

    /// Returns how many bytes of a connection the transport has taken and not yet passed on. They count as unsent.
    fn unsent(&self, _id: ConnId) -> usize {
        0
    }
}

/// Whether the sending side of a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It has.
    Done,
    /// It will, once what was taken is sent; the driver then calls [`shutdown_done`](super::connections::Connections::shutdown_done).
    Later,
}

/// What a connection is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// What of the peer's stream.
    pub read: Reading,
    /// Room to send.
    pub write: bool,
}

impl Interest {
    /// That of a new connection.
    pub const BYTES: Interest = Interest { read: Reading::Bytes, write: false };

    /// The same in a byte: bits 0 and 1 say what is read, bit 2 is set for room to send.
    #[must_use]
    pub const fn pack(self) -> u8 {
        self.read as u8 | (self.write as u8) << 2
    }

    /// What [`Interest::pack`] has packed.
    #[must_use]
    pub const fn unpack(packed: u8) -> Interest {
        const READ: [Reading; 4] = [Reading::Bytes, Reading::End, Reading::Nothing, Reading::Nothing];
        Interest { read: READ[packed as usize & 0b11], write: packed & 0b100 != 0 }
    }
}

/// What of a peer's stream a connection is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Bytes, or the end of the stream.
    Bytes,
    /// The end of the stream, though what came before it is not read. Where the system can't tell, the end is seen once
    /// all is read.
    End,
    /// Neither.
    Nothing,
}

/// Where a datagram came from, which is where the answers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DatagramPath {
    /// The index of the listener.
    pub listener: usize,
    /// The peer's address.
    pub source: SocketAddr,
    /// The address of this host that it was sent to, where the transport can tell: answers leave from it.
    pub local: Option<IpAddr>,
}
