//! The poller of a load: its sockets, each with a key, and the server's counter connection. Uses epoll(7),
//! level-triggered.

use super::child::ServerProcess;
use super::{Failure, is_interrupted};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::time::Duration;

/// The key of the counter connection. Keys of a load are smaller.
pub const CONTROL: u64 = u64::MAX;
/// Maximum number of events of one wait.
const EVENTS: usize = 1024;
/// Maximum wait, so that Ctrl-C and silence are noticed.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A set of sockets, and the events of the last wait.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Watches the server's counter connection, if there is one, as [`CONTROL`].
    ///
    /// # Errors
    /// A system call failed, as in all methods.
    pub fn new(server: &ServerProcess) -> Result<Poller, Failure> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(cannot_poll)?;
        let poller = Poller { epoll, events: Vec::with_capacity(EVENTS) };
        if let Some(control) = &server.control {
            poller.add(control.descriptor(), CONTROL)?;
        }
        Ok(poller)
    }

    /// Watches a socket for input.
    pub fn add(&self, socket: impl AsFd, key: u64) -> Result<(), Failure> {
        epoll::add(&self.epoll, socket, EventData::new_u64(key), EventFlags::IN).map_err(cannot_poll)
    }

    /// Changes the events of a socket that is watched already.
    pub fn modify(&self, socket: impl AsFd, key: u64, flags: EventFlags) -> Result<(), Failure> {
        epoll::modify(&self.epoll, socket, EventData::new_u64(key), flags).map_err(cannot_poll)
    }

    /// Stops watching a socket.
    pub fn delete(&self, socket: impl AsFd) -> Result<(), Failure> {
        epoll::delete(&self.epoll, socket).map_err(cannot_poll)
    }

    /// Waits for events for at most `longest` and 100 ms. Returns the number of events.
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

    /// Returns key and flags of an event of the last wait.
    #[must_use]
    pub fn event(&self, index: usize) -> (u64, EventFlags) {
        let Event { flags, data } = self.events[index];
        (data.u64(), flags)
    }
}

fn cannot_poll(error: Errno) -> Failure {
    Failure::of("can't poll", &error.into())
}
