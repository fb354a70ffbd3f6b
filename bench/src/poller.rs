//! What a load waits for: its sockets, each by a key, and the connection on which the server tells its counters. Over
//! epoll(7), level-triggered.

use super::child::ServerProcess;
use super::{Failure, is_interrupted};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::time::Duration;

/// The key of the connection on which the server tells its counters. Keys of a load are smaller.
pub const CONTROL: u64 = u64::MAX;
/// Events of one wait.
const EVENTS: usize = 1024;
/// The longest wait, so that Ctrl-C and silence are noticed.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A set of sockets, and what the last wait has told of them.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Watches the server's counters, if it tells any, as [`CONTROL`].
    ///
    /// # Errors
    /// Where the system refuses, as in all methods.
    pub fn new(server: &ServerProcess) -> Result<Poller, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(cannot_poll)?;
        let poller = Poller { epoll, events: Vec::with_capacity(EVENTS) };
        if let Some(control) = &server.control {
            poller.add(control.descriptor(), CONTROL)?;
        }
        Ok(poller)
    }

    /// Watches a socket for what there is to read.
    pub fn add(&self, socket: impl AsFd, key: u64) -> Result<(), Failure> {
        epoll::add(&self.epoll, socket, EventData::new_u64(key), EventFlags::IN).map_err(cannot_poll)
    }

    /// Watches a socket that is watched already for these events.
    pub fn modify(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> Result<(), Failure> {
        epoll::modify(&self.epoll, socket, EventData::new_u64(key), flags).map_err(cannot_poll)
    }

    /// Doesn't watch a socket any more.
    pub fn delete(&self, socket: impl AsFd) -> Result<(), Failure> {
        epoll::delete(&self.epoll, socket).map_err(cannot_poll)
    }

    /// Waits until there are events, but no longer than this and 100 ms. Returns how many there are.
    ///
    /// # Errors
    /// [`Failure::Interrupted`] after Ctrl-C.
    pub fn wait(&mut self, longest: Duration) -> Result<usize, Failure> {
        let longest = longest.min(LONGEST_WAIT);
        let longest = Timespec { tv_sec: 0, tv_nsec: longest.as_nanos() as i64 };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&longest)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(cannot_poll(error)),
        }
        if is_interrupted() { Err(Failure::Interrupted) } else { Ok(self.events.len()) }
    }

    /// The key and the flags of one of the events of the last wait.
    #[must_use]
    pub fn event(&self, index: usize) -> (u64, EventFlags) {
        let Event { flags, data } = self.events[index];
        (data.u64(), flags)
    }
}

fn cannot_poll(error: Errno) -> Failure {
    Failure::of("can't poll", &error.into())
}
