//! Log events, shared by all engines: the level, the stable word (the target of the record) and the keys of each. Names
//! are logged; texts and typed reasons are not. `engine/log_sink.rs` decides format and number of lines.

use crate::protocol::PeerAddr;
use log::{debug, info, warn};
use std::io;
use std::time::Duration;

/// A connection was admitted.
pub fn accepted(connection: u64, from: PeerAddr, scheme: &str) {
    debug!(target: "accepted", connection, address = from.to_string().as_str(), scheme;
        "connection {connection} from {from} by {scheme}");
}

/// A connection of an operator was admitted.
pub fn operator(connection: u64) {
    info!(target: "operator", connection; "connection {connection} is an operator");
}

/// A connection has registered.
pub fn registered(connection: u64, from: Option<PeerAddr>, nick: &str) {
    match from {
        Some(from) => info!(target: "registered", connection, address = from.to_string().as_str(), nick;
            "connection {connection} from {from} registered as {nick}"),
        // The connection is broken already.
        None => info!(target: "registered", connection, nick; "connection {connection} registered as {nick}"),
    }
}

/// A connection has left, registered or not. `reason` is a word and never text typed by a peer or an operator.
pub fn left(connection: u64, nick: Option<&str>, reason: &str, operator: Option<u64>) {
    let by = operator.map(|operator| format!(" by operator {operator}")).unwrap_or_default();
    match nick {
        Some(nick) => info!(target: "left", connection, nick, reason, operator;
            "connection {connection}, {nick}, left: {reason}{by}"),
        None => {
            debug!(target: "left", connection, reason; "connection {connection} left without a name: {reason}")
        }
    }
}

/// The longest unregistered connection is closed, because too many are unregistered.
pub fn evicted(connection: u64) {
    warn!(target: "evicted", connection; "connection {connection} is evicted: too many connections are unregistered");
}

/// A connection is about to be closed, because its peer doesn't read.
pub fn too_slow(connection: u64, nick: Option<&str>, unsent: usize) {
    warn!(target: "too-slow", connection, nick, bytes = unsent;
        "connection {connection}{} is too slow: {unsent} bytes unsent", named(nick));
}

/// The connection with the largest queue is about to be closed, because all queues together are above their limit.
pub fn shed(connection: u64, nick: Option<&str>, unsent: usize) {
    warn!(target: "queues-full", connection, nick, bytes = unsent;
        "all queues are above --queue-total: connection {connection}{} goes, with {unsent} bytes unsent", named(nick));
}

/// An operator has made an announcement.
pub fn announced(operator: u64, count: usize) {
    info!(target: "announced", operator, count; "operator {operator} made an announcement to {count}");
}

/// An operator has stopped the server.
pub fn stopping(operator: u64) {
    info!(target: "stopping", reason = "operator", operator; "stopping: operator {operator} said so");
}

/// An accepted connection was rejected, with a refusal code.
pub fn refused(from: PeerAddr, code: &str) {
    warn!(target: "refused", address = from.to_string().as_str(), reason = code; "refused {from}: {code}");
}

/// Accepting at a listener failed, so the listener backs off. Logged once until the listener accepts again.
pub fn accept_paused(scheme: &str, error: &io::Error) {
    warn!(target: "accept-paused", scheme, reason = error.to_string().as_str();
        "can't accept connections by {scheme}, trying again: {error}");
}

/// The listener accepts again.
pub fn accept_resumed(scheme: &str) {
    info!(target: "accept-resumed", scheme; "connections by {scheme} are accepted again");
}

/// The server has stopped, after `took`; `cut_off` connections were closed with unsent output.
pub fn stopped(took: Duration, cut_off: usize) {
    let ms = took.as_millis() as u64;
    info!(target: "stopped", ms, count = cut_off; "stopped after {ms} ms, {cut_off} connections were cut off");
}

/// Formats a name that follows the number of a connection.
fn named(nick: Option<&str>) -> String {
    nick.map(|nick| format!(", {nick},")).unwrap_or_default()
}
