//! What the server needs of the code that carries bytes. Each driver implements it: over a poller, over threads or in
//! memory. No call blocks for long; bytes that can't be sent now are refused.

use crate::protocol::{ConnId, PeerAddr};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Carries bytes to peers. A connection has the id under which it was opened.
pub trait Transport {
    /// Sends once from the front of `bytes`; returns how many were taken. If they are the `last`, the transport may
    /// keep them until the shutdown or close, which follows at once if all were taken.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; any other error ends the connection.
    fn send(&mut self, id: ConnId, bytes: &[u8], last: bool) -> io::Result<usize>;

    /// Shuts down the sending side of a connection. A failure is ignored: the peer is gone then.
    fn shutdown(&mut self, id: ConnId) -> Shutdown;

    /// Closes a connection. Its id is free from now on, unless the driver [releases](super::driver::Driver::releases).
    fn close(&mut self, id: ConnId);

    /// Sets the interest in a connection. Hang-ups and errors are reported regardless.
    ///
    /// # Errors
    /// Any error ends the connection.
    fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()>;

    /// Returns the address of a peer; `None` if it is no longer known.
    fn peer_addr(&self, id: ConnId) -> Option<PeerAddr>;

    /// Sends one datagram.
    ///
    /// # Errors
    /// If it can't be sent now; it is lost then.
    fn send_to(&mut self, path: DatagramPath, bytes: &[u8]) -> io::Result<()>;

    /// Returns how many bytes of a connection the transport has taken and not sent. They count as unsent.
    fn unsent(&self, _id: ConnId) -> usize {
        0
    }
}

/// Whether the sending side of a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It has ended.
    Done,
    /// Once all bytes are sent, the driver calls [`shutdown_done`](super::connections::Connections::shutdown_done).
    Later,
}

/// The interest in a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// What of the peer's stream is watched.
    pub read: Reading,
    /// Whether room to send is watched.
    pub write: bool,
}

impl Interest {
    /// The interest in a new connection.
    pub const BYTES: Interest = Interest { read: Reading::Bytes, write: false };

    /// Packs it into a byte: bits 0 and 1 are `read`, bit 2 is `write`.
    #[must_use]
    pub const fn pack(self) -> u8 {
        self.read as u8 | (self.write as u8) << 2
    }

    /// Unpacks [`Interest::pack`].
    #[must_use]
    pub const fn unpack(packed: u8) -> Interest {
        const READ: [Reading; 4] = [Reading::Bytes, Reading::End, Reading::Nothing, Reading::Nothing];
        Interest { read: READ[packed as usize & 0b11], write: packed & 0b100 != 0 }
    }
}

/// What of a peer's stream is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Bytes, or the end of the stream.
    Bytes,
    /// The end of the stream, with bytes before it unread. If the system can't tell, it is seen once all is read.
    End,
    /// Neither bytes nor the end of the stream.
    Nothing,
}

/// The source of a datagram, to which answers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DatagramPath {
    /// The index of the listener.
    pub listener: usize,
    /// The peer's address.
    pub source: SocketAddr,
    /// The address of this host to which it was sent, if the transport can tell; answers are sent from it.
    pub local: Option<IpAddr>,
}
