//! [`Transport`] and [`Sockets`] over `polling`. `PolledSockets` owns every descriptor in the poller, so it alone can
//! promise to delete each from the poller before it is closed. `Poller::add` is `unsafe` because it needs that promise.
#![allow(unsafe_code)]

use super::listener::{self, Listener, classify_accept_error};
use super::poll::{Report, Reports, Spin, watch_end};
use super::signals::Signals;
use crate::limits::KIB;
use crate::protocol::{ConnId, PeerAddr, Time};
use crate::reactor::{NotAccepted, Ready, Sockets};
use crate::server::log_events;
use crate::server::transport::{DatagramPath, Interest, Reading, Shutdown as TransportShutdown, Transport};
use log::{error, info, warn};
use polling::{AsRawSource, AsSource, Event, PollMode, Poller};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, RecvFlags, SendFlags};
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Stdin, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The key of the signal socket, below the key that the poller reserves. Connections have their ids as keys, which are
/// 32 bits; listeners count down from below [`CONSOLE`].
const SIGNALS: usize = usize::MAX - 1;
/// The key of standard input.
const CONSOLE: usize = SIGNALS - 1;

/// Flags of the last send: its bytes leave in one packet with the end of the stream, where the system can delay them
/// until then (tcp(7), MSG_MORE).
#[cfg(any(target_os = "linux", target_os = "android"))]
const LAST_SEND: SendFlags = SendFlags::MORE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LAST_SEND: SendFlags = SendFlags::empty();

/// The poller and every descriptor that it watches.
pub(super) struct PolledSockets {
    poller: Poller,
    reports: Reports,
    spin: Spin,
    /// Level-triggered where the poller supports it. Otherwise one-shot, and each source is armed again after a report.
    mode: PollMode,
    listeners: Vec<Listener>,
    /// By listener: whether an accept failure was logged and no connection was accepted since.
    failure_logged: Vec<bool>,
    signals: Signals,
    /// A descriptor for `reject` to use where no other is left; `None` if it could not be reopened.
    spare: Option<UnixStream>,
    /// Standard input, while it is watched.
    console: Option<Stdin>,
    /// By id. Each is in the poller, and is deleted from it before it is removed here.
    streams: Vec<Option<Stream>>,
    started: Instant,
}

#[derive(Debug)]
struct Stream {
    socket: Socket,
    interest: Interest,
}

impl PolledSockets {
    /// Watches the listeners, the signals, and standard input if `console`.
    pub fn new(
        listeners: Vec<Listener>,
        signals: Signals,
        console: bool,
        spin: Duration,
    ) -> io::Result<PolledSockets> {
        let poller = Poller::new()?;
        let mode = if poller.supports_level() { PollMode::Level } else { PollMode::Oneshot };
        let mut sockets = PolledSockets {
            poller,
            reports: Reports::new(),
            spin: Spin::new(spin),
            mode,
            failure_logged: listeners.iter().map(|_| false).collect(),
            listeners,
            spare: signals.socket.try_clone().ok(),
            signals,
            console: None,
            streams: Vec::new(),
            started: Instant::now(),
        };
        sockets.add(&sockets.signals.socket, Event::readable(SIGNALS))?;
        for (index, listener) in sockets.listeners.iter().enumerate() {
            sockets.add(&listener.descriptor(), Event::readable(listener_key(index)))?;
        }
        if console {
            match sockets.add(&io::stdin(), Event::readable(CONSOLE)) {
                Ok(()) => sockets.console = Some(io::stdin()),
                // A file is always ready, so it can't be watched (epoll_ctl(2), EPERM). Its lines were written before
                // any user could receive them.
                Err(error) => {
                    warn!(target: "console", reason = error.to_string().as_str();
                        "standard input can't be watched, so --console hears nothing: {error}");
                }
            }
        }
        Ok(sockets)
    }

    fn add(&self, source: impl AsRawSource, event: Event) -> io::Result<()> {
        // SAFETY: the source must be deleted from the poller before it is dropped. Every source is a field of this type
        // or becomes an entry of `streams` once this has succeeded. `close` deletes a stream before it drops it; `drop`
        // deletes the remaining streams and all other sources.
        unsafe { self.poller.add_with_mode(source, event, self.mode) }
    }

