//! `--engine threads`: the thread of whoever speaks sends into the recipients' sockets, as most tutorials do, and holds
//! the hub's lock while it does. Everyone waits for a recipient that doesn't read, at most [`TOO_SLOW_AFTER`].

use crate::limits::{MIN_DRAIN, TOO_SLOW_AFTER};
use socket2::Socket;
use std::io::{self, ErrorKind, Write};
use std::time::Instant;

/// Makes every send on a socket end in time.
pub(super) fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_write_timeout(Some(TOO_SLOW_AFTER))
}

/// Sends, and waits until the kernel has taken everything or the time for that is over; how much it has taken. While the
/// server stops, that is `stop_by`.
pub(super) fn send(mut socket: &Socket, bytes: &[u8], stop_by: Option<Instant>) -> io::Result<usize> {
    let now = Instant::now();
    let mut wait = TOO_SLOW_AFTER;
    if let Some(stop_by) = stop_by {
        wait = wait.min(stop_by.saturating_duration_since(now)).max(MIN_DRAIN);
        socket.set_write_timeout(Some(wait))?;
    }
    let mut taken = 0;
    // The kernel's timeout is for one send, which may take a byte and be made again.
    while taken < bytes.len() && now.elapsed() < wait {
        match socket.write(&bytes[taken..]) {
            Ok(sent) => taken += sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
