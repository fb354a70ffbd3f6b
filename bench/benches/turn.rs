//! Measures the cost of a message in user space: the reactor's turn over sockets in memory, without system calls.
//! `cargo bench -p redpoll-bench --bench turn` prints nanoseconds per message: the median of 15 rounds, with minimum
//! and maximum.

use redpoll::limits::Limits;
use redpoll_kit::{PeerNo, Sim};
use std::time::Instant;

const ROUNDS: usize = 15;
const PAIRS: usize = 50;

/// A server and its registered peers.
struct World {
    sim: Sim,
    peers: Vec<PeerNo>,
}

impl World {
    fn new(names: &[String]) -> World {
        let mut sim = Sim::new(Limits { quiet_above: Some(1), rate: None, ..Limits::default() });
        let arrive = |name| {
            let peer = sim.connect();
            sim.send(peer, format!("#{name}\n"));
            sim.run();
            peer
        };
        let peers: Vec<PeerNo> = names.iter().map(arrive).collect();
        assert_eq!(sim.reactor().server().hub().registered(), names.len());
        let mut world = World { sim, peers };
        world.received();
        world
    }

    /// Returns the number of bytes received by all peers since the last call.
    fn received(&mut self) -> usize {
        let World { sim, peers } = self;
        peers.iter().map(|peer| sim.sockets().peer(*peer).forget_output()).sum()
    }

    /// Sends each peer's line in batches of `batch`. Returns nanoseconds per line.
    fn measure(
        &mut self,
        lines: &[String],
        batch: usize,
        total: usize,
        expected: impl Fn(usize) -> usize,
    ) -> f64 {
        let input: Vec<String> = lines.iter().map(|line| line.repeat(batch)).collect();
        let rounds = total / (batch * lines.len());
        let start = Instant::now();
        let mut received = 0;
        for _ in 0..rounds {
            for (peer, bytes) in self.peers.iter().zip(&input) {
                self.sim.send(*peer, bytes);
            }
            self.sim.run();
            received += self.received();
        }
        let sent = rounds * batch * lines.len();
        let nanos = start.elapsed().as_nanos() as f64 / sent as f64;
        assert_eq!(received, expected(sent), "every message arrives");
        nanos
    }
}

/// Returns whether the command line selects this benchmark by a part of its name; without arguments all are selected.
fn is_asked(what: &str) -> bool {
    let mut asked = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    asked.peek().is_none() || asked.any(|word| what.contains(&word))
}

fn report(what: &str, mut round: impl FnMut() -> f64) {
    round();
    let mut nanos: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    nanos.sort_by(f64::total_cmp);
    println!("{what:<58} {:>6.1} ns   ({:.1} to {:.1})", nanos[ROUNDS / 2], nanos[0], nanos[ROUNDS - 1]);
}

/// Direct messages in pairs; `typed` is the recipient's name as the sender writes it.
fn direct(
    what: &str,
    name: impl Fn(usize) -> String,
    typed: impl Fn(usize) -> String,
    size: usize,
    batch: usize,
) {
    if !is_asked(what) {
        return;
    }
    let names: Vec<String> = (0..2 * PAIRS).map(&name).collect();
    let mut world = World::new(&names);
    let text = "x".repeat(size);
    let lines: Vec<String> = (0..names.len()).map(|i| format!("@{}:{text}\n", typed(i ^ 1))).collect();
    let received = names.iter().map(|name| name.len() + size + 3).sum::<usize>() / names.len();
    report(what, || world.measure(&lines, batch, 200_000, |sent| sent * received));
}

/// Lines to a room of 1,000 members; time per delivery.
fn fan_out(what: &str, size: usize) {
    const MEMBERS: usize = 1000;
    if !is_asked(what) {
        return;
    }
    let names: Vec<String> = (0..MEMBERS).map(|i| format!("user{i:04}")).collect();
    let mut world = World::new(&names);
    let lines = vec![format!("{}\n", "x".repeat(size)); 10];
    let received = (names[0].len() + 2 + size + 1) * (MEMBERS - 1);
    report(what, || world.measure(&lines, 4, 2000, |sent| sent * received) / (MEMBERS - 1) as f64);
}

fn main() {
    let ascii = |i: usize| format!("user{i:04}");
    let capital = |i: usize| format!("User{i:04}");
    let cyrillic = |i: usize| format!("наталья{i:04}");
    direct("direct, pipelined by 64, ASCII names, 32 B", ascii, ascii, 32, 64);
    direct("direct, pipelined by 64, ASCII names, 256 B", ascii, ascii, 256, 64);
    direct("direct, pipelined by 64, name typed in other case", ascii, capital, 32, 64);
    direct("direct, pipelined by 64, Cyrillic names as written", cyrillic, cyrillic, 32, 64);
    direct(
        "direct, pipelined by 64, Cyrillic typed in capitals",
        cyrillic,
        |i| cyrillic(i).to_uppercase(),
        32,
        64,
    );
    direct("direct, one at a time, ASCII names, 32 B", ascii, ascii, 32, 1);
    fan_out("room of 1000, per delivery, 64 B", 64);
    fan_out("room of 1000, per delivery, 1 KiB", 1024);
}
