//! SIGTERM and SIGINT arrive as a byte in a socket that the poller watches. A second signal ends the process at once
//! with exit code 1, whatever the server is doing.

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The receiver of signals.
#[derive(Debug)]
pub(super) struct Signals {
    /// Becomes readable with the first signal.
    pub socket: UnixStream,
    /// The number of the last signal.
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Registers the handlers.
    pub fn watch() -> io::Result<Signals> {
        let (socket, writer) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let last = Arc::default();
        for signal in [SIGTERM, SIGINT] {
            // Actions run in order of registration: the first signal only sets the flag.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&stopping))?;
            flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Signals { socket, last })
    }

    /// Empties the socket, and logs the last signal.
    pub fn receive(&mut self) {
        // Neither the bytes nor an error of the read matter.
        let _ = uninterrupted(|| self.socket.read(&mut [0; 16]));
        let reason = match self.last.load(Ordering::Relaxed) as i32 {
            SIGINT => "SIGINT",
            _ => "SIGTERM",
        };
        info!(target: "stopping", reason; "stopping: {reason}");
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
