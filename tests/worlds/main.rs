//! Seeded worlds: a server within limits, and peers at all its doors who chat, flood, stall, end, break and are kicked,
//! while everything goes wrong that a kernel, a network and a clock can do. What falls to a seed is in `lot.rs`, what is
//! done in `world.rs` and `actor.rs`; at the end a simple model must agree with what each of them has heard (`judge.rs`,
//! `answers.rs`).
//!
//! The model rests on a witness, an operator that is in every room from the beginning, says nothing there and always reads:
//! what it hears is the history of the server, in one order (`history.rs`). From that history alone follows which room
//! lines and notices everybody else must have heard. What isn't history, answers and direct messages, is found by number:
//! every request is followed by a ping with its number.
//!
//! `REDPOLL_SEED=7 cargo test --test worlds` replays one world; `REDPOLL_SEEDS=100000 cargo test --release --test worlds`
//! runs so many.
#![allow(clippy::panic, reason = "a test says by it what is wrong")]

mod actor;
mod answers;
mod history;
mod judge;
mod lot;
mod seen;
mod world;

use seen::Seen;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::World;

/// Worlds in every run of the tests.
const SEEDS: u64 = 2000;

/// Worlds in which everything that can happen must have happened somewhere.
const MANY: u64 = 2000;

#[test]
fn every_world_ends_as_the_model_says() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a seed is a number"));
    let seeds = match number("REDPOLL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REDPOLL_SEEDS").unwrap_or(SEEDS),
    };
    let seen = live_all(seeds.clone()).unwrap_or_else(|seed| {
        let lot = World::new(seed).crowd.lot;
        panic!("{lot}\nreplay it by: REDPOLL_SEED={seed} cargo test --test worlds")
    });
    if seeds.end - seeds.start >= MANY {
        seen.everything();
    }
}

/// Lives through the worlds of these seeds, on all processors.
///
/// # Errors
/// The first seed whose world ends otherwise than it must.
fn live_all(seeds: Range<u64>) -> Result<Seen, u64> {
    let (next, first_bad) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let work = || {
        let mut seen = Seen::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > first_bad.load(Ordering::Relaxed) {
                return seen;
            }
            match catch_unwind(|| live(seed)) {
                Ok(more) => seen.add(more),
                Err(_) => _ = first_bad.fetch_min(seed, Ordering::Relaxed),
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut seen = Seen::default();
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .for_each(|one| seen.add(one.join().expect("whatever goes wrong in a world is caught")));
    });
    let first_bad = first_bad.into_inner();
    if first_bad == u64::MAX { Ok(seen) } else { Err(first_bad) }
}

fn live(seed: u64) -> Seen {
    let mut world = World::new(seed);
    world.live();
    judge::judge(world)
}
