//! `--engine threads` and `--engine threads-queued`: one or two threads per connection, over the hub, the parsers, the
//! queues and the limits of the reactor; only I/O differs. The reactor is measured against these engines. The main
//! thread is here: it accepts connections and fires timers.

mod channel;
mod connection;
mod direct;
mod input;
mod link;
mod queued;
mod shared;
mod state;

use super::context;
use super::listener::Listener;
use super::signals::Signals;
use super::sockets::end_of_console;
use crate::cli::{Engine, ServeOptions};
use crate::limits::{
    ACCEPTS_PER_TURN, Limits, MAPPINGS_PER_THREAD, MAX_ACCEPT_BACKOFF, MAX_REJECTED, MIN_ACCEPT_BACKOFF,
    READ, THREAD_STACK,
};
use crate::protocol::PeerAddr;
use crate::protocol::scheme::Scheme;
use crate::server::log_events;
use channel::Channel;
use link::{Link, SendMode};
use log::{info, warn};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use shared::Shared;
use socket2::Socket;
use state::MainAction;
use std::io::{self, ErrorKind, Read, Stdin};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The main thread, and the sources that it waits for.
struct Acceptor {
    shared: Arc<Shared>,
    /// Each connection has a writer thread.
    queued: bool,
    listeners: Vec<ListenerState>,
    /// Readable once another thread has armed an earlier timer, or a signal has come.
    wakes: UnixStream,
    /// Standard input, until it ends.
    console: Option<Stdin>,
    stopping: bool,
}

/// A listener, which isn't watched until `backoff_until`; the backoff doubles with each failure to accept.
struct ListenerState {
    listener: Listener,
    backoff_until: Option<Instant>,
    /// Zero since a connection was accepted.
    backoff: Duration,
}

/// A source that can be ready.
#[derive(Clone, Copy)]
enum Source {
    Wakes,
    Console,
    Listener(usize),
}

/// Rejects a datagram listener in an engine with threads.
///
/// # Errors
/// `Unsupported`, with the URL of the listener.
pub(super) fn refuse_udp(options: &ServeOptions) -> io::Result<()> {
    let udp = options.listen.iter().find(|url| url.scheme == Scheme::Udp);
    if let (Some(url), Some(_)) = (udp, threads_per_connection(options.engine)) {
        let why =
            format!("can't listen on {url}: engines with threads serve streams, udp needs --engine reactor");
        return Err(io::Error::new(ErrorKind::Unsupported, why));
    }
    Ok(())
}

/// Returns the maximum number of connections, if threads allow fewer than `by_descriptors`.
pub(super) fn max_connections(options: &ServeOptions, by_descriptors: usize) -> Option<usize> {
    let threads_each = threads_per_connection(options.engine)?;
    let mappings = max_mappings()?;
    let (asked, max) = (options.max_connections, connections_within(mappings, threads_each));
    if max >= by_descriptors {
        return None;
    }
    if asked > max {
        warn!(target: "clamped", asked, max, mappings;
            "--max-connections {asked} is clamped to {max}: the process may have {mappings} mappings \
            (vm.max_map_count), which threads take");
    }
    Some(if asked == 0 { max } else { asked.min(max) })
}

/// Returns the number of threads per connection; `None` in the reactor.
fn threads_per_connection(engine: Engine) -> Option<usize> {
    match engine {
        Engine::Reactor => None,
        Engine::Threads => Some(1),
        Engine::ThreadsQueued => Some(2),
    }
}

/// Returns the maximum number of connections of a process with `mappings`, less a reserve. A thread that lacks mappings
/// ends the process while it starts, so there must always be enough.
fn connections_within(mappings: usize, threads_each: usize) -> usize {
    (mappings / 16 * 15 / (MAPPINGS_PER_THREAD * threads_each)).saturating_sub(MAX_REJECTED).max(1)
}

/// Returns the maximum number of mappings of the process, if there is one (vm.max_map_count of proc_sys_vm(5)).
fn max_mappings() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

/// Serves until it is asked to stop.
pub(super) fn serve(
    listeners: Vec<Listener>,
    signals: Signals,
    console: bool,
    queued: bool,
    limits: Limits,
) -> io::Result<()> {
    let (wakes, waker) = UnixStream::pair()?;
    wakes.set_nonblocking(true)?;
    waker.set_nonblocking(true)?;
    let with_state = |listener| ListenerState { listener, backoff_until: None, backoff: Duration::ZERO };
    let send_mode = if queued { SendMode::Queued(Channel::new(&limits)) } else { SendMode::Direct };
    let mut acceptor = Acceptor {
        shared: Arc::new(Shared::new(limits, &send_mode, waker)),
        queued,
        listeners: listeners.into_iter().map(with_state).collect(),
        wakes,
        console: console.then(io::stdin),
        stopping: false,
    };
    watch_signals(signals, Arc::clone(&acceptor.shared))?;
    #[cfg(target_os = "linux")]
    super::pages::release_startup_code();
    loop {
        let action = acceptor.shared.turn(|state| {
            state.fire_timers();
            state.flush_and_reap();
            state.main_action()
        });
        match action {
            MainAction::Return => return Ok(()),
            MainAction::Stop => acceptor.stop(),
            MainAction::Wait(timeout) => {
                let ready = acceptor.wait(timeout).map_err(|error| context("can't poll", &error))?;
                ready.into_iter().for_each(|source| acceptor.on_ready(source));
            }
        }
    }
}

