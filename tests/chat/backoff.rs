//! Delays before reconnecting: their bounds and their jitter.

use redpoll::client::backoff::{Backoff, FIRST_DELAY};
use std::time::Duration;

#[test]
fn delays_double_up_to_30_s() {
    for seed in 0..100 {
        let mut backoff = Backoff::new(fastrand::Rng::with_seed(seed));
        for step in [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs) {
            let delay = backoff.next_delay();
            assert!(step / 2 <= delay && delay <= step, "seed {seed}: {delay:?} of {step:?}");
        }
        assert!(backoff.is_at_max());
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST_DELAY, "seed {seed}");
    }
}

#[test]
fn delays_of_two_clients_differ() {
    let mut one = Backoff::new(fastrand::Rng::with_seed(1));
    let mut other = Backoff::new(fastrand::Rng::with_seed(2));
    assert_ne!(one.next_delay(), other.next_delay());
}
