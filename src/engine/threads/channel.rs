//! A bounded buffer for the writer thread of a connection in `--engine threads-queued`. Adding bytes never blocks; what
//! doesn't fit stays in the connection's queue, as if the kernel had refused it, until the writer asks for more.

use crate::limits::{CHANNEL, KIB, Limits};
use std::io::{self, ErrorKind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The bytes from the hub to one writer.
#[derive(Debug)]
pub(super) struct Channel {
    inner: Mutex<Inner>,
    /// Notified when a waiting writer has work.
    work: Condvar,
    max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// `bytes.len() <= max`.
    bytes: Vec<u8>,
    /// Bytes didn't fit, so the connection's queue holds more.
    has_overflowed: bool,
    /// The writer waits for work and must be woken. A wake-up is a system call, needed or not.
    is_waiting: bool,
    state: ChannelState,
}

/// Whether the writer continues.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    #[default]
    Open,
    /// The bytes are the last.
    Finished,
    /// The connection is broken, and the bytes are not sent.
    Broken,
}

/// What a writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriterAction {
    /// Send the bytes.
    Send,
    /// Ask for more: the channel is empty, the connection's queue isn't.
    Refill,
    /// Shut down the sending side: all bytes are sent.
    Shutdown,
    /// End the thread.
    Leave,
}

impl Channel {
    pub fn new(limits: &Limits) -> Channel {
        let max = CHANNEL.min(limits.half_queue());
        Channel { inner: Mutex::default(), work: Condvar::new(), max }
    }

    /// Adds the bytes that fit; returns their number.
    pub fn offer(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.lock();
        if inner.state == ChannelState::Broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let fits = bytes.len().min(self.max - inner.bytes.len());
        inner.bytes.extend_from_slice(&bytes[..fits]);
        inner.has_overflowed |= fits < bytes.len();
        self.wake(inner);
        Ok(fits)
    }

    /// Marks the bytes as the last.
    pub fn finish(&self) {
        let mut inner = self.lock();
        if inner.state == ChannelState::Open {
            inner.state = ChannelState::Finished;
        }
        self.wake(inner);
    }

    /// Marks the connection as broken.
    pub fn break_off(&self) {
        let mut inner = self.lock();
        inner.state = ChannelState::Broken;
        self.wake(inner);
    }

    /// Waits for the next action. Bytes to send are swapped with `empty`.
    pub fn next(&self, empty: &mut Vec<u8>) -> WriterAction {
        let mut inner = self.lock();
        loop {
            if inner.state == ChannelState::Broken {
                return WriterAction::Leave;
            }
            if !inner.bytes.is_empty() {
                std::mem::swap(&mut inner.bytes, empty);
                return WriterAction::Send;
            }
            if std::mem::take(&mut inner.has_overflowed) {
                return WriterAction::Refill;
            }
            if inner.state == ChannelState::Finished {
                return WriterAction::Shutdown;
            }
            // An idle connection keeps a buffer for one short line only.
            [&mut inner.bytes, &mut *empty].into_iter().for_each(|buffer| buffer.shrink_to(KIB));
            inner.is_waiting = true;
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let is_waiting = std::mem::take(&mut inner.is_waiting);
        drop(inner);
        if is_waiting {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