/// Starts a thread that waits for the first signal to stop. The main thread may be blocked by the lock of the state, and the
/// thread with the lock shortens its sends only once the stop is known.
fn watch_signals(mut signals: Signals, shared: Arc<Shared>) -> io::Result<()> {
    signals.socket.set_nonblocking(false)?;
    let watch = move || {
        while !signals.receive() {}
        shared.drain();
    };
    spawn(watch).map(drop)
}

/// Starts a thread with the stack size of all threads.
fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().stack_size(THREAD_STACK).spawn(body)
}

impl Acceptor {
    /// Waits for at most `timeout` (`None`: for ever); returns the sources that are ready.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let now = Instant::now();
        let mut sources = vec![Source::Wakes];
        let mut timeout = timeout;
        if self.console.is_some() {
            sources.push(Source::Console);
        }
        for (index, listener) in self.listeners.iter().enumerate().filter(|_| !self.stopping) {
            match listener.backoff_until {
                Some(until) if until > now => {
                    let left = until - now;
                    timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
                }
                _ => sources.push(Source::Listener(index)),
            }
        }
        let watch = |source: &Source| {
            let descriptor = match source {
                Source::Wakes => self.wakes.as_fd(),
                Source::Listener(index) => self.listeners[*index].listener.descriptor(),
                Source::Console => self.console.as_ref().map_or(self.wakes.as_fd(), Stdin::as_fd),
            };
            PollFd::from_borrowed_fd(descriptor, PollFlags::IN)
        };
        let mut watched: Vec<PollFd<'_>> = sources.iter().map(watch).collect();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = sources.iter().zip(&watched).filter(|(_, at)| !at.revents().is_empty());
        Ok(ready.map(|(source, _)| *source).collect())
    }

    fn on_ready(&mut self, source: Source) {
        match source {
            Source::Wakes => {
                let _ = self.wakes.read(&mut [0; 16]);
            }
            Source::Console => self.receive_console(),
            Source::Listener(index) => self.accept(index),
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.shared.stop();
    }

    fn receive_console(&mut self) {
        let Some(console) = &self.console else { return };
        let mut buffer = vec![0; READ];
        let read = rustix::io::read(console, &mut buffer[..]);
        if let Some(reason) = end_of_console(&read) {
            self.console = None;
            info!(target: "console", reason = reason.as_str(); "--console hears nothing more: {reason}");
        } else if let Ok(bytes) = read
            && !self.stopping
        {
            self.shared.turn(|state| state.console(&buffer[..bytes]));
        }
    }

    /// Accepts the connections that wait, at most [`ACCEPTS_PER_TURN`] at a time.
    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.stopping {
                return;
            }
            let state = &mut self.listeners[index];
            match state.listener.accept() {
                Ok((socket, from)) => {
                    let scheme = state.listener.scheme();
                    if !std::mem::take(&mut state.backoff).is_zero() {
                        log_events::accept_resumed(scheme.name());
                    }
                    // An error means that the connection is gone already.
                    let _ = self.start_connection(scheme, socket, from);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    if state.backoff.is_zero() {
                        log_events::accept_paused(state.listener.scheme().name(), &error);
                    }
                    state.backoff = (state.backoff * 2).clamp(MIN_ACCEPT_BACKOFF, MAX_ACCEPT_BACKOFF);
                    state.backoff_until = Some(Instant::now() + state.backoff);
                    return;
                }
            }
        }
    }

    /// Opens an accepted connection, and starts its reader thread.
    fn start_connection(&self, scheme: Scheme, socket: Socket, from: PeerAddr) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        let send_mode = if self.queued {
            SendMode::Queued(Channel::new(&self.shared.limits))
        } else {
            direct::prepare(&socket)?;
            SendMode::Direct
        };
        let link = Arc::new(Link { socket, send_mode, wake: Condvar::new() });
        let Some(id) = self.shared.turn(|state| state.accept(scheme, from, Arc::clone(&link))) else {
            return Ok(());
        };
        let (shared, its_link) = (Arc::clone(&self.shared), Arc::clone(&link));
        if let Err(error) = spawn(move || connection::run(&shared, id, &its_link, scheme)) {
            connection::reject(&self.shared, &link, scheme, &error);
            self.shared.turn(|state| state.release(id));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_count_fits_the_mappings() {
        for (mappings, each) in [(65_530, 1), (65_530, 2), (1000, 2), (0, 1), (usize::MAX, 1)] {
            let max = connections_within(mappings, each);
            let threads = (max + MAX_REJECTED).saturating_mul(each);
            assert!(max == 1 || threads <= mappings / MAPPINGS_PER_THREAD, "{mappings} by {each}: {max}");
        }
        assert_eq!(connections_within(65_530, 2), 7662);
    }
}
