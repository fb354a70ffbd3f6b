//! What is behind the lock: the server, and the links that it sends by. The rules are the server's, the same as the
//! reactor's; here is only what a reader, a writer and the main thread each do next. A slot is released by its reader alone,
//! which is its last user.

use super::input::Input;
use super::link::{Link, Links, Way};
use crate::limits::{IDLE_AFTER, Limits, MIN_DRAIN, WRITER_GRACE};
use crate::protocol::scheme::Scheme;
use crate::protocol::{ConnId, PeerAddr, Time};
use crate::server::Server;
use crate::server::driver::Driver;
use crate::server::peer::{Blocked, Phase};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The server, and all that must not change while it works. Between two holders of the lock nothing is dirty, no connection
/// is to be closed, and every queue holds only what its link didn't take.
#[derive(Debug)]
pub(super) struct State {
    server: Server,
    links: Links,
    stop_by: Arc<OnceLock<Instant>>,
    now: Time,
    /// When something was last read.
    active: Time,
    /// Memory was given back, and nothing was read since.
    is_idle: bool,
    /// When the main thread looks at the timers next.
    looks_at: Time,
}

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderAction {
    /// Read, for so long at most; `None`: for ever.
    Read(Option<Duration>),
    /// Wait until its own queue has room, then go on with its input.
    WaitForRoom,
    /// Blocked by rate: sleep so long, unless the connection is closed, then go on with its input.
    Sleep(Duration),
    /// Let others have the lock, then go on with its input.
    Yield,
    /// Nothing that it reads counts any more.
    Leave,
}

/// What the main thread does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MainAction {
    /// Wait so long; `None` until another thread wakes it up.
    Wait(Option<Duration>),
    /// Stop the server.
    Stop,
    /// The server was stopped, and no connection is left.
    Return,
}

/// What differs from the reactor: see docs/architecture.md, "Drivers".
fn driver(limits: &Limits, way: &Way) -> Driver {
    let shared = Driver { defers_presence: false, releases: true, polls: false, ..Driver::reactor(limits) };
    match way {
        // A thread that sends itself can't go on after a send that has failed.
        Way::Direct => Driver { max_unsent: 0, min_drain: MIN_DRAIN, ..shared },
        Way::Queued(_) => Driver { min_drain: WRITER_GRACE, sends_later: true, ..shared },
    }
}

impl State {
    pub fn new(limits: &Limits, way: &Way, stop_by: Arc<OnceLock<Instant>>) -> State {
        State {
            server: Server::new(limits.clone(), driver(limits, way)),
            links: Links::new(Arc::clone(&stop_by)),
            stop_by,
            now: Time::default(),
            active: Time::default(),
            is_idle: false,
            looks_at: Time::default(),
        }
    }

    /// A thread has the lock now.
    pub fn begin(&mut self, now: Time) {
        self.now = now;
        self.server.begin(now);
    }

    /// Takes a connection in, or tells it that it can't be; `None` where there is not even room for that.
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

    /// The line for a connection that there is no thread for.
    pub fn final_line(&self, scheme: Scheme) -> Vec<u8> {
        self.server.connections.final_line(scheme)
    }

    /// So many bytes have come, perhaps none: has the server process the input.
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

    /// No bytes have come for `--pause`: what is left may be a message.
    pub fn end_frame(&mut self, id: ConnId, input: &mut Input) -> ReaderAction {
        self.note_activity();
        if self.server.connections.is_readable(id) {
            let processed = self.server.end_frame(id, input.bytes(), &mut self.links);
            input.consume(processed.consumed);
        }
        self.next_action(id, input)
    }

    /// The stream has ended.
    pub fn end_of_stream(&mut self, id: ConnId, input: &mut Input) -> ReaderAction {
        self.note_activity();
        if self.is_open(id) {
            self.server.end_of_stream(id, input.bytes(), &mut self.links);
        }
        ReaderAction::Leave
    }

    /// A connection is broken.
    pub fn lost(&mut self, id: ConnId) {
        self.note_activity();
        self.server.connections.lost(id);
    }

    /// A writer has sent all that it was given.
    pub fn writable(&mut self, id: ConnId) {
        self.server.connections.writable(id);
    }

    /// A writer has sent the last, and shut down the sending side.
    pub fn shutdown_done(&mut self, id: ConnId) {
        self.server.connections.shutdown_done(id, &mut self.links);
    }

    /// The last that is done with a connection, by its reader.
    pub fn release(&mut self, id: ConnId) {
        self.server.release(id, &mut self.links);
        self.links.remove(id);
    }

    /// What was typed at the server's own terminal.
    pub fn console(&mut self, bytes: &[u8]) {
        self.server.console(bytes);
    }

    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Fires timers, and gives memory back once nothing has happened for a while.
    pub fn fire_timers(&mut self) {
        // A reader sleeps out the timeouts of its connection, so that none is left to act on.
        while self.server.fire_timers(&mut self.links).is_some() {}
        if !self.is_idle && self.active + IDLE_AFTER <= self.now {
            self.is_idle = true;
            self.server.trim();
            // What was counted and not written is said now: nothing else would wake the server up for it.
            log::logger().flush();
        }
    }

    pub fn flush_and_reap(&mut self) {
        self.server.flush_and_reap(&mut self.links);
        // Their readers go on by themselves: a thread that yields needs no list.
        self.server.connections.take_runnable();
    }

    /// What the main thread does next.
    pub fn main_action(&mut self) -> MainAction {
        if self.server.is_done() {
            return MainAction::Return;
        }
        let is_asked = self.server.is_asked_to_stop() || self.stop_by.get().is_some();
        if is_asked && !self.server.is_stopping() {
            return MainAction::Stop;
        }
        let due = self.due();
        self.looks_at = due.unwrap_or(Time::NEVER);
        MainAction::Wait(due.map(|at| self.now.until(at)))
    }

    /// Whether the main thread would oversleep; said once.
    pub fn is_due_sooner(&mut self) -> bool {
        let due = self.due().unwrap_or(Time::NEVER);
        let sooner = due < self.looks_at;
        self.looks_at = self.looks_at.min(due);
        sooner
    }

    /// Whether a connection's reader goes on sleeping. Its link wakes it when that may have changed.
    pub fn sleeps(&mut self, id: ConnId) -> bool {
        let sleeps = self.is_open(id);
        self.links.set_waiting(id, sleeps);
        sleeps
    }

    /// The same while it waits for room in its own queue.
    pub fn waits_for_room(&mut self, id: ConnId) -> bool {
        let waits = self.is_open(id) && self.server.connections.is_blocked_by(id, Blocked::OUTPUT);
        self.links.set_waiting(id, waits);
        waits
    }

    /// When the main thread is needed.
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

    /// What a reader does next, once what its input caused is flushed.
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
