//! The listeners that are ready, and those in backoff because the system failed to accept a waiting connection: without
//! a backoff the loop would spin.

use super::Sockets;
use crate::limits::{MAX_ACCEPT_BACKOFF, MIN_ACCEPT_BACKOFF};
use crate::protocol::Time;
use crate::protocol::scheme::{Scheme, Socket};
use std::time::Duration;

/// All listeners, by index.
#[derive(Debug)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// Ready in this turn.
    ready: Vec<usize>,
    /// No listener is watched any more.
    are_stopped: bool,
}

#[derive(Debug)]
struct Listener {
    scheme: Scheme,
    /// The listener isn't watched until then.
    backoff_until: Option<Time>,
    /// The length of the last backoff; zero since a connection was accepted.
    backoff: Duration,
}

impl Listeners {
    pub fn new(schemes: Vec<Scheme>) -> Listeners {
        let listener = |scheme| Listener { scheme, backoff_until: None, backoff: Duration::ZERO };
        let all = schemes.into_iter().map(listener).collect();
        Listeners { all, ready: Vec::new(), are_stopped: false }
    }

    /// Returns the scheme of a listener.
    pub fn scheme(&self, listener: usize) -> Scheme {
        self.all[listener].scheme
    }

    pub fn note_ready(&mut self, listener: usize) {
        self.ready.push(listener);
    }

    /// Returns whether no listener is ready.
    pub fn are_quiet(&self) -> bool {
        self.ready.is_empty()
    }

    /// Takes the ready listeners of one kind of socket.
    pub fn take_ready(&mut self, kind: impl Fn(Socket) -> bool) -> Vec<usize> {
        let Listeners { all, ready, .. } = self;
        ready.extract_if(.., |listener| kind(all[*listener].scheme.row().socket)).collect()
    }

    /// Resets the backoff after an accepted connection.
    pub fn note_accepted(&mut self, listener: usize) {
        self.all[listener].backoff = Duration::ZERO;
    }

    /// Stops watching a listener for a backoff that doubles each time, after the system failed to accept a connection.
    pub fn back_off(&mut self, listener: usize, now: Time, sockets: &mut impl Sockets) {
        if sockets.set_listening(listener, false).is_ok() {
            let this = &mut self.all[listener];
            this.backoff = (this.backoff * 2).clamp(MIN_ACCEPT_BACKOFF, MAX_ACCEPT_BACKOFF);
            this.backoff_until = Some(now + this.backoff);
        }
    }

    /// Watches listeners again after their backoff, and notes them as ready.
    pub fn end_backoff(&mut self, now: Time, sockets: &mut impl Sockets) {
        if self.are_stopped {
            return;
        }
        for (index, listener) in self.all.iter_mut().enumerate() {
            if listener.backoff_until.is_some_and(|until| until <= now) {
                listener.backoff_until = None;
                self.ready.push(index);
                // On failure, this is tried again after another backoff.
                if sockets.set_listening(index, true).is_err() {
                    listener.backoff_until = Some(now + listener.backoff);
                }
            }
        }
    }

    /// Returns when the next backoff is over.
    pub fn next_due(&self) -> Option<Time> {
        self.all.iter().filter(|_| !self.are_stopped).filter_map(|listener| listener.backoff_until).min()
    }

    /// Stops watching all listeners.
    pub fn stop(&mut self, sockets: &mut impl Sockets) {
        self.are_stopped = true;
        for listener in 0..self.all.len() {
            // On failure, the listener would only wake the server; nothing is accepted either way.
            let _ = sockets.set_listening(listener, false);
        }
    }
}
