//! Tests of `src/server/rate_limit.rs`.

use redpoll::limits::Limits;
use redpoll::protocol::Time;
use redpoll::server::rate_limit::*;
use std::time::Duration;

fn rate(rate: u32, burst: u32) -> Rate {
    Rate::new(&Limits { rate: Some(rate), burst, ..Limits::default() })
}

#[test]
fn bucket_starts_full_and_refills() {
    let (rate, mut bucket) = (rate(20, 200), TokenBucket::full());
    assert_eq!(bucket.left(rate, Time(7)), 200);
    bucket.spend(200, rate, Time(7));
    assert_eq!(bucket.left(rate, Time(7)), 0);
    assert_eq!([56, 57, 107, 1007].map(|now| bucket.left(rate, Time(now))), [0, 1, 2, 20]);
    assert_eq!(bucket.left(rate, Time(10_007)), 200);
    assert_eq!(bucket.left(rate, Time(1_000_000)), 200, "it is never more than full");
}

#[test]
fn small_withdrawals_lose_no_tokens() {
    // Three a second take no whole number of milliseconds each.
    let (rate, mut bucket) = (rate(3, 1), TokenBucket::full());
    let mut taken = 0;
    for now in 0..100_000 {
        if bucket.left(rate, Time(now)) > 0 {
            bucket.spend(1, rate, Time(now));
            taken += 1;
        }
    }
    // A token is taken in the millisecond in which it becomes whole, so the bucket of one is full for less than that.
    assert!((290..=301).contains(&taken), "{taken}");
}

#[test]
fn wait_brings_one_token() {
    for (limits, millis) in [((20, 200), 250), ((1, 200), 1000), ((20, 1), 50), ((1000, 3), 3), ((3, 1), 334)]
    {
        let rate = rate(limits.0, limits.1);
        assert_eq!(rate.wait(), Duration::from_millis(millis), "{limits:?}");
        let mut bucket = TokenBucket::full();
        bucket.spend(limits.1.into(), rate, Time(0));
        assert!(bucket.left(rate, Time(0) + rate.wait()) > 0, "{limits:?}");
    }
}

#[test]
fn overspending_is_paid_later() {
    let (rate, mut bucket) = (rate(10, 5), TokenBucket::full());
    bucket.spend(25, rate, Time(0));
    assert_eq!([0, 2000, 2099, 2100, 2500].map(|now| bucket.left(rate, Time(now))), [0, 0, 0, 1, 5]);
}

#[test]
fn unlimited_bucket_never_empties() {
    let mut bucket = TokenBucket::UNLIMITED;
    bucket.spend(1_000_000, rate(1, 1), Time(0));
    assert_eq!(bucket.left(rate(1, 1), Time(0)), u64::MAX);
    let off = Rate::new(&Limits { rate: None, ..Limits::default() });
    let mut bucket = TokenBucket::full();
    bucket.spend(1_000_000, off, Time(0));
    assert_eq!(bucket.left(off, Time(0)), u64::MAX);
    // A limited bucket never becomes unlimited, at any time and for any spending.
    let mut bucket = TokenBucket::full();
    bucket.spend(u64::MAX, rate(u32::MAX, u32::MAX), Time(u64::MAX));
    assert_ne!(bucket, TokenBucket::UNLIMITED);
}

#[test]
fn token_bucket_is_small() {
    assert_eq!((size_of::<TokenBucket>(), align_of::<TokenBucket>()), (8, 1));
}
