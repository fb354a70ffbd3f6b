//! A connection's socket, and how bytes are sent on it: by a blocking call, or by a writer thread. All that differs
//! between the two engines with threads is in [`SendMode`]. [`Links`] holds all links; the server sends on them by it.

use super::channel::Channel;
use super::direct;
use crate::engine::listener;
use crate::protocol::{ConnId, PeerAddr};
use crate::server::transport::{DatagramPath, Interest, Shutdown, Transport};
use socket2::Socket;
use std::io::{self, ErrorKind};
use std::net;
use std::sync::{Arc, Condvar, OnceLock};
use std::time::Instant;

/// One connection, shared by its threads and the server.
#[derive(Debug)]
pub(super) struct Link {
    pub socket: Socket,
    pub send_mode: SendMode,
    /// Notified when the reader may continue: its queue has room, or the connection closes. Used with the state's lock.
    pub wake: Condvar,
}

/// How bytes are sent.
#[derive(Debug)]
pub(super) enum SendMode {
    /// The thread with the input that caused them sends them, and waits until the kernel has accepted them.
    Direct,
    /// The writer thread of the connection sends them.
    Queued(Channel),
}

impl Link {
    /// Shuts down both directions, even with bytes unsent: a thread that is blocked in a call on the socket returns.
    fn break_off(&self) {
        if let SendMode::Queued(channel) = &self.send_mode {
            channel.break_off();
        }
        self.shutdown(net::Shutdown::Both);
    }

    /// Shuts down one or both directions. An error means that the peer is gone, and is ignored.
    pub fn shutdown(&self, how: net::Shutdown) {
        let _ = self.socket.shutdown(how);
    }
}

/// The links of all connections, by id.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Option<Entry>>,
    /// When the drain ends, once the server is asked to stop.
    stop_by: Arc<OnceLock<Instant>>,
}

#[derive(Debug)]
struct Entry {
    link: Arc<Link>,
    /// Its reader waits for `link.wake`.
    is_waiting: bool,
}

impl Links {
    pub fn new(stop_by: Arc<OnceLock<Instant>>) -> Links {
        Links { links: Vec::new(), stop_by }
    }

    pub fn insert(&mut self, id: ConnId, link: Arc<Link>) {
        if self.links.len() <= id.index() {
            self.links.resize_with(id.index() + 1, || None);
        }
        self.links[id.index()] = Some(Entry { link, is_waiting: false });
    }

    pub fn remove(&mut self, id: ConnId) {
        self.links[id.index()] = None;
    }

    pub fn set_waiting(&mut self, id: ConnId, is_waiting: bool) {
        if let Some(entry) = &mut self.links[id.index()] {
            entry.is_waiting = is_waiting;
        }
    }

    fn get(&self, id: ConnId) -> io::Result<&Link> {
        let entry = self.links.get(id.index()).and_then(Option::as_ref);
        entry.map(|entry| &*entry.link).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Wakes a connection's reader, if it waits.
    fn wake(&mut self, id: ConnId) {
        if let Some(entry) = &mut self.links[id.index()]
            && std::mem::take(&mut entry.is_waiting)
        {
            entry.link.wake.notify_one();
        }
    }
}

impl Transport for Links {
    fn send(&mut self, id: ConnId, bytes: &[u8], _last: bool) -> io::Result<usize> {
        let stop_by = self.stop_by.get().copied();
        let link = self.get(id)?;
        match &link.send_mode {
            SendMode::Direct => direct::send(&link.socket, bytes, stop_by),
            SendMode::Queued(channel) => channel.offer(bytes),
        }
    }

    fn shutdown(&mut self, id: ConnId) -> Shutdown {
        self.wake(id);
        let Ok(link) = self.get(id) else { return Shutdown::Done };
        match &link.send_mode {
            SendMode::Direct => {
                link.shutdown(net::Shutdown::Write);
                Shutdown::Done
            }
            SendMode::Queued(channel) => {
                channel.finish();
                Shutdown::Later
            }
        }
    }

    /// Ends the reader's read. The slot is kept, since the reader is the last user of its link.
    fn close(&mut self, id: ConnId) {
        if let Ok(link) = self.get(id) {
            link.break_off();
        }
        self.wake(id);
    }

    /// Wakes the reader, which watches by reading.
    fn set_interest(&mut self, id: ConnId, _interest: Interest) -> io::Result<()> {
        self.wake(id);
        Ok(())
    }

    fn peer_addr(&self, id: ConnId) -> Option<PeerAddr> {
        listener::origin(&self.get(id).ok()?.socket).ok()
    }

    fn send_to(&mut self, _path: DatagramPath, _bytes: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}
