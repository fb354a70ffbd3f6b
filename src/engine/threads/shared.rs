//! What all threads share: the state behind its one lock, the clock, and the means to wake up the main thread, which
//! keeps the deadlines. Every engine-wide rule is in `state.rs`; here is only how a thread gets at it.

use super::link::{Link, Way};
use super::state::State;
use crate::limits::Limits;
use crate::protocol::ConnId;
use crate::protocol::Time;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The state and what goes with it.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    state: Mutex<State>,
    started: Instant,
    /// A byte in it ends the main thread's sleep; it doesn't block.
    waker: UnixStream,
    /// When all must be sent, once the server is asked to stop; outside of the lock, for who holds it in a send.
    stop_by: Arc<OnceLock<Instant>>,
    /// The last one that was started couldn't be, which is logged.
    pub short_of_threads: AtomicBool,
}

impl Shared {
    /// `way` is how bytes leave on all links.
    pub fn new(limits: Limits, way: &Way, waker: UnixStream) -> Shared {
        let stop_by = Arc::default();
        let state = Mutex::new(State::new(&limits, way, Arc::clone(&stop_by)));
        Shared {
            limits,
            state,
            started: Instant::now(),
            waker,
            stop_by,
            short_of_threads: AtomicBool::new(false),
        }
    }

    /// Does something to the state, with what follows from it.
    pub fn turn<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.begin(self.now());
        let done = act(&mut state);
        state.flush_and_reap();
        let wake = state.is_due_sooner();
        drop(state);
        if wake {
            self.wake();
        }
        done
    }

    /// Sleeps until a connection's own queue has room, or the connection is closed.
    pub fn wait_for_room(&self, id: ConnId, link: &Link) {
        let mut state = self.lock();
        while state.waits_for_room(id) {
            state = link.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps so long, or until the connection is closed.
    pub fn sleep(&self, id: ConnId, link: &Link, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while let Some(left) = until.checked_duration_since(Instant::now())
            && state.sleeps(id)
        {
            (state, _) = link.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Begins to stop.
    pub fn stop(&self) {
        self.drain();
        self.turn(State::stop);
    }

    /// From now on nobody blocks in a send longer than the drain allows. Needs no lock: who holds it may be blocked.
    pub fn drain(&self) {
        // An `Instant` can't be as far away as a flag can say.
        let drain = self.limits.drain.min(Duration::from_secs(u32::MAX.into()));
        // The first one counts.
        let _ = self.stop_by.set(Instant::now() + drain);
        self.wake();
    }

    fn wake(&self) {
        // That it is full means the same.
        let _ = (&self.waker).write(&[0]);
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
