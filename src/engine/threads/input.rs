//! The input buffer of a reader thread, outside of any lock.

use crate::engine::signals::uninterrupted;
use crate::limits::THREAD_READ;
use socket2::Socket;
use std::io::{self, Read};
use std::time::Duration;

/// Bytes that a connection has sent and the server has not consumed.
#[derive(Debug)]
pub(super) struct Input {
    /// `buffer[..len]` are the bytes; after an unfinished line there is room for one more read.
    buffer: Vec<u8>,
    len: usize,
    /// The read timeout that is set on the socket.
    timeout: Option<Duration>,
}

impl Input {
    pub fn new(max_line: usize) -> Input {
        Input { buffer: vec![0; max_line + THREAD_READ], len: 0, timeout: None }
    }

    /// Returns the bytes that are not consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Reads once, and blocks for at most `timeout` (`None`: for ever).
    pub fn receive(&mut self, mut socket: &Socket, timeout: Option<Duration>) -> io::Result<usize> {
        self.set_timeout(socket, timeout)?;
        let free = &mut self.buffer[self.len..];
        let bytes = uninterrupted(|| socket.read(free))?;
        self.len += bytes;
        Ok(bytes)
    }

    /// Discards all input until the stream ends or is shut down.
    pub fn discard(&mut self, mut socket: &Socket) -> io::Result<()> {
        self.set_timeout(socket, None)?;
        while uninterrupted(|| socket.read(&mut self.buffer))? > 0 {}
        Ok(())
    }

    fn set_timeout(&mut self, socket: &Socket, timeout: Option<Duration>) -> io::Result<()> {
        if timeout != self.timeout {
            socket.set_read_timeout(timeout)?;
            self.timeout = timeout;
        }
        Ok(())
    }

    /// Removes `bytes` from the front.
    pub fn consume(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.len, 0);
        self.len -= bytes;
    }
}
