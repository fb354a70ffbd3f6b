//! A connection's socket, and the way by which bytes leave on it: at once and blocking, or by a writer thread of its own.
//! All that differs between the two engines with threads is behind this.

use super::direct;
use super::queued::Channel;
use crate::limits::{Limits, MIN_DRAIN, WRITER_GRACE};
use socket2::Socket;
use std::io;
use std::net::Shutdown;
use std::sync::Condvar;
use std::time::{Duration, Instant};

/// One connection, as its threads and the hub's state share it.
#[derive(Debug)]
pub(super) struct Link {
    pub socket: Socket,
    pub way: Way,
    /// Told when the connection's own queue has room again, or it is closed. Goes with the lock of the state.
    pub room: Condvar,
}

/// How bytes leave.
#[derive(Debug)]
pub(super) enum Way {
    /// Whoever speaks sends them, and waits until the kernel has taken them.
    Direct,
    /// A thread of the connection's own sends them.
    Queued(Channel),
}

impl Link {
    /// Takes bytes to be sent; how many. What isn't taken stays in the connection's queue.
    pub fn send(&self, bytes: &[u8], stop_by: Option<Instant>) -> io::Result<usize> {
        match &self.way {
            Way::Direct => direct::send(&self.socket, bytes, stop_by),
            Way::Queued(channel) => channel.offer(bytes),
        }
    }

    /// Bytes that may be left unsent. Who waits for each send itself can't go on behind one that has failed.
    pub fn most_unsent(&self, limits: &Limits) -> usize {
        match self.way {
            Way::Direct => 0,
            Way::Queued(_) => limits.hard_queue(),
        }
    }

    /// How long the rest of a closing connection may take.
    pub fn drain(&self, limits: &Limits) -> Duration {
        limits.drain.max(match self.way {
            Way::Direct => MIN_DRAIN,
            Way::Queued(_) => WRITER_GRACE,
        })
    }

    /// Nothing follows: the sending side is shut behind what was taken. True if that is done, false if the writer will.
    pub fn finish(&self) -> bool {
        match &self.way {
            Way::Direct => {
                self.shut(Shutdown::Write);
                true
            }
            Way::Queued(channel) => {
                channel.finish();
                false
            }
        }
    }

    /// Ends both directions, whatever is unsent: whoever is blocked in a call on the socket comes back from it.
    pub fn break_off(&self) {
        if let Way::Queued(channel) = &self.way {
            channel.break_off();
        }
        self.shut(Shutdown::Both);
    }

    /// That this fails where the peer is gone already changes nothing.
    pub fn shut(&self, what: Shutdown) {
        let _ = self.socket.shutdown(what);
    }
}
