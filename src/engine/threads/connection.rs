//! The reader thread of a connection: it blocks in one read, has the hub obey what came, and is the last to touch the
//! connection. What was read and the state of the frame are its own, outside of any lock.

use super::link::{Link, Way};
use super::queued;
use super::shared::Shared;
use super::spawn;
use super::state::{Onward, State};
use crate::engine::sockets::uninterrupted;
use crate::limits::THREAD_READ;
use crate::protocol::dialect::{Context, Dialect};
use crate::protocol::frame::Frame;
use crate::protocol::scheme::Scheme;
use crate::protocol::{ConnId, Event, Refusal};
use log::warn;
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a connection has sent and the hub has not obeyed, and how to understand it.
#[derive(Debug)]
pub(super) struct Input {
    pub frame: Frame,
    pub dialect: Dialect,
    /// The bytes stand in front; behind an unfinished line there is room for one read more.
    pub buffer: Vec<u8>,
    pub len: usize,
    /// How long a read may take, as the socket was last told.
    timeout: Option<Duration>,
}

impl Input {
    fn new(door: Scheme, max_line: usize) -> Input {
        let buffer = vec![0; max_line + THREAD_READ];
        Input {
            frame: door.row().language.expect("it chats").frame(),
            dialect: door.row().language.expect("it chats").dialect,
            buffer,
            len: 0,
            timeout: None,
        }
    }

    /// One read, which blocks: for ever, or as long as a pause where that ends a message.
    fn receive(&mut self, mut socket: &Socket, pause: Duration) -> io::Result<usize> {
        self.set_timeout(socket, self.frame.awaits_pause(self.len).then_some(pause))?;
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
pub(super) fn run(shared: &Arc<Shared>, id: ConnId, link: &Arc<Link>, door: Scheme) {
    match start_writer(shared, id, link) {
        Ok(writer) => {
            shared.short_of_threads.store(false, Ordering::Relaxed);
            let mut input = Input::new(door, shared.limits.max_line);
            read(shared, id, link, &mut input);
            // An error is an end as well.
            let _ = input.discard(&link.socket);
            // It ends once all is sent, or the time for that is over.
            writer.map(JoinHandle::join);
        }
        Err(error) => turn_away(shared, link, door, &error),
    }
    shared.turn(|state| state.remove(id));
}

/// There is no thread for a newcomer: it is told so, and what it has said is thrown away, so that it isn't reset.
pub(super) fn turn_away(shared: &Shared, link: &Link, door: Scheme, error: &io::Error) {
    // Once: how often it happens is for those to say who knock.
    if !shared.short_of_threads.swap(true, Ordering::Relaxed) {
        warn!(target: "no-thread", reason = error.to_string().as_str(); "can't start a thread for a connection: {error}");
    }
    let mut refusal = Vec::new();
    let context = Context { max_line: shared.limits.max_line };
    door.row().language.expect("it chats").dialect.encode(
        Event::Refused(Refusal::ServerFull),
        &context,
        &mut refusal,
    );
    let mut socket = &link.socket;
    // Its buffers are empty, so this takes all, or never will.
    if socket.set_nonblocking(true).is_ok() && socket.write(&refusal).is_ok() {
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

/// Reads and has the hub obey, one read at a time, as long as that counts.
fn read(shared: &Shared, id: ConnId, link: &Link, input: &mut Input) {
    let mut onward = Onward::Read;
    loop {
        onward = match onward {
            Onward::Read => match input.receive(&link.socket, shared.limits.pause) {
                Ok(0) => shared.turn(|state| state.end(id, input)),
                Ok(fresh) => shared.turn(|state| state.hear(id, input, fresh)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    shared.turn(|state| state.pause(id, input))
                }
                Err(_) => return shared.turn(|state: &mut State| state.lose(id)),
            },
            Onward::Wait => {
                shared.wait_for_room(id, link);
                shared.turn(|state| state.hear(id, input, 0))
            }
            Onward::Rest(time) => {
                shared.rest(id, link, time);
                shared.turn(|state| state.hear(id, input, 0))
            }
            // Those who heard it are given a chance to take it, and others to speak.
            Onward::Yield => {
                thread::yield_now();
                shared.turn(|state| state.hear(id, input, 0))
            }
            Onward::Leave => return,
        };
    }
}