    fn modify(&self, source: impl AsSource, event: Event) -> io::Result<()> {
        self.poller.modify_with_mode(source, event, self.mode)
    }

    /// Accepts one connection as `id`, and watches it.
    fn accept_as(&mut self, listener: usize, id: ConnId) -> io::Result<PeerAddr> {
        let (socket, from) = self.listeners[listener].accept()?;
        let open = Interest { read: Reading::Bytes, write: false };
        self.add(&socket, interest(id.index(), open))?;
        if self.streams.len() <= id.index() {
            self.streams.resize_with(id.index() + 1, || None);
        }
        debug_assert!(self.streams[id.index()].is_none());
        self.streams[id.index()] = Some(Stream { socket, interest: open });
        Ok(from)
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn stream(&mut self, id: ConnId) -> io::Result<&mut Stream> {
        let stream = self.streams.get_mut(id.index()).and_then(Option::as_mut);
        stream.ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Passes the interest in a connection to the poller.
    fn watch_stream(&self, index: usize) -> io::Result<()> {
        let Some(Stream { socket, interest: wanted }) = self.streams.get(index).and_then(Option::as_ref)
        else {
            return Ok(());
        };
        let event = interest(index, *wanted);
        match wanted.read {
            Reading::End => watch_end(&self.poller, socket.as_fd(), event, self.mode),
            Reading::Bytes | Reading::Nothing => self.modify(socket, event),
        }
    }

    /// Arms each reported source again, for a poller in one-shot mode.
    fn rearm(&mut self) {
        for report in self.reports.iter() {
            let armed = match (report.key, self.listeners.get(listener_index(report.key))) {
                (SIGNALS, _) => self.modify(&self.signals.socket, Event::readable(SIGNALS)),
                (CONSOLE, _) => {
                    self.console.as_ref().map_or(Ok(()), |at| self.modify(at, Event::readable(CONSOLE)))
                }
                (key, Some(at)) => self.modify(at.descriptor(), Event::readable(key)),
                (key, None) => self.watch_stream(key),
            };
            if let Err(error) = armed {
                error!(target: "poller", reason = error.to_string().as_str(); "the poller lost a descriptor: {error}");
            }
        }
    }
}

impl Transport for PolledSockets {
    fn send(&mut self, id: ConnId, bytes: &[u8], last: bool) -> io::Result<usize> {
        let socket = &self.stream(id)?.socket;
        let flags = if last { LAST_SEND } else { SendFlags::empty() };
        Ok(retry_on_intr(|| net::send(socket, bytes, flags))?)
    }

    fn shutdown(&mut self, id: ConnId) -> TransportShutdown {
        if let Ok(stream) = self.stream(id) {
            let _ = stream.socket.shutdown(Shutdown::Write);
        }
        TransportShutdown::Done
    }

    fn close(&mut self, id: ConnId) {
        if let Some(stream) = self.streams.get_mut(id.index()).and_then(Option::take)
            && let Err(error) = self.poller.delete(&stream.socket)
        {
            error!(target: "poller", reason = error.to_string().as_str(); "the poller keeps a closed descriptor: {error}");
        }
    }

    fn set_interest(&mut self, id: ConnId, interest: Interest) -> io::Result<()> {
        self.stream(id)?.interest = interest;
        self.watch_stream(id.index())
    }

    fn peer_addr(&self, id: ConnId) -> Option<PeerAddr> {
        listener::origin(&self.streams.get(id.index())?.as_ref()?.socket).ok()
    }

    fn send_to(&mut self, path: DatagramPath, bytes: &[u8]) -> io::Result<()> {
        self.listeners[path.listener].send_to(path.source, bytes)
    }
}

impl Sockets for PolledSockets {
    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<Time> {
        self.spin.wait(&mut self.reports, &self.poller, timeout)?;
        for Report { key, read, write, ended, hangup } in self.reports.iter() {
            ready.push(match key {
                SIGNALS if self.signals.receive() => Ready::Stop,
                SIGNALS => continue,
                CONSOLE => Ready::Console,
                key if listener_index(key) < self.listeners.len() => Ready::Listener(listener_index(key)),
                key => Ready::Connection { id: ConnId(key as u32), read, write, ended, hangup },
            });
        }
        if matches!(self.mode, PollMode::Oneshot) {
            self.rearm();
        }
        Ok(self.now())
    }

    fn accept(&mut self, listener: usize, id: ConnId) -> Result<PeerAddr, NotAccepted> {
        let scheme = self.listeners[listener].scheme().name();
        match self.accept_as(listener, id) {
            Ok(from) => {
                if std::mem::take(&mut self.failure_logged[listener]) {
                    log_events::accept_resumed(scheme);
                }
                if self.spare.is_none() {
                    self.spare = self.signals.socket.try_clone().ok();
                }
                Ok(from)
            }
            Err(error) => {
                let why = classify_accept_error(&error);
                if matches!(why, NotAccepted::NoDescriptor | NotAccepted::Failed)
                    && !std::mem::replace(&mut self.failure_logged[listener], true)
                {
                    log_events::accept_paused(scheme, &error);
                }
                Err(why)
            }
        }
    }

    fn reject(&mut self, listener: usize, line: &[u8]) -> io::Result<()> {
        self.spare = None;
        let accepted = self.listeners[listener].accept();
        let rejected = accepted.map(|(mut socket, from)| {
            log_events::refused(from, "no-descriptor");
            // Best effort: the connection is closed even if the line can't be sent. Its input is read before the
            // close, since unread input would reset the connection and destroy the line.
            let _ = socket.write(line);
            let _ = socket.shutdown(Shutdown::Write);
            let _ = socket.read(&mut [0; KIB]);
        });
        self.spare = self.signals.socket.try_clone().ok();
        rejected
    }

    fn recv(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = &self.stream(id)?.socket;
        let received = retry_on_intr(|| net::recv(socket, &mut *buffer, RecvFlags::empty()));
        Ok(received.map(|(bytes, _)| bytes)?)
    }

    fn recv_from(&mut self, listener: usize, buffer: &mut [u8]) -> io::Result<(usize, DatagramPath)> {
        let from = &self.listeners[listener];
        let (bytes, source) = from.recv_from(buffer)?;
        Ok((bytes, DatagramPath { listener, source, local: from.local() }))
    }

    fn set_listening(&mut self, listener: usize, on: bool) -> io::Result<()> {
        let key = listener_key(listener);
        let event = if on { Event::readable(key) } else { Event::none(key) };
        self.modify(self.listeners[listener].descriptor(), event)
    }

    fn read_console(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(console) = &mut self.console else { return Ok(0) };
        // Bypasses the buffer of the standard library, since the poller can't see its content.
        let bytes = rustix::io::read(&*console, buffer);
        if let Some(reason) = end_of_console(&bytes) {
            // The end changes nothing, but the poller would report it again and again.
            let _ = self.poller.delete(&*console);
            self.console = None;
            info!(target: "console", reason = reason.as_str(); "--console hears nothing more: {reason}");
        }
        Ok(bytes?)
    }

    fn trim(&mut self) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        super::pages::release_free_heap();
    }
}

impl Drop for PolledSockets {
    fn drop(&mut self) {
        for stream in self.streams.drain(..).flatten() {
            let _ = self.poller.delete(&stream.socket);
        }
        for listener in &self.listeners {
            let _ = self.poller.delete(listener.descriptor());
        }
        let _ = self.poller.delete(&self.signals.socket);
        if let Some(console) = &self.console {
            let _ = self.poller.delete(console);
        }
    }
}

/// Returns why standard input has ended, if a read shows that: its end, or an error, such as that of a background
/// process without its terminal.
pub(super) fn end_of_console(read: &rustix::io::Result<usize>) -> Option<String> {
    match read {
        Ok(0) => Some("end of input".to_owned()),
        Err(Errno::AGAIN | Errno::INTR) | Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

fn listener_key(index: usize) -> usize {
    CONSOLE - 1 - index
}

/// The inverse of [`listener_key`]; for other keys an index that no listener has.
fn listener_index(key: usize) -> usize {
    (CONSOLE - 1).wrapping_sub(key)
}

fn interest(key: usize, interest: Interest) -> Event {
    Event::new(key, interest.read == Reading::Bytes, interest.write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STREAM;

    #[test]
    fn a_stream_is_small() {
        assert_eq!(size_of::<Option<Stream>>(), STREAM);
    }
}
