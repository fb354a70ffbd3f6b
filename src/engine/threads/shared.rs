//! The data that all threads share: the state under its one lock, the clock, and the waker of the main thread, which
//! fires the timers. Every rule of the engine is in `state.rs`; here is only how a thread gets access to it.

use super::link::{Link, SendMode};
use super::state::State;
use crate::limits::Limits;
use crate::protocol::ConnId;
use crate::protocol::Time;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The state, and the data outside of its lock.
#[derive(Debug)]
pub(super) struct Shared {
    pub limits: Limits,
    state: Mutex<State>,
    started: Instant,
    /// A byte in it wakes the main thread; a write doesn't block.
    waker: UnixStream,
    /// When the drain ends, once the server is asked to stop. Read without the lock, by a thread that blocks in a send.
    stop_by: Arc<OnceLock<Instant>>,
    /// The last thread could not be started, and that is logged.
    pub short_of_threads: AtomicBool,
}

impl Shared {
    /// `send_mode` is that of all links.
    pub fn new(limits: Limits, send_mode: &SendMode, waker: UnixStream) -> Shared {
        let stop_by = Arc::default();
        let state = Mutex::new(State::new(&limits, send_mode, Arc::clone(&stop_by)));
        Shared {
            limits,
            state,
            started: Instant::now(),
            waker,
            stop_by,
            short_of_threads: AtomicBool::new(false),
        }
    }

    /// Runs `act` on the state, then flushes queues and closes connections.
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

    /// Blocks until the connection's own queue has room, or the connection is closed.
    pub fn wait_for_room(&self, id: ConnId, link: &Link) {
        let mut state = self.lock();
        while state.waits_for_room(id) {
            state = link.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps for `time`, or until the connection is closed.
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

    /// Ends every send with the drain from now on. Takes no lock, since its holder may be blocked in a send.
    pub fn drain(&self) {
        // An `Instant` can't be as far away as the flag allows.
        let drain = self.limits.drain.min(Duration::from_secs(u32::MAX.into()));
        // The first deadline counts.
        let _ = self.stop_by.set(Instant::now() + drain);
        self.wake();
    }

    fn wake(&self) {
        // If the socket is full, the main thread wakes up anyway.
        let _ = (&self.waker).write(&[0]);
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
