//! Which listeners are ready, and which are left alone for a while because the system gave no connection though one waited:
//! asking again and again would be a spin.

use super::Sockets;
use crate::limits::{MAX_ACCEPT_BACKOFF, MIN_ACCEPT_BACKOFF};
use crate::protocol::Time;
use crate::protocol::scheme::{Scheme, Socket};
use std::time::Duration;

/// Every listener, by its index.
#[derive(Debug)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// Ready in this turn.
    ready: Vec<usize>,
    /// None is watched any more.
    are_stopped: bool,
}

#[derive(Debug)]
struct Listener {
    scheme: Scheme,
    /// It isn't watched until then.
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

    /// What a listener is for.
    pub fn scheme(&self, listener: usize) -> Scheme {
        self.all[listener].scheme
    }

    pub fn note_ready(&mut self, listener: usize) {
        self.ready.push(listener);
    }

    /// Whether none is ready.
    pub fn are_quiet(&self) -> bool {
        self.ready.is_empty()
    }

    /// Takes the ready listeners of some kind of socket.
    pub fn take_ready(&mut self, kind: impl Fn(Socket) -> bool) -> Vec<usize> {
        let Listeners { all, ready, .. } = self;
        ready.extract_if(.., |listener| kind(all[*listener].scheme.row().socket)).collect()
    }

    /// A connection was accepted.
    pub fn note_accepted(&mut self, listener: usize) {
        self.all[listener].backoff = Duration::ZERO;
    }

    /// The system gave no connection though one waited: the listener is left alone for a while, each time longer.
    pub fn back_off(&mut self, listener: usize, now: Time, sockets: &mut impl Sockets) {
        if sockets.set_listening(listener, false).is_ok() {
            let this = &mut self.all[listener];
            this.backoff = (this.backoff * 2).clamp(MIN_ACCEPT_BACKOFF, MAX_ACCEPT_BACKOFF);
            this.backoff_until = Some(now + this.backoff);
        }
    }

    /// Watches listeners again whose backoff is over, and counts them as ready.
    pub fn end_backoff(&mut self, now: Time, sockets: &mut impl Sockets) {
        if self.are_stopped {
            return;
        }
        for (index, listener) in self.all.iter_mut().enumerate() {
            if listener.backoff_until.is_some_and(|until| until <= now) {
                listener.backoff_until = None;
                self.ready.push(index);
                // Where this fails, the listener is asked once more after its backoff.
                if sockets.set_listening(index, true).is_err() {
                    listener.backoff_until = Some(now + listener.backoff);
                }
            }
        }
    }

    /// When the next backoff is over.
    pub fn next_due(&self) -> Option<Time> {
        self.all.iter().filter(|_| !self.are_stopped).filter_map(|listener| listener.backoff_until).min()
    }

    /// No connection is accepted any more.
    pub fn stop(&mut self, sockets: &mut impl Sockets) {
        self.are_stopped = true;
        for listener in 0..self.all.len() {
            // A listener that stays in the poller would only wake the server; it stops either way.
            let _ = sockets.set_listening(listener, false);
        }
    }
}
