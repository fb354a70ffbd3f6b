//! Bytes on their way to the writer thread of a connection in `--engine threads-queued`, bounded. Putting bytes in never
//! blocks; what doesn't fit stays in the connection's queue, as if the kernel had refused it, until the writer asks for more.

use crate::limits::{CHANNEL, KIB, Limits};
use std::io::{self, ErrorKind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes on their way from the hub to a writer.
#[derive(Debug)]
pub(super) struct Channel {
    inside: Mutex<Inside>,
    /// Told when there is something for the writer to do.
    work: Condvar,
    max: usize,
}

#[derive(Debug, Default)]
struct Inside {
    /// At most as many as the channel's bound.
    bytes: Vec<u8>,
    /// Something didn't fit, so there is more in the connection's queue.
    behind: bool,
    /// The writer waits for work: whoever has some wakes it up. A wake-up is a system call, needed or not.
    waiting: bool,
    state: ChannelState,
}

/// Whether the writer goes on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChannelState {
    #[default]
    Open,
    /// What is inside is the last.
    Finished,
    /// What is inside is for nobody.
    Broken,
}

/// What a writer has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriterAction {
    /// Send what it was given.
    Send,
    /// Ask for more: the channel is empty, the connection's queue isn't.
    Refill,
    /// Shut the socket: everything is sent.
    Shut,
    /// Nothing more.
    Leave,
}

impl Channel {
    pub fn new(limits: &Limits) -> Channel {
        let max = CHANNEL.min(limits.half_queue());
        Channel { inside: Mutex::default(), work: Condvar::new(), max }
    }

    /// Takes what fits; how much.
    pub fn offer(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut inside = self.lock();
        if inside.state == ChannelState::Broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let fits = bytes.len().min(self.max - inside.bytes.len());
        inside.bytes.extend_from_slice(&bytes[..fits]);
        inside.behind |= fits < bytes.len();
        self.wake(inside);
        Ok(fits)
    }

    /// What is inside is the last.
    pub fn finish(&self) {
        let mut inside = self.lock();
        if inside.state == ChannelState::Open {
            inside.state = ChannelState::Finished;
        }
        self.wake(inside);
    }

    /// What is inside is for nobody.
    pub fn break_off(&self) {
        let mut inside = self.lock();
        inside.state = ChannelState::Broken;
        self.wake(inside);
    }

    /// Waits for something to do. What is to be sent is swapped for `empty`.
    pub fn next(&self, empty: &mut Vec<u8>) -> WriterAction {
        let mut inside = self.lock();
        loop {
            if inside.state == ChannelState::Broken {
                return WriterAction::Leave;
            }
            if !inside.bytes.is_empty() {
                std::mem::swap(&mut inside.bytes, empty);
                return WriterAction::Send;
            }
            if std::mem::take(&mut inside.behind) {
                return WriterAction::Refill;
            }
            if inside.state == ChannelState::Finished {
                return WriterAction::Shut;
            }
            // An idle connection keeps no more than a line needs.
            [&mut inside.bytes, &mut *empty].into_iter().for_each(|buffer| buffer.shrink_to(KIB));
            inside.waiting = true;
            inside = self.work.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn wake(&self, mut inside: MutexGuard<'_, Inside>) {
        let waiting = std::mem::take(&mut inside.waiting);
        drop(inside);
        if waiting {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
