//! `--engine threads`: the thread of the sending connection writes to the sockets of the recipients, as in most
//! tutorials, under the lock of the hub. A recipient that doesn't read blocks all others, at most [`TOO_SLOW_AFTER`].

use crate::limits::{MIN_DRAIN, TOO_SLOW_AFTER};
use socket2::Socket;
use std::io::{self, ErrorKind, Write};
use std::time::Instant;

/// Sets the write timeout of a socket.
pub(super) fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_write_timeout(Some(TOO_SLOW_AFTER))
}

/// Sends, and waits until the kernel has accepted all bytes or the time is over; returns the number of accepted bytes.
/// While the server stops, the time ends at `stop_by`.
pub(super) fn send(mut socket: &Socket, bytes: &[u8], stop_by: Option<Instant>) -> io::Result<usize> {
    let now = Instant::now();
    let mut wait = TOO_SLOW_AFTER;
    if let Some(stop_by) = stop_by {
        wait = wait.min(stop_by.saturating_duration_since(now)).max(MIN_DRAIN);
        socket.set_write_timeout(Some(wait))?;
    }
    let mut accepted = 0;
    // The kernel's timeout is per send, and each send may accept a single byte.
    while accepted < bytes.len() && now.elapsed() < wait {
        match socket.write(&bytes[accepted..]) {
            Ok(sent) => accepted += sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(accepted)
}
