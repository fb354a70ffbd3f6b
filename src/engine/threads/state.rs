//! The state under the lock: the server, and the links that it sends on. The rules are in the server, as for the
//! reactor; here is only what a reader, a writer and the main thread each do next. A slot is released by its reader.

use super::input::Input;
use super::link::{Link, Links, SendMode};
use crate::limits::{IDLE_AFTER, Limits, MIN_DRAIN, WRITER_GRACE};
use crate::protocol::scheme::Scheme;
use crate::protocol::{ConnId, PeerAddr, Time};
use crate::server::Server;
use crate::server::driver::Driver;
use crate::server::peer::{Blocked, Phase};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The server and its links. While the lock is free, no queue is dirty, no connection is to be closed, and every queue
/// holds only bytes that its link has refused.
#[derive(Debug)]
pub(super) struct State {
    server: Server,
    links: Links,
    stop_by: Arc<OnceLock<Instant>>,
    now: Time,
    /// When input was last read.
    active: Time,
    /// Memory was trimmed, and no input was read since.
    is_idle: bool,
    /// When the main thread next checks the timers.
    next_check: Time,
}

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderAction {
    /// Read, for at most this time (`None`: for ever).
    Read(Option<Duration>),
    /// Wait until its own queue has room, then continue with its input.
    WaitForRoom,
    /// Blocked by rate: sleep for this time or until the connection is closed, then continue with its input.
    Sleep(Duration),
    /// Yield the lock to other threads, then continue with its input.
    Yield,
    /// Process no more input.
    Leave,
}

/// What the main thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MainAction {
    /// Wait for this time (`None`: until another thread wakes it).
    Wait(Option<Duration>),
    /// Stop the server.
    Stop,
    /// Return: the server has stopped, and no connection is left.
    Return,
}

/// Returns the differences from the reactor: see docs/architecture.md, "Drivers".
fn driver(limits: &Limits, send_mode: &SendMode) -> Driver {
    let shared = Driver { defers_presence: false, releases: true, polls: false, ..Driver::reactor(limits) };
    match send_mode {
        // A thread that sends by itself can't continue after a failed send.
        SendMode::Direct => Driver { max_unsent: 0, min_drain: MIN_DRAIN, ..shared },
        SendMode::Queued(_) => Driver { min_drain: WRITER_GRACE, sends_later: true, ..shared },
    }
}

impl State {
    pub fn new(limits: &Limits, send_mode: &SendMode, stop_by: Arc<OnceLock<Instant>>) -> State {
        State {
            server: Server::new(limits.clone(), driver(limits, send_mode)),
            links: Links::new(Arc::clone(&stop_by)),
            stop_by,
            now: Time::default(),
            active: Time::default(),
            is_idle: false,
            next_check: Time::default(),
        }
    }

    /// Sets the time, once a thread has the lock.
    pub fn begin(&mut self, now: Time) {
        self.now = now;
        self.server.begin(now);
    }

    /// Admits or rejects a connection; `None` if there is no room for its final line either.
    pub fn accept(&mut self, scheme: Scheme, from: PeerAddr, link: Arc<Link>) -> Option<ConnId> {
        self.note_activity();
        let id = self.server.connections.vacant();
        self.links.insert(id, link);
        self.server.connections.open(id);
        self.server.admit(id, scheme, from, &mut self.links);
        if self.server.connections.phase(id) == Some(Phase::Closed) {
            self.release(id);
            return None;
        }
        Some(id)
    }

    /// Returns the final line for a connection that gets no thread.
    pub fn final_line(&self, scheme: Scheme) -> Vec<u8> {
        self.server.connections.final_line(scheme)
    }

    /// Has the server process the input, of which `fresh` bytes (0 is possible) are new.
    pub fn process(&mut self, id: ConnId, input: &mut Input, fresh: usize) -> ReaderAction {
        self.note_activity();
        self.server.connections.stats.bytes_in += fresh as u64;
        self.server.connections.resume(id);
        if self.server.connections.is_blocked_by(id, Blocked::RATE) {
            self.server.connections.unblock_rate(id, &mut self.links);
        }
        if self.server.connections.is_readable(id) {
            let processed = self.server.process_input(id, input.bytes(), &mut self.links);
            input.consume(processed.consumed);
        }
        self.next_action(id, input)
    }

    /// Ends a frame after `--pause` without bytes: the remainder may be a message.
    pub fn end_frame(&mut self, id: ConnId, input: &mut Input) -> ReaderAction {
        self.note_activity();
        if self.server.connections.is_readable(id) {
            let processed = self.server.end_frame(id, input.bytes(), &mut self.links);
            input.consume(processed.consumed);
        }
        self.next_action(id, input)
    }

