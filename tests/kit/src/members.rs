//! Members of a simulated server, for tests that are about something else.

use crate::{PeerNo, Sim};

/// Connects a peer at the first listener and registers it; nothing is left unread.
pub fn arrive(sim: &mut Sim, name: &str) -> PeerNo {
    let peer = sim.connect();
    sim.send(peer, format!("#{name}\n"));
    sim.run();
    sim.take(peer);
    peer
}

/// Several, in this order; none of them has anything unread.
pub fn arrive_all<const N: usize>(sim: &mut Sim, names: [&str; N]) -> [PeerNo; N] {
    let peers = names.map(|name| arrive(sim, name));
    peers.iter().for_each(|peer| _ = sim.take(*peer));
    peers
}

/// A figure of `/stats`, for which this operator asks.
pub fn figure(sim: &mut Sim, operator: PeerNo, key: &str) -> usize {
    sim.take(operator);
    sim.send(operator, "/stats\n");
    sim.run();
    let start = format!("+stats {key} ");
    let figures = sim.lines(operator);
    let line = figures.iter().find_map(|line| line.strip_prefix(&start));
    line.and_then(|value| value.parse().ok()).expect("there is such a figure")
}
