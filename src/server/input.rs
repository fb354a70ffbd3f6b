//! Input that was read and not handled: of connections, if their driver reads all of them into one buffer, and of the
//! server's terminal. A driver with a buffer per connection doesn't use this.

use crate::limits::{LOW_READ, Limits, READ, READ_PER_TOKEN};
use crate::protocol::message;
use crate::server::peer::Peer;
use crate::server::pool::Pool;

/// The input buffers of all connections.
#[derive(Debug, Default)]
pub struct Input {
    pool: Pool,
    /// The unfinished line of the server's terminal: input since the last END.
    pub console: Vec<u8>,
}

impl Input {
    /// Saves bytes of a connection without saved input.
    pub fn save(&mut self, peer: &mut Peer, bytes: &[u8]) {
        debug_assert!(peer.input.is_none(), "saved input is loaded before input is saved");
        if !bytes.is_empty() {
            peer.input = Some(self.pool.take_buffer(bytes));
        }
    }

    /// Moves the saved input of a connection to the front of `buffer`, which grows if needed; returns its length.
    pub fn load(&mut self, peer: &mut Peer, buffer: &mut Vec<u8>) -> usize {
        let Some(saved) = peer.input.take() else { return 0 };
        let bytes = self.pool.bytes(&saved);
        let len = bytes.len();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        buffer[..len].copy_from_slice(bytes);
        self.pool.reclaim(saved);
        len
    }

    /// Appends bytes to the saved input of a connection.
    pub fn append(&mut self, peer: &mut Peer, bytes: &[u8]) {
        match &peer.input {
            Some(saved) => self.pool.add(saved, bytes),
            None => self.save(peer, bytes),
        }
    }

    /// Drops the saved input of a connection.
    pub fn discard(&mut self, peer: &mut Peer) {
        peer.input.take().into_iter().for_each(|saved| self.pool.reclaim(saved));
    }

    /// Returns the length of the saved input of a connection.
    #[must_use]
    pub fn len(&self, peer: &Peer) -> usize {
        peer.input.as_ref().map_or(0, |saved| self.pool.bytes(saved).len())
    }

    /// Returns the bytes after the last whole message in the saved input of a connection.
    #[must_use]
    pub fn unfinished(&self, peer: &Peer) -> &[u8] {
        let saved = peer.input.as_ref().map_or(&[][..], |saved| self.pool.bytes(saved));
        &saved[message::whole(saved)..]
    }

    /// Returns whether the saved input of all connections is above its high-water mark, so that reads should be small.
    #[must_use]
    pub fn is_high(&self, limits: &Limits) -> bool {
        self.memory() > limits.max_read_ahead()
    }

    /// Returns the number of buffers in use.
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.pool.in_use()
    }

    /// Returns the memory of the saved input, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.pool.memory()
    }

    /// Releases unused memory.
    pub fn trim(&mut self) {
        self.pool.trim();
    }
}

/// Returns how many bytes to read at once with `tokens > 0`: about as many as the tokens pay for.
#[must_use]
pub fn read_at_once(tokens: u64) -> usize {
    let bytes = usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(READ_PER_TOKEN);
    bytes.clamp(LOW_READ, READ)
}
