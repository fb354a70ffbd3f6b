//! SIGTERM and SIGINT arrive as a byte in a socket that the poller watches. A second one ends the process at once with
//! exit code 1, whatever it is doing.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The socket that becomes readable with the first signal.
pub(super) fn watch() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // Actions run in the order in which they are registered: the first signal only sets the flag.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
        pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}
