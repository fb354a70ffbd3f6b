//! The reader thread of a connection: it blocks in one read, has the server process what came, and is the last to touch
//! the connection. What was read is in a buffer of its own, outside of any lock.

use super::input::Input;
use super::link::{Link, Way};
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
