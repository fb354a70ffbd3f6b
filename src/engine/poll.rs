//! The wait for events. `polling` waits with five system calls (it arms a timer and its notifier anew each time); on
//! Linux one epoll_wait(2) on its descriptor does the same, since the notifier is never used here.

use polling::{Event, Poller};
use std::io;
use std::time::{Duration, Instant};

/// What the poller reports of one descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    pub key: usize,
    pub read: bool,
    pub write: bool,
    pub ended: bool,
    pub hangup: bool,
}

/// Busy polling for some time after each activity, which buys latency with processor time: a wake-up from sleep takes
/// longer than a message.
#[derive(Debug)]
pub(super) struct Spin {
    length: Duration,
    /// When a descriptor was last ready.
    active: Instant,
}

impl Spin {
    /// Polls for `length` after each activity; not at all if that is zero.
    pub fn new(length: Duration) -> Spin {
        Spin { length, active: Instant::now() }
    }

    /// Waits for at most `timeout`: polls first, sleeps afterwards.
    pub fn wait(
        &mut self,
        reports: &mut Reports,
        poller: &Poller,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if self.length.is_zero() {
            return reports.wait(poller, timeout);
        }
        let began = Instant::now();
        let until = timeout
            .map_or(self.active + self.length, |timeout| (self.active + self.length).min(began + timeout));
        loop {
            reports.wait(poller, Some(Duration::ZERO))?;
            let now = Instant::now();
            if !reports.is_empty() {
                self.active = now;
                return Ok(());
            }
            if now >= until {
                reports.wait(poller, timeout.map(|timeout| timeout.saturating_sub(now - began)))?;
                if !reports.is_empty() {
                    self.active = Instant::now();
                }
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use super::{Duration, Event, Poller, Report, io};
    use crate::limits::EVENTS;
    use polling::PollMode;
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{self, EventData, EventFlags};
    use rustix::io::Errno;
    use rustix::time::Timespec;
    use std::os::fd::BorrowedFd;

    /// Watches a source of the poller for the end of its stream, and for room to send if `event` is writable. `polling`
    /// can't watch for an end without bytes; the kernel can, and `polling` keeps no state that this would contradict.
    pub fn watch_end(
        poller: &Poller,
        source: BorrowedFd<'_>,
        event: Event,
        _mode: PollMode,
    ) -> io::Result<()> {
        let writable = if event.writable { EventFlags::OUT } else { EventFlags::empty() };
        let data = EventData::new_u64(event.key as u64);
        Ok(epoll::modify(poller, source, data, EventFlags::RDHUP | writable)?)
    }

    /// The reports of one wait.
    pub struct Reports(Vec<epoll::Event>);

    impl Reports {
        pub fn new() -> Reports {
            Reports(Vec::with_capacity(EVENTS))
        }

        /// Waits; an interruption by a signal handler ends the wait without reports.
        pub fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) -> io::Result<()> {
            self.0.clear();
            // epoll_wait(2) takes milliseconds as an int. An early end of a longer wait only costs a turn.
            let longest = Duration::from_millis(i32::MAX as u64);
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout.min(longest)).ok());
            match epoll::wait(poller, spare_capacity(&mut self.0), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub fn iter(&self) -> impl Iterator<Item = Report> + '_ {
            // Flags are translated as `polling` does it: an end or an error is readable and writable.
            let ended = EventFlags::HUP | EventFlags::ERR;
            self.0.iter().map(move |event| {
                let (flags, data) = (event.flags, event.data);
                Report {
                    key: data.u64() as usize,
                    read: flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI | ended),
                    write: flags.intersects(EventFlags::OUT | ended),
                    ended: flags.intersects(EventFlags::RDHUP | ended),
                    hangup: flags.intersects(ended),
                }
            })
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::{Duration, Event, Poller, Report, io};
    use polling::{Events, PollMode};
    use std::os::fd::BorrowedFd;

    /// Not available here: an end is seen once all bytes before it are read.
    pub fn watch_end(
        poller: &Poller,
        source: BorrowedFd<'_>,
        event: Event,
        mode: PollMode,
    ) -> io::Result<()> {
        poller.modify_with_mode(source, event, mode)
    }

    /// The reports of one wait.
    pub struct Reports(Events);

    impl Reports {
        pub fn new() -> Reports {
            Reports(Events::new())
        }

        /// Waits; an interruption by a signal handler doesn't end the wait.
        pub fn wait(&mut self, poller: &Poller, timeout: Option<Duration>) -> io::Result<()> {
            self.0.clear();
            poller.wait(&mut self.0, timeout).map(drop)
        }

        pub fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub fn iter(&self) -> impl Iterator<Item = Report> + '_ {
            self.0.iter().map(|event| Report {
                key: event.key,
                read: event.readable,
                write: event.writable,
                ended: false,
                hangup: event.is_interrupt() || event.is_err().unwrap_or(false),
            })
        }
    }
}

pub(super) use system::{Reports, watch_end};
