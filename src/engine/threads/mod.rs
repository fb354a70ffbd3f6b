//! `--engine threads` and `--engine threads-queued`: a thread for each connection, or two, over the hub, the parsers, the
//! queues and the limits that the reactor has; only the moving of bytes differs. They are what the reactor is measured
//! against. The main thread is here: it accepts, and keeps the deadlines.

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
use link::{Link, Way};
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

/// The main thread, and what it waits for.
struct Acceptor {
    shared: Arc<Shared>,
    /// Each connection has a writer thread.
    queued: bool,
    schemes: Vec<Entrance>,
    /// Other threads have something due, or a signal has come.
    wakes: UnixStream,
    /// Standard input, until it ends.
    console: Option<Stdin>,
    stopping: bool,
}

/// A listener, which rests until then if the system refused a connection; next time longer.
struct Entrance {
    listener: Listener,
    until: Option<Instant>,
    pause: Duration,
}

/// What can be ready.
#[derive(Clone, Copy)]
enum Source {
    Wakes,
    Console,
    Entrance(usize),
}

/// Refuses an engine with threads where a listener is for datagrams.
///
/// # Errors
/// `Unsupported`, with the URL of the listener.
pub(super) fn refuse_udp(options: &ServeOptions) -> io::Result<()> {
    let udp = options.listen.iter().find(|url| url.door == Scheme::Udp);
    if let (Some(url), Some(_)) = (udp, threads_each(options.engine)) {
        let why =
            format!("can't listen on {url}: engines with threads serve streams, udp needs --engine reactor");
        return Err(io::Error::new(ErrorKind::Unsupported, why));
    }
    Ok(())
}

/// The connections that there may be, if their threads allow fewer than `by_descriptors`.
pub(super) fn connections(options: &ServeOptions, by_descriptors: usize) -> Option<usize> {
    let threads_each = threads_each(options.engine)?;
    let mappings = most_mappings()?;
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

/// The threads of a connection; `None` in the reactor.
fn threads_each(engine: Engine) -> Option<usize> {
    match engine {
        Engine::Reactor => None,
        Engine::Threads => Some(1),
        Engine::ThreadsQueued => Some(2),
    }
}

/// Connections of so many threads each, when the process may have so many mappings, of which a part is kept back. A thread
/// that can't have its own ends the process while it starts, so there must always be enough.
fn connections_within(mappings: usize, threads_each: usize) -> usize {
    (mappings / 16 * 15 / (MAPPINGS_PER_THREAD * threads_each)).saturating_sub(MAX_REJECTED).max(1)
}

/// How many mappings the process may have, where the system says so (vm.max_map_count of proc_sys_vm(5)).
fn most_mappings() -> Option<usize> {
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
    let schemes =
        listeners.into_iter().map(|listener| Entrance { listener, until: None, pause: Duration::ZERO });
    let way = if queued { Way::Queued(Channel::new(&limits)) } else { Way::Direct };
    let mut acceptor = Acceptor {
        shared: Arc::new(Shared::new(limits, &way, waker)),
        queued,
        schemes: schemes.collect(),
        wakes,
        console: console.then(io::stdin),
        stopping: false,
    };
    watch_signals(signals, Arc::clone(&acceptor.shared))?;
    #[cfg(target_os = "linux")]
    super::pages::forget_start();
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

/// A thread that waits for the first signal. The main thread may have to wait for the lock first, whose holder only hurries
/// once that is known.
fn watch_signals(mut signals: Signals, shared: Arc<Shared>) -> io::Result<()> {
    signals.socket.set_nonblocking(false)?;
    let watch = move || {
        signals.receive();
        shared.drain();
    };
    spawn(watch).map(drop)
}

/// A thread of the size that all have.
fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().stack_size(THREAD_STACK).spawn(body)
}

impl Acceptor {
    /// Waits until something is ready, or so long.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Source>> {
        let now = Instant::now();
        let mut sources = vec![Source::Wakes];
        let mut timeout = timeout;
        if self.console.is_some() {
            sources.push(Source::Console);
        }
        for (index, door) in self.schemes.iter().enumerate().filter(|_| !self.stopping) {
            match door.until {
                Some(until) if until > now => {
                    let left = until - now;
                    timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
                }
                _ => sources.push(Source::Entrance(index)),
            }
        }
        let watch = |source: &Source| {
            let descriptor = match source {
                Source::Wakes => self.wakes.as_fd(),
                Source::Entrance(index) => self.schemes[*index].listener.descriptor(),
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
            Source::Entrance(index) => self.accept(index),
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

    /// Accepts whoever knocks, up to so many at a time.
    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.stopping {
                return;
            }
            let door = &mut self.schemes[index];
            match door.listener.accept() {
                Ok((socket, from)) => {
                    let pause = std::mem::take(&mut door.pause);
                    let door = door.listener.scheme();
                    if !pause.is_zero() {
                        log_events::accept_resumed(door.name());
                    }
                    // Whoever is gone again isn't missed.
                    let _ = self.welcome(door, socket, from);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    if door.pause.is_zero() {
                        log_events::accept_paused(door.listener.scheme().name(), &error);
                    }
                    door.pause = (door.pause * 2).clamp(MIN_ACCEPT_BACKOFF, MAX_ACCEPT_BACKOFF);
                    door.until = Some(Instant::now() + door.pause);
                    return;
                }
            }
        }
    }

    /// Takes one in, and starts its thread.
    fn welcome(&self, door: Scheme, socket: Socket, from: PeerAddr) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        let way = if self.queued {
            Way::Queued(Channel::new(&self.shared.limits))
        } else {
            direct::prepare(&socket)?;
            Way::Direct
        };
        let link = Arc::new(Link { socket, way, wake: Condvar::new() });
        let Some(id) = self.shared.turn(|state| state.accept(door, from, Arc::clone(&link))) else {
            return Ok(());
        };
        let (shared, its_link) = (Arc::clone(&self.shared), Arc::clone(&link));
        if let Err(error) = spawn(move || connection::run(&shared, id, &its_link, door)) {
            connection::reject(&self.shared, &link, door, &error);
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
