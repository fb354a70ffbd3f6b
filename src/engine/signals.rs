//! SIGTERM and SIGINT arrive as a byte in a socket that the poller watches. A second one ends the process at once with
//! exit code 1, whatever it is doing.

use log::info;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a signal is heard by.
#[derive(Debug)]
pub(super) struct Signals {
    /// Becomes readable with the first one.
    pub socket: UnixStream,
    /// Which came last.
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Signals are heard from now on.
    pub fn watch() -> io::Result<Signals> {
        let (socket, writer) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let last = Arc::default();
        for signal in [SIGTERM, SIGINT] {
            // Actions run in the order in which they are registered: the first signal only sets the flag.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&stopping))?;
            flag::register_usize(signal, Arc::clone(&last), signal as usize)?;
            pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Signals { socket, last })
    }

    /// Takes what has come out of the socket, and says in the log which signal it was.
    pub fn receive(&mut self) {
        // Whatever came, and whether it can be read: it says the same.
        let _ = uninterrupted(|| self.socket.read(&mut [0; 16]));
        let reason = match self.last.load(Ordering::Relaxed) as i32 {
            SIGINT => "SIGINT",
            _ => "SIGTERM",
        };
        info!(target: "stopping", reason; "stopping: {reason}");
    }
}

/// A call that a signal handler interrupted is made again.
pub(super) fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
