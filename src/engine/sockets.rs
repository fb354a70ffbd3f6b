//! [`Sockets`] over `polling`. This type owns every descriptor that the poller knows, so that it alone can promise to
//! take each out of the poller before it is closed: `polling` asks for that promise by being `unsafe` to add to.
#![allow(unsafe_code)]

use super::listener::Listener;
use super::log;
use super::wait::{Report, Reports};
use crate::message::{ConnId, Origin};
use crate::reactor::{Interest, Ready, Sockets};
use crate::timers::Time;
use polling::{AsRawSource, Event, PollMode, Poller};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The key of the socket that signals arrive in. Connections have their ids as keys, which are 32 bits; listeners count
/// down from below this one, which is below the key that the poller keeps for itself.
const SIGNALS: usize = usize::MAX - 1;

/// The poller and all that it watches.
pub(super) struct PolledSockets {
    poller: Poller,
    reports: Reports,
    /// How the poller reports: again and again while something is ready, where it can. Otherwise once, and then it must
    /// be asked again.
    mode: PollMode,
    listeners: Vec<Listener>,
    signals: UnixStream,
    /// By id. Each is in the poller, and leaves it before it leaves here.
    streams: Vec<Option<Stream>>,
    started: Instant,
}

#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    interest: Interest,
}

impl PolledSockets {
    /// Watches listeners, and signals.
    pub fn new(listeners: Vec<Listener>, signals: UnixStream) -> io::Result<PolledSockets> {
        let poller = Poller::new()?;
        let mode = if poller.supports_level() { PollMode::Level } else { PollMode::Oneshot };
        let sockets = PolledSockets {
            poller,
            reports: Reports::new(),
            mode,
            listeners,
            signals,
            streams: Vec::new(),
            started: Instant::now(),
        };
        sockets.add(&sockets.signals, Event::readable(SIGNALS))?;
        for (place, listener) in sockets.listeners.iter().enumerate() {
            sockets.add(listener.socket(), Event::readable(listener_key(place)))?;
        }
        Ok(sockets)
    }

    fn add(&self, source: impl AsRawSource, event: Event) -> io::Result<()> {
        // SAFETY: the source must be deleted from the poller before it is dropped. Every source is a field of this type
        // or becomes an entry of `streams` once this has succeeded. A stream leaves through `close`, which deletes it
        // first; all else, and what streams are left, is deleted by `drop`.
        unsafe { self.poller.add_with_mode(source, event, self.mode) }
    }

    fn stream(&mut self, id: ConnId) -> io::Result<&mut Stream> {
        let stream = self.streams.get_mut(id.index()).and_then(Option::as_mut);
        stream.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Has a poller that reports only once report again.
    fn ask_again(&mut self) {
        for report in self.reports.iter() {
            let asked = match (report.key, self.listeners.get(listener_place(report.key))) {
                (SIGNALS, _) => {
                    self.poller.modify_with_mode(&self.signals, Event::readable(SIGNALS), self.mode)
                }
                (key, Some(at)) => self.poller.modify_with_mode(at.socket(), Event::readable(key), self.mode),
                (key, None) => match self.streams.get(key).and_then(Option::as_ref) {
                    Some(at) => {
                        self.poller.modify_with_mode(&at.socket, interest(key, at.interest), self.mode)
                    }
                    None => Ok(()),
                },
            };
            if let Err(error) = asked {
                log(format_args!("the poller lost a descriptor: {error}"));
            }
        }
    }
}

impl Sockets for PolledSockets {
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.reports.wait(&self.poller, timeout)?;
        for Report { key, read, write, hangup } in self.reports.iter() {
            ready.push(match key {
                SIGNALS => {
                    // Whatever came, and whether it can be read: it says the same.
                    let _ = self.signals.read(&mut [0; 16]);
                    Ready::Stop
                }
                key if listener_place(key) < self.listeners.len() => Ready::Listener(listener_place(key)),
                key => Ready::Connection { id: ConnId(key as u32), read, write, hangup },
            });
        }
        if matches!(self.mode, PollMode::Oneshot) {
            self.ask_again();
        }
        Ok(())
    }

    fn accept(&mut self, listener: usize, id: ConnId) -> io::Result<Origin> {
        let (socket, from) = match self.listeners[listener].accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) {
                    log(format_args!("can't accept a connection: {error}"));
                }
                return Err(error);
            }
        };
        let open = Interest { read: true, write: false };
        self.add(&socket, interest(id.index(), open))?;
        if self.streams.len() <= id.index() {
            self.streams.resize_with(id.index() + 1, || None);
        }
        debug_assert!(self.streams[id.index()].is_none());
        self.streams[id.index()] = Some(Stream { socket, interest: open });
        Ok(from)
    }

    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = &mut self.stream(id)?.socket;
        uninterrupted(|| socket.read(buffer))
    }

    fn send(&mut self, id: ConnId, bytes: &[u8]) -> io::Result<usize> {
        let socket = &mut self.stream(id)?.socket;
        uninterrupted(|| socket.write(bytes))
    }

    fn watch(&mut self, id: ConnId, wanted: Interest) -> io::Result<()> {
        self.stream(id)?.interest = wanted;
        match self.streams.get(id.index()).and_then(Option::as_ref) {
            Some(at) => self.poller.modify_with_mode(&at.socket, interest(id.index(), wanted), self.mode),
            None => Ok(()),
        }
    }

    fn listen(&mut self, listener: usize, on: bool) -> io::Result<()> {
        let key = listener_key(listener);
        let event = if on { Event::readable(key) } else { Event::none(key) };
        self.poller.modify_with_mode(self.listeners[listener].socket(), event, self.mode)
    }

    fn shut(&mut self, id: ConnId) {
        if let Ok(stream) = self.stream(id) {
            let _ = stream.socket.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, id: ConnId) {
        if let Some(stream) = self.streams.get_mut(id.index()).and_then(Option::take)
            && let Err(error) = self.poller.delete(&stream.socket)
        {
            log(format_args!("the poller keeps a closed descriptor: {error}"));
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Drop for PolledSockets {
    fn drop(&mut self) {
        for stream in self.streams.drain(..).flatten() {
            let _ = self.poller.delete(&stream.socket);
        }
        for listener in &self.listeners {
            let _ = self.poller.delete(listener.socket());
        }
        let _ = self.poller.delete(&self.signals);
    }
}

fn listener_key(place: usize) -> usize {
    SIGNALS - 1 - place
}

/// The inverse of [`listener_key`]; for other keys a place that no listener has.
fn listener_place(key: usize) -> usize {
    (SIGNALS - 1).wrapping_sub(key)
}

fn interest(key: usize, interest: Interest) -> Event {
    Event::new(key, interest.read, interest.write)
}

/// A call that a signal handler interrupted is made again.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
