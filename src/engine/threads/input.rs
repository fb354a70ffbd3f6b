//! What a reader has read of its connection, outside of any lock.

use crate::engine::signals::uninterrupted;
use crate::limits::THREAD_READ;
use socket2::Socket;
use std::io::{self, Read};
use std::time::Duration;

/// What a connection has sent and the server has not consumed.
#[derive(Debug)]
pub(super) struct Input {
    /// The bytes are in front; behind an unfinished line there is room for one read more.
    buffer: Vec<u8>,
    len: usize,
    /// How long a read may take, as the socket was last told.
    timeout: Option<Duration>,
}

impl Input {
    pub fn new(max_line: usize) -> Input {
        Input { buffer: vec![0; max_line + THREAD_READ], len: 0, timeout: None }
    }

    /// What is not consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// One read, which blocks so long at most; `None`: for ever.
    pub fn receive(&mut self, mut socket: &Socket, timeout: Option<Duration>) -> io::Result<usize> {
        self.set_timeout(socket, timeout)?;
        let room = &mut self.buffer[self.len..];
        let bytes = uninterrupted(|| socket.read(room))?;
        self.len += bytes;
        Ok(bytes)
    }

    /// Throws away all that comes, until the stream ends or is ended.
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

    /// Drops so many bytes from the front.
    pub fn consume(&mut self, bytes: usize) {
        self.buffer.copy_within(bytes..self.len, 0);
        self.len -= bytes;
    }
}