    /// Handles the end of the stream.
    pub fn end_of_stream(&mut self, id: ConnId, input: &mut Input) -> ReaderAction {
        self.note_activity();
        if self.is_open(id) {
            self.server.end_of_stream(id, input.bytes(), &mut self.links);
        }
        ReaderAction::Leave
    }

    /// Closes a broken connection.
    pub fn lost(&mut self, id: ConnId) {
        self.note_activity();
        self.server.connections.lost(id);
    }

    /// Refills the channel of a writer that has sent all its bytes.
    pub fn writable(&mut self, id: ConnId) {
        self.server.connections.writable(id);
    }

    /// Notes that a writer has sent the last bytes and shut down the sending side.
    pub fn shutdown_done(&mut self, id: ConnId) {
        self.server.connections.shutdown_done(id, &mut self.links);
    }

    /// Releases the slot of a connection; the last call of its reader.
    pub fn release(&mut self, id: ConnId) {
        self.server.release(id, &mut self.links);
        self.links.remove(id);
    }

    /// Processes input from the operator's terminal.
    pub fn console(&mut self, bytes: &[u8]) {
        self.server.console(bytes);
    }

    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Fires timers, and trims memory after [`IDLE_AFTER`] without input.
    pub fn fire_timers(&mut self) {
        // Readers wait for the timeouts of their connections, so none is left to handle here.
        while self.server.fire_timers(&mut self.links).is_some() {}
        if !self.is_idle && self.active + IDLE_AFTER <= self.now {
            self.is_idle = true;
            self.server.trim();
            // Counts of suppressed lines are logged now, since no timer would wake the server for them.
            log::logger().flush();
        }
    }

    pub fn flush_and_reap(&mut self) {
        self.server.flush_and_reap(&mut self.links);
        // The list is dropped: readers of runnable connections continue by themselves.
        self.server.connections.take_runnable();
    }

    /// Returns what the main thread does next.
    pub fn main_action(&mut self) -> MainAction {
        if self.server.is_done() {
            return MainAction::Return;
        }
        let is_asked = self.server.is_asked_to_stop() || self.stop_by.get().is_some();
        if is_asked && !self.server.is_stopping() {
            return MainAction::Stop;
        }
        let due = self.due();
        self.next_check = due.unwrap_or(Time::NEVER);
        MainAction::Wait(due.map(|at| self.now.until(at)))
    }

    /// Returns whether a timer is due before the main thread wakes up, once per such timer.
    pub fn is_due_sooner(&mut self) -> bool {
        let due = self.due().unwrap_or(Time::NEVER);
        let sooner = due < self.next_check;
        self.next_check = self.next_check.min(due);
        sooner
    }

    /// Returns whether a connection's reader keeps sleeping. Its link wakes it when that may have changed.
    pub fn sleeps(&mut self, id: ConnId) -> bool {
        let sleeps = self.is_open(id);
        self.links.set_waiting(id, sleeps);
        sleeps
    }

    /// Returns whether a connection's reader still waits for room in its own queue.
    pub fn waits_for_room(&mut self, id: ConnId) -> bool {
        let waits = self.is_open(id) && self.server.connections.is_blocked_by(id, Blocked::OUTPUT);
        self.links.set_waiting(id, waits);
        waits
    }

    /// Returns when the main thread must wake up.
    fn due(&self) -> Option<Time> {
        let is_gone = self.server.is_stopping() && self.server.connections.count().0 == 0;
        let at_once = (self.server.is_asked_to_stop() || is_gone).then_some(Time(0));
        let idle = (!self.is_idle).then(|| self.active + IDLE_AFTER);
        at_once.into_iter().chain(self.server.connections.next_due()).chain(idle).min()
    }

    fn is_open(&self, id: ConnId) -> bool {
        self.server.connections.active_state(id).is_some_and(|(state, _)| state.phase() == Phase::Open)
    }

    fn note_activity(&mut self) {
        (self.active, self.is_idle) = (self.now, false);
    }

    /// Flushes what a reader's input has caused, and returns what the reader does next.
    fn next_action(&mut self, id: ConnId, input: &Input) -> ReaderAction {
        self.flush_and_reap();
        if !self.is_open(id) {
            return ReaderAction::Leave;
        }
        let is_read = self.server.connections.is_readable(id)
            && self.server.connections.read_limit(id, &mut self.links).is_some();
        if is_read {
            ReaderAction::Read(self.server.connections.frame_timeout(id, input.len()))
        } else if self.server.connections.is_blocked_by(id, Blocked::OUTPUT) {
            ReaderAction::WaitForRoom
        } else if self.server.connections.is_blocked_by(id, Blocked::RATE) {
            ReaderAction::Sleep(self.server.connections.rate_timeout())
        } else {
            ReaderAction::Yield
        }
    }
}
