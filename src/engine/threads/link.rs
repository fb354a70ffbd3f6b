//! A connection's socket, and the way by which bytes leave on it: at once and blocking, or by a writer thread of its own.
//! All that differs between the two engines with threads is in [`Way`]. [`Links`] is all of them, as the server sends by
//! them.

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

/// One connection, as its threads and the server share it.
#[derive(Debug)]
pub(super) struct Link {
    pub socket: Socket,
    pub way: Way,
    /// Told when the reader may go on: its queue has room again, or the connection is closing. Goes with the lock of the
    /// state.
    pub wake: Condvar,
}

/// How bytes leave.
#[derive(Debug)]
pub(super) enum Way {
    /// The thread whose input caused them sends them, and waits until the kernel has taken them.
    Direct,
    /// A thread of the connection's own sends them.
    Queued(Channel),
}

impl Link {
    /// Ends both directions, whatever is unsent: a thread that is blocked in a call on the socket comes back from it.
    fn break_off(&self) {
        if let Way::Queued(channel) = &self.way {
            channel.break_off();
        }
        self.shut(net::Shutdown::Both);
    }

    /// That this fails where the peer is gone already changes nothing.
    pub fn shut(&self, what: net::Shutdown) {
        let _ = self.socket.shutdown(what);
    }
}

/// The links of all connections, by id.
#[derive(Debug)]
pub(super) struct Links {
    links: Vec<Option<Entry>>,
    /// When all must be sent, once the server is asked to stop.
    stop_by: Arc<OnceLock<Instant>>,
}

#[derive(Debug)]
struct Entry {
    link: Arc<Link>,
    /// Its reader waits to be woken.
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

    /// Has a connection's reader go on, if it waits.
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
        match &link.way {
            Way::Direct => direct::send(&link.socket, bytes, stop_by),
            Way::Queued(channel) => channel.offer(bytes),
        }
    }

    fn shutdown(&mut self, id: ConnId) -> Shutdown {
        self.wake(id);
        let Ok(link) = self.get(id) else { return Shutdown::Done };
        match &link.way {
            Way::Direct => {
                link.shut(net::Shutdown::Write);
                Shutdown::Done
            }
            Way::Queued(channel) => {
                channel.finish();
                Shutdown::Later
            }
        }
    }

    /// The slot is kept: a reader is the last user of its link, and comes back from its read by this.
    fn close(&mut self, id: ConnId) {
        if let Ok(link) = self.get(id) {
            link.break_off();
        }
        self.wake(id);
    }

    /// A reader watches by reading: it is only woken to look again.
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
