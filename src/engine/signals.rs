//! SIGTERM, SIGINT and SIGHUP arrive as a byte in a socket that the poller watches. A second signal to stop ends the
//! process at once with exit code 1, whatever the server is doing. Signals that would otherwise end or stop the process
//! although they mean nothing to a server are ignored.
#![allow(unsafe_code)]

use log::info;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The receiver of signals.
#[derive(Debug)]
pub(super) struct Signals {
    /// Becomes readable with a signal.
    pub socket: UnixStream,
    /// The number of the last signal to stop that is not logged yet; 0 without one.
    last: Arc<AtomicUsize>,
    /// SIGHUP has arrived and is not logged yet.
    hangup: Arc<AtomicBool>,
}

impl Signals {
    /// Registers the handlers.
    pub fn watch() -> io::Result<Signals> {
        ignore_signals();
        let (socket, writer) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (last, hangup) = (Arc::default(), Arc::default());
        flag::register(SIGHUP, Arc::clone(&hangup))?;
        pipe::register(SIGHUP, writer.try_clone()?)?;
        for signal in [SIGTERM, SIGINT] {
            // Actions run in order of registration: the first signal only sets the flag.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&stopping))?;
            flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Signals { socket, last, hangup })
    }

    /// Empties the socket and logs what has arrived; returns whether a signal to stop is among it.
    pub fn receive(&mut self) -> bool {
        // Neither the bytes nor an error of the read matter.
        let _ = uninterrupted(|| self.socket.read(&mut [0; 16]));
        if self.hangup.swap(false, Ordering::Relaxed) {
            info!(target: "hangup", reason = "SIGHUP"; "SIGHUP: nothing to reload, flags are read at start alone");
        }
        let reason = match self.last.swap(0, Ordering::Relaxed) as i32 {
            0 => return false,
            SIGINT => "SIGINT",
            _ => "SIGTERM",
        };
        info!(target: "stopping", reason; "stopping: {reason}");
        true
    }
}

/// Ignores the signals of a file that has reached its limit of size (the write fails instead), of the terminal for a
/// server in the background, and those without a meaning here. Otherwise each of them would end or stop the process.
fn ignore_signals() {
    for signal in [libc::SIGXFSZ, libc::SIGTTIN, libc::SIGTTOU, libc::SIGUSR1, libc::SIGUSR2] {
        // SAFETY: signal(2) takes two numbers and may be called at any time; SIG_IGN runs no code of this process.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Makes a call, again after each interruption by a signal handler.
pub(super) fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
