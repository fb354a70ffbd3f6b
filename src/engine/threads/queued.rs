//! The writer thread of a connection in `--engine threads-queued`: it sends the bytes of the connection's channel, and
//! never writes while it holds the lock of the state.

use super::channel::{Channel, WriterAction};
use super::link::Link;
use super::shared::Shared;
use crate::protocol::ConnId;
use std::io::Write;
use std::net::Shutdown;

/// Writes until all bytes are sent and the sending side is shut down, or the connection is broken.
pub(super) fn write(shared: &Shared, id: ConnId, link: &Link, channel: &Channel) {
    let mut bytes = Vec::new();
    loop {
        match channel.next(&mut bytes) {
            WriterAction::Send => {
                if (&link.socket).write_all(&bytes).is_err() {
                    return shared.turn(|state| state.lost(id));
                }
                bytes.clear();
            }
            WriterAction::Refill => shared.turn(|state| state.writable(id)),
            WriterAction::Shutdown => {
                link.shutdown(Shutdown::Write);
                return shared.turn(|state| state.shutdown_done(id));
            }
            WriterAction::Leave => return,
        }
    }
}
