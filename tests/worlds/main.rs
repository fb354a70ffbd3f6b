//! Seeded worlds: a server with limits, and clients on all schemes that chat, flood, stall, end, break and are kicked,
//! while every fault of kernel, network and clock is injected. `config.rs` draws a world's configuration from its seed,
//! `world.rs` and `actor.rs` run it. At the end a simple model must agree with what each client has received
//! (`checker.rs`, `answers.rs`).
//!
//! The model relies on a witness: an operator that is in every room from the beginning, sends nothing there and always
//! reads. Its input is the history of the server, in one order (`history.rs`). The history alone determines which room
//! lines and presence each other client must receive. Answers and direct messages are not in the history. They are
//! matched by number: after every request a ping with its number is sent.
//!
//! `REDPOLL_SEED=7 cargo test --test worlds` replays one world.
//! `REDPOLL_SEEDS=100000 cargo test --release --test worlds` runs 100,000.
#![allow(clippy::panic, reason = "a failing test reports by it what is wrong")]

mod actor;
mod answers;
mod checker;
mod config;
mod history;
mod seen;
mod world;

use seen::Seen;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::World;

/// Worlds per run of the tests, unless `REDPOLL_SEEDS` is set.
const SEEDS: u64 = 2000;

/// Minimum number of worlds for the check that everything expected has occurred.
const MIN_COMPLETE: u64 = 2000;

#[test]
fn worlds_agree_with_the_model() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a seed is a number"));
    let seeds = match number("REDPOLL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REDPOLL_SEEDS").unwrap_or(SEEDS),
    };
    let seen = run_all(seeds.clone()).unwrap_or_else(|seed| {
        let config = World::new(seed).clients.config;
        panic!("{config}\nreplay it by: REDPOLL_SEED={seed} cargo test --test worlds")
    });
    if seeds.end - seeds.start >= MIN_COMPLETE {
        seen.assert_complete();
    }
}

/// Runs the worlds of these seeds, on all processors.
///
/// # Errors
/// The first seed with a failing world.
fn run_all(seeds: Range<u64>) -> Result<Seen, u64> {
    let (next, first_bad) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        let mut seen = Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > first_bad.load(Ordering::Relaxed) {
                return seen;
            }
            match catch_unwind(|| run(seed)) {
                Ok(more) => seen.add(more),
                Err(_) => _ = first_bad.fetch_min(seed, Ordering::Relaxed),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut seen = Seen::default();
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().for_each(|handle| seen.add(handle.join().expect("a panic within a world is caught")));
    });
    let first_bad = first_bad.into_inner();
    if first_bad == u64::MAX { Ok(seen) } else { Err(first_bad) }
}

fn run(seed: u64) -> Seen {
    let mut world = World::new(seed);
    world.run();
    checker::check(world)
}
