//! Registered peers of a simulated server, and its figures: the preparation of tests about other subjects.

use crate::{PeerNo, Sim};

/// Connects a peer at the first listener and registers it; nothing is left unread.
pub fn register(sim: &mut Sim, name: &str) -> PeerNo {
    let peer = sim.connect();
    sim.send(peer, format!("#{name}\n"));
    sim.run();
    sim.take(peer);
    peer
}

/// Registers several peers in this order; none has unread output.
pub fn register_all<const N: usize>(sim: &mut Sim, names: [&str; N]) -> [PeerNo; N] {
    let peers = names.map(|name| register(sim, name));
    peers.iter().for_each(|peer| _ = sim.take(*peer));
    peers
}

/// Returns a figure of `/stats`, which this operator requests.
///
/// # Panics
/// If there is no figure with this key.
pub fn stat(sim: &mut Sim, operator: PeerNo, key: &str) -> usize {
    sim.take(operator);
    sim.send(operator, "/stats\n");
    sim.run();
    let start = format!("+stats {key} ");
    let lines = sim.lines(operator);
    let line = lines.iter().find_map(|line| line.strip_prefix(&start));
    line.and_then(|value| value.parse().ok()).expect("/stats has this key")
}
