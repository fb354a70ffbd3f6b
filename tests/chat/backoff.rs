//! Pauses before the next try: how long, and that two clients differ.

use redpoll::client::backoff::{Backoff, FIRST};
use std::time::Duration;

#[test]
fn pauses_double_up_to_half_a_minute_each_between_half_and_whole() {
    for seed in 0..100 {
        let mut backoff = Backoff::new(fastrand::Rng::with_seed(seed));
        for whole in [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs) {
            let pause = backoff.pause();
            assert!(whole / 2 <= pause && pause <= whole, "seed {seed}: {pause:?} of {whole:?}");
        }
        assert!(backoff.is_longest());
        backoff.reset();
        assert!(backoff.pause() <= FIRST, "seed {seed}");
    }
}

#[test]
fn two_clients_seldom_wait_equally_long() {
    let mut one = Backoff::new(fastrand::Rng::with_seed(1));
    let mut other = Backoff::new(fastrand::Rng::with_seed(2));
    assert_ne!(one.pause(), other.pause());
}
