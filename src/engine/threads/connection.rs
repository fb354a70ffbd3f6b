//! The reader thread of a connection: it blocks in one read, has the server process what came, and is the last to touch
//! the connection. What was read is in a buffer of its own, outside of any lock.

use super::link::{Link, Way};
use super::queued;
use super::shared::Shared;
use super::spawn;
use super::state::ReaderAction;
use crate::engine::sockets::uninterrupted;
use crate::limits::THREAD_READ;
use crate::protocol::ConnId;
use crate::protocol::scheme::Scheme;
use log::warn;
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
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
    fn new(max_line: usize) -> Input {
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
    fn receive(&mut self, mut socket: &Socket, timeout: Option<Duration>) -> io::Result<usize> {
        self.set_timeout(socket, timeout)?;
        let room = &mut self.buffer[self.len..];
        let bytes = uninterrupted(|| socket.read(room))?;
        self.len += bytes;
        Ok(bytes)
    }

    /// Throws away all that comes, until the stream ends or is ended.
    fn discard(&mut self, mut socket: &Socket) -> io::Result<()> {
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

/// The life of a connection that was admitted, until its slot is free.
pub(super) fn run(shared: &Arc<Shared>, id: ConnId, link: &Arc<Link>, scheme: Scheme) {
    match start_writer(shared, id, link) {
        Ok(writer) => {
            shared.short_of_threads.store(false, Ordering::Relaxed);
            let mut input = Input::new(shared.limits.max_line);
            read(shared, id, link, &mut input);
            // An error is an end as well.
            let _ = input.discard(&link.socket);
            // It ends once all is sent, or the time for that is over.
            writer.map(JoinHandle::join);
        }
        Err(error) => reject(shared, link, scheme, &error),
    }
    shared.turn(|state| state.release(id));
}

/// There is no thread for a connection: it is told so, and what it has sent is thrown away, so that it isn't reset.
pub(super) fn reject(shared: &Shared, link: &Link, scheme: Scheme, error: &io::Error) {
    // Once: how often it happens is for the peers to say.
    if !shared.short_of_threads.swap(true, Ordering::Relaxed) {
        warn!(target: "no-thread", reason = error.to_string().as_str(); "can't start a thread for a connection: {error}");
    }
    let line = shared.turn(|state| state.final_line(scheme));
    let mut socket = &link.socket;
    // Its buffers are empty, so this takes all, or never will.
    if socket.set_nonblocking(true).is_ok() && socket.write(&line).is_ok() {
        link.shut(Shutdown::Write);
        while socket.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0) {}
    }
}

fn start_writer(shared: &Arc<Shared>, id: ConnId, link: &Arc<Link>) -> io::Result<Option<JoinHandle<()>>> {
    if matches!(link.way, Way::Direct) {
        return Ok(None);
    }
    let (shared, link) = (Arc::clone(shared), Arc::clone(link));
    let write = move || {
        if let Way::Queued(channel) = &link.way {
            queued::write(&shared, id, &link, channel);
        }
    };
    spawn(write).map(Some)
}

/// Reads and has the server process it, one read at a time, as long as that counts.
fn read(shared: &Shared, id: ConnId, link: &Link, input: &mut Input) {
    let mut action = ReaderAction::Read(None);
    loop {
        action = match action {
            ReaderAction::Read(timeout) => match input.receive(&link.socket, timeout) {
                Ok(0) => shared.turn(|state| state.end_of_stream(id, input)),
                Ok(fresh) => shared.turn(|state| state.process(id, input, fresh)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    shared.turn(|state| state.end_frame(id, input))
                }
                Err(_) => return shared.turn(|state| state.lost(id)),
            },
            ReaderAction::WaitForRoom => {
                shared.wait_for_room(id, link);
                shared.turn(|state| state.process(id, input, 0))
            }
            ReaderAction::Sleep(time) => {
                shared.sleep(id, link, time);
                shared.turn(|state| state.process(id, input, 0))
            }
            // The recipients are given a chance to take it, and others to speak.
            ReaderAction::Yield => {
                thread::yield_now();
                shared.turn(|state| state.process(id, input, 0))
            }
            ReaderAction::Leave => return,
        };
    }
}
