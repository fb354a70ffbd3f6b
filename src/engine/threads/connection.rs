//! The reader thread of a connection: it blocks in one read, has the server process the bytes, and is the last user of
//! the connection. Its input is in a buffer of its own, outside of any lock.

use super::input::Input;
use super::link::{Link, SendMode};
use super::queued;
use super::shared::Shared;
use super::spawn;
use super::state::ReaderAction;
use crate::protocol::ConnId;
use crate::protocol::scheme::Scheme;
use log::warn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

/// Runs an admitted connection until its slot is free.
pub(super) fn run(shared: &Arc<Shared>, id: ConnId, link: &Arc<Link>, scheme: Scheme) {
    match start_writer(shared, id, link) {
        Ok(writer) => {
            shared.short_of_threads.store(false, Ordering::Relaxed);
            let mut input = Input::new(shared.limits.max_line);
            read(shared, id, link, &mut input);
            // An error ends the stream as well.
            let _ = input.discard(&link.socket);
            // The writer ends once all is sent or the drain is over.
            writer.map(JoinHandle::join);
        }
        Err(error) => reject(shared, link, scheme, &error),
    }
    shared.turn(|state| state.release(id));
}

/// Rejects a connection that gets no thread: sends the final line and discards the input, so that it isn't reset.
pub(super) fn reject(shared: &Shared, link: &Link, scheme: Scheme, error: &io::Error) {
    // Logged once per spell, since peers decide how often it happens.
    if !shared.short_of_threads.swap(true, Ordering::Relaxed) {
        warn!(target: "no-thread", reason = error.to_string().as_str(); "can't start a thread for a connection: {error}");
    }
    let line = shared.turn(|state| state.final_line(scheme));
    let mut socket = &link.socket;
    // The socket's buffers are empty, so this takes all of the line or never will.
    if socket.set_nonblocking(true).is_ok() && socket.write(&line).is_ok() {
        link.shutdown(Shutdown::Write);
        while socket.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0) {}
    }
}

fn start_writer(shared: &Arc<Shared>, id: ConnId, link: &Arc<Link>) -> io::Result<Option<JoinHandle<()>>> {
    if matches!(link.send_mode, SendMode::Direct) {
        return Ok(None);
    }
    let (shared, link) = (Arc::clone(shared), Arc::clone(link));
    let write = move || {
        if let SendMode::Queued(channel) = &link.send_mode {
            queued::write(&shared, id, &link, channel);
        }
    };
    spawn(write).map(Some)
}

/// Reads and has the server process the input, one read at a time, as long as it is accepted.
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
            // Recipients get a chance to read, and other connections to send.
            ReaderAction::Yield => {
                thread::yield_now();
                shared.turn(|state| state.process(id, input, 0))
            }
            ReaderAction::Leave => return,
        };
    }
}
